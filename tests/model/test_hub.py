"""Models by name: what travels to a hub and back, by a stand-in for its client and no network."""

import json
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

import distembed as de
from distembed.evaluation.result import Evaluation, Pairs, Score
from distembed.model.storage import FILES

REPO = "ada/kidney"


class Hub:
    """Repositories as folders, with the rules of a hub that matter here."""

    def __init__(self, root):
        self.root, self.private, self.messages = Path(root), {}, []

    def create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        self.private.setdefault(repo_id, private)
        (self.root / repo_id / "main").mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id, folder_path, commit_message, revision, allow_patterns):
        target = self.root / repo_id / (revision or "main")
        target.mkdir(exist_ok=True)
        self.messages.append(commit_message)
        self._copy(Path(folder_path), target, allow_patterns)
        return f"hub://{repo_id}/{revision or 'main'}"

    def snapshot_download(self, repo_id, *, revision, allow_patterns):
        source = self.root / repo_id / (revision or "main")
        if not source.is_dir():
            raise LookupError(f"404 for {repo_id}")
        target = self.root / "cache" / repo_id / (revision or "main")
        target.mkdir(parents=True, exist_ok=True)
        self._copy(source, target, allow_patterns)
        return str(target)

    def _copy(self, source, target, patterns):
        for file in source.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in patterns):
                shutil.copy(file, target / file.name)


@pytest.fixture
def hub(tmp_path):
    return Hub(tmp_path / "hub")


def header(text):
    """The YAML header of a card."""
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def evaluation():
    rows = (
        Score("spearman_w2", "gde", 0.91, 0.88, 0.94),
        Score("spearman_w2", "ot", 0.97),
        Score("energy_unbiased", "gde", float("nan")),
    )
    return Evaluation(rows, {"sets": 12}, Pairs.none())


def test_a_model_comes_back_from_a_hub_bit_by_bit(model, named, hub):
    assert model.push_to_hub(REPO, client=hub) == f"hub://{REPO}/main"
    again = de.GDE.from_pretrained(REPO, client=hub)
    assert (again.embed(named).z == model.embed(named).z).all()
    z = model.embed(named).z
    assert (again.sample(z, 5, rng=3) == model.sample(z, 5, rng=3)).all()


def test_a_local_folder_comes_before_the_hub(model, named, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = model.save(REPO)
    again = de.GDE.from_pretrained(REPO)  # no client: the hub is not asked
    assert (again.embed(named).z == model.embed(named).z).all()
    assert (de.GDE.from_pretrained(folder.resolve()).embed(named).z == model.embed(named).z).all()


def test_a_new_repository_is_private_unless_it_is_said_otherwise(model, hub):
    model.push_to_hub(REPO, client=hub, message="first")
    model.push_to_hub("ada/open", client=hub, private=False)
    assert hub.private == {REPO: True, "ada/open": False}
    assert hub.messages[0] == "first"


def test_revisions_are_kept_apart(model, named, hub, unnamed):
    from model_fakes import FAST, SMALL

    other = de.GDE(**SMALL).fit(unnamed, **FAST)
    model.push_to_hub(REPO, client=hub)
    other.push_to_hub(REPO, client=hub, revision="v2")
    assert de.GDE.from_pretrained(REPO, client=hub).event_shape == model.event_shape
    assert de.GDE.from_pretrained(REPO, client=hub, revision="v2").event_shape == (2,)


def test_nothing_but_the_files_of_a_model_travels(model, hub):
    model.push_to_hub(REPO, client=hub)
    repository = hub.root / REPO / "main"
    assert {f.name for f in repository.iterdir()} == set(FILES)
    (repository / "model.pkl").write_bytes(b"\x80\x04N.")
    (repository / "setup.py").write_text("raise SystemExit")
    de.GDE.from_pretrained(REPO, client=hub)
    assert {f.name for f in (hub.root / "cache" / REPO / "main").iterdir()} == set(FILES)


def test_a_file_that_was_damaged_on_its_way_is_refused(model, hub):
    model.push_to_hub(REPO, client=hub)
    weights = hub.root / REPO / "main" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match="not the file that the config was written with"):
        de.GDE.from_pretrained(REPO, client=hub)


