"""`distembed demo`: its folder, and the thing itself."""

import sys
from types import SimpleNamespace

import pytest

from distembed.apps.digits.data import Settings


def test_demo_renews_its_own_folder_only(run, tmp_path, monkeypatch):
    def demo(out, settings, *, log):
        assert settings == Settings.quick()
        log("training")
        (out / "model").mkdir(parents=True, exist_ok=True)
        if stopped:
            raise OSError("stopped")
        (out / "report.html").write_text("page")
        return out / "report.html"

    monkeypatch.setitem(sys.modules, "distembed.apps.digits.demo", SimpleNamespace(demo=demo))
    out, stopped = tmp_path / "demo", True
    assert "stopped" in run("demo", "--quick", "--out", out).err
    stopped = False
    for _ in range(2):
        outcome = run("demo", "--quick", "--out", out)
        assert outcome.code == 0, outcome.err
        assert outcome.err.splitlines() == [
            "training",
            f"Open {out / 'report.html'} in a browser.",
        ]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused = run("demo", "--quick", "--out", tmp_path / "mine").err
    assert "has files in it" in refused
    assert "--force" in refused
    assert run("demo", "--quick", "--force", "--out", tmp_path / "mine").code == 0


@pytest.mark.slow
def test_demo(run, tmp_path):
    pytest.importorskip("sklearn")
    outcome = run("demo", "--quick", "--out", tmp_path / "demo")
    assert outcome.code == 0, outcome.err
    assert 10_000 < (tmp_path / "demo" / "report.html").stat().st_size < 5_000_000
    assert (tmp_path / "demo" / "model" / "model.safetensors").exists()
