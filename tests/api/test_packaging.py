"""What a user installs: the wheel, what its import costs, and the record of changes."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from distembed.version import __version__

ROOT = Path(__file__).parents[2]
CHANGES = (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout."""
    builders = pytest.importorskip("hatchling.builders.wheel", reason="needs the extra test")
    target = tmp_path_factory.mktemp("dist")
    (path,) = builders.WheelBuilder(str(ROOT)).build(directory=str(target))
    return Path(path)


def run(code, *options, path=""):
    return subprocess.run(
        [sys.executable, *options, "-c", code, str(path)], capture_output=True, text=True
    )


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        file.relative_to(ROOT / "src").as_posix()
        for file in (ROOT / "src" / "distembed").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {n for n in names if not n.startswith("distembed-")} == package
    assert {"distembed/py.typed", "distembed/report/template/report.html.j2"} <= package
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_the_wheel_is_imported_without_any_other_package(wheel, tmp_path):
    """Isolated and without site-packages: what a user has after `pip install --no-deps`."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import distembed, distembed.plot; "
        "from distembed.encoders import ENCODERS; print(distembed.__version__, len(ENCODERS)); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    outcome = run(code, "-I", "-S", path=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.split()[0] == __version__


def test_the_metadata_are_those_of_the_project(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    text = archive.read(name).decode()
    assert f"Version: {__version__}\n" in text
    assert "License-Expression: Apache-2.0" in text
    for extra in ("hub", "onnx", "plot", "report", "all"):
        assert f"Provides-Extra: {extra}\n" in text


def test_the_source_archive_has_the_tests_and_the_docs(tmp_path):
    import tarfile

    builders = pytest.importorskip("hatchling.builders.sdist", reason="needs the extra test")
    (path,) = builders.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(path) as archive:
        names = {"/".join(n.split("/")[1:]) for n in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "tests/conftest.py", "docs/method.md"} <= names
    assert not [n for n in names if n.endswith((".pyc", ".h5ad"))]


def test_import_takes_less_than_a_third_of_a_second_of_a_core():
    """Time of this process and not of the clock, the least of five: other programs may run."""
    code = "import time; t = time.process_time(); import distembed; print(time.process_time() - t)"
    assert min(float(run(code).stdout) for _ in range(5)) < 0.3


# -- the record of changes ----------------------------------------------------------------------


def releases(text):
    """Versions and dates of the headings of a changelog; None for what is not released."""
    return re.findall(r"^## \[?([\w.]+)\]?(?: - (\d{4}-\d\d-\d\d))?", text, re.MULTILINE)


def test_every_release_has_a_date_and_the_newest_comes_first():
    (first, _), *rest = releases(CHANGES)
    assert first == "Unreleased"
    undated = [version for version, date in rest if not date]
    assert undated == [
        v for v in undated if f"## {v}, the first slice (never released)" in CHANGES
    ]
    dates = [date for _, date in rest if date]
    assert dates == sorted(dates, reverse=True)


def test_the_reader_of_headings_reads_them():
    text = "## [Unreleased]\n\n## [0.2.0] - 2027-01-05\n\n## [0.1.0] - 2026-12-01\n"
    assert releases(text) == [("Unreleased", ""), ("0.2.0", "2027-01-05"), ("0.1.0", "2026-12-01")]


def test_what_is_deprecated_has_a_policy():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert "## Versions and deprecation" in text
    assert "make dist" in text