def test_a_model_that_the_hub_does_not_have_is_an_error_with_its_reason(hub):
    with pytest.raises(OSError, match=r"no folder ada/none.*revision 'v2'.*404 for ada/none"):
        de.GDE.from_pretrained("ada/none", revision="v2", client=hub)


@pytest.mark.parametrize("name", ["model", "./a/b", "a/b/c", "/tmp/none", "a/b ", "-a/b"])
def test_what_is_no_name_on_a_hub_is_a_missing_folder(name, hub):
    with pytest.raises(FileNotFoundError, match="no name on a hub"):
        de.GDE.from_pretrained(name, client=hub)


@pytest.mark.parametrize("name", ["kidney", "a/b/c", ""])
def test_a_model_is_not_pushed_to_what_is_no_name(model, name, hub):
    with pytest.raises(ValueError, match="owner/name"):
        model.push_to_hub(name, client=hub)
    assert not hub.private


def test_a_folder_has_no_revision(model, tmp_path):
    folder = model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="no revision 'v2'"):
        de.GDE.from_pretrained(folder, revision="v2")


def test_the_extra_is_named_where_it_is_missing(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"distembed\[hub\]"):
        model.push_to_hub(REPO)
    with pytest.raises(ImportError, match=r"distembed\[hub\]"):
        de.GDE.from_pretrained("ada/none")


def test_options_of_load_are_passed_on(model, tmp_path):
    with pytest.raises(ValueError, match="device is 'tpu'"):
        de.GDE.from_pretrained(model.save(tmp_path / "m"), device="tpu")


# -- the card -----------------------------------------------------------------------------------


def test_a_card_has_a_header_of_the_library_the_licence_and_what_was_measured(
    model, hub, evaluation
):
    model.push_to_hub(REPO, client=hub, evaluation=evaluation, licence="cc-by-4.0")
    text = (hub.root / REPO / "main" / "README.md").read_text()
    data = header(text)
    assert data["library_name"] == "distembed"
    assert data["license"] == "cc-by-4.0"
    assert {"distribution-embedding", "vectors", "residual", "flow"} <= set(data["tags"])
    assert data["metrics"] == ["spearman_w2"]  # a number that is not defined is left out
    (result,) = data["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "spearman_w2", "value": 0.91}]
    assert "12 sets" in result["dataset"]["name"]


def test_a_card_shows_the_baselines_that_are_better(model, evaluation):
    text = str(model.card(evaluation=evaluation))
    assert "| spearman_w2 | gde | 0.910 [0.880, 0.940] |" in text
    assert "| spearman_w2 | ot | 0.970 |" in text
    assert "| energy_unbiased | gde | not defined |" in text


def test_nothing_is_claimed_where_nothing_was_measured(model):
    data = header(str(model.card()))
    assert not {"license", "metrics", "model-index"} & set(data)
    assert "## Measured" not in str(model.card())


def test_a_card_of_an_own_module_has_no_name_of_it(tmp_path, unnamed):
    import torch
    from model_fakes import FAST, SMALL

    class Own(torch.nn.Module):
        latent = 4

        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 4)

        def forward(self, batch):
            return batch.mean(self.linear(batch.x))

    own = de.GDE(**SMALL | {"encoder": Own(), "latent": None}).fit(unnamed, **FAST)
    data = header((own.save(tmp_path / "m") / "README.md").read_text())
    assert "flow" in data["tags"]
    assert not {"residual", "deepsets"} & set(data["tags"])
    json.dumps(data)


def test_a_hub_reads_the_header(model, evaluation):
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    card = hub.ModelCard(str(model.card(evaluation=evaluation, licence="mit")))
    assert card.data.library_name == "distembed"
    assert card.data.license == "mit"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("spearman_w2", 0.91)


def test_the_client_of_the_hub_has_the_methods_that_are_called():
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    import inspect

    called = {
        "create_repo": ("private", "exist_ok"),
        "upload_folder": (
            *("repo_id", "folder_path", "commit_message", "revision", "allow_patterns"),
        ),
        "snapshot_download": ("revision", "allow_patterns"),
    }
    for name, arguments in called.items():
        parameters = inspect.signature(getattr(hub.HfApi, name)).parameters
        assert {"repo_id", *arguments} <= set(parameters), name
