"""The config: what is read, what is refused, and how errors are told."""

from pathlib import Path

import pytest
import yaml

from distembed.cli.configfile import load_config, to_yaml
from distembed.cli.yaml12 import inline, parse
from distembed.data.readers import READERS
from distembed.registry import member_options
from distembed.training.config import TrainConfig

EXAMPLES = Path(__file__).parents[2] / "examples"
MINIMAL = "data.path=cells.csv"


def errors(*overrides, text=None, tmp_path=None):
    path = None
    if text is not None:
        path = tmp_path / "run.yaml"
        path.write_text(text)
    with pytest.raises(ValueError, match=r"\d errors?:|override|YAML|mapping|below") as caught:
        load_config(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "1e-3",
        "no",
        "on",
        "y",
        "010",
        "1:30",
        "2020-01-01",
        "null",
        "~",
        "",
        ".5",
        "#",
        "PC*",
        "a: b",
    ]
    + [1e-5, 1e22, 3, True, False, None, [1, "2", None], {"a": {"b": [1.5]}}],
)
def test_inline_is_read_back_by_both_versions(value):
    text = "key: " + inline(value)
    assert parse(text) == {"key": value} == yaml.safe_load(text)
    assert "\n" not in text


def test_yaml_of_1_2():
    assert parse("[1e-3, no, on, true, 2020-01-01, 0x10, 0o10, 010, .inf]") == [
        0.001, "no", "on", True, "2020-01-01", 16, 8, 10, float("inf")
    ]  # fmt: skip
    assert parse("on: 1") == {"on": 1}


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2", "a: [", "? [1]\n: 2", "!!python/object:os.system x", "&a {b: *a}"]
)
def test_refused_yaml(text):
    with pytest.raises(ValueError, match="second time|not YAML"):
        parse(text)


def test_file_and_overrides_in_order(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: {path: a.csv, by: no}\ntrain: {lr: 1e-3}\nmodel: {encoder: moments}\n")
    run = load_config(
        path,
        ["train.lr=1e-4", "train.lr=5e-4", "model.encoder.kind=mean", "model.transform=log1p"],
    )
    assert (run.train.lr, run.data.by) == (5e-4, "no")
    assert run.model.encoder.name == "moments"
    assert run.model.encoder.member == {"name": "moments", "kind": "mean"}
    assert [step.name for step in run.model.transform] == ["log1p"]


def test_numbers_in_quotes_are_numbers_and_booleans_are_not():
    assert load_config(None, [MINIMAL, "train.lr='1e-3'"]).train.lr == 1e-3
    message = errors(
        MINIMAL, "train.lr=true", "train.steps=true", "split.test=no", "split.seed=on"
    )
    assert "train.lr: is the boolean true" in message
    assert "train.steps: is the boolean true" in message
    assert "split.test: should be a valid number" in message
    assert "split.seed: should be a valid integer" in message


def test_all_errors_at_once_with_close_names(tmp_path):
    text = """
    data: {path: cells.csv, colums: [a]}
    model: {encoder: deepset, transform: [{name: pcca}, log1p]}
    train: {steps: -1, weightdecay: 1}
    steps: 5
    nonsense: 1
    """
    message = errors(text=text, tmp_path=tmp_path)
    expected = {
        "data.colums": "did you mean 'columns'",
        "model.encoder": "did you mean 'deepsets'",
        "model.transform": "did you mean 'pca'",
        "train.steps": "greater than or equal to 0, but is -1",
        "train.weightdecay": "did you mean 'weight_decay'",
        "steps": "did you mean 'train.steps'",
        "nonsense": "there are: data, split, model, train, out",
    }
    lines = dict(line.strip().split(": ", 1) for line in message.splitlines()[1:])
    assert lines.keys() == expected.keys()
    assert all(text in lines[key] for key, text in expected.items())
    assert message.startswith(f"{tmp_path / 'run.yaml'} has 7 errors:")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("train.steps", "is not an override"),
        ("=3", "is not an override"),
        ("train..steps=3", "is not an override"),
        ("data.path.x=3", "has no keys below it"),
        ("data.by=[a", "this is not YAML"),
        ("model.encoder=os:system", "there is no encoder"),
        ("model.encoder={width: 8}", "model.encoder.name=NAME"),
        ("model.encoder={name: auto, width: 8}", "takes no options"),
        ("model.generator={target: x.y:z, name: x.y:z}", "there is no generator"),
        ("train.context=[9, 3]", "needs 1 <= smallest <= largest"),
        ("train.context=true", "is the boolean true"),
        ("train.threads=0", "at least one thread"),
        ("train.lr=.inf", "finite"),
        ("train.precision=float16", "'float32'"),
        ("split.test=1.5", "neither a share below 1 nor a whole number"),
        ("model=deepsets", "model"),
        ("data.atoms=token", "there is no kind of atoms 'token'; there are: vectors, counts"),
        ("data.atoms={alphabet: ACGT}", "data.atoms.name=NAME"),
        ("data.atoms={name: auto, alphabet: ACGT}", "auto, which takes no options"),
        ("data={}", "data.path: is missing"),
    ],
)
def test_refused_values(override, text):
    assert text in errors(MINIMAL, override)


@pytest.mark.parametrize(("text", "kind"), [("[1, 2]", "list"), ("word", "str")])
def test_not_a_mapping(tmp_path, text, kind):
    assert f" a {kind};" in errors(text=text, tmp_path=tmp_path)


@pytest.mark.parametrize("name", ["cells.csv", "cells.CSV", "cells.h5ad", "cells.csv.gz"])
def test_data_in_the_place_of_a_config(name):
    with pytest.raises(ValueError, match=f"{name} .*data.path={name} data.by="):
        load_config(Path(name))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.yaml")


def test_printed_config_is_the_same_config(tmp_path):
    run = load_config(
        None,
        [
            "data={path: a.csv, by: [on, no], columns: PC*}",
            "model={encoder: {name: deepsets, width: 8}}",
            "model.transform=[log1p, {name: pca, components: 3}]",
            "train={lr: 1e-5, context: 20}",
        ],
    )
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(run))
    assert load_config(path) == run
    assert run.train.context == (20, 20)
    printed = to_yaml(run)
    assert all(f"  {key}: " in printed for key in TrainConfig.model_fields)
    assert all("  # " in line for line in printed.splitlines())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_example_configs_are_valid(path):
    assert load_config(path).out.startswith("runs/")


def test_the_data_section_has_the_options_of_every_reader():
    section = load_config(None, [MINIMAL, "data.atoms=tokens", "data.atoms.alphabet=AC"]).data
    assert section.atoms.member == {"name": "tokens", "alphabet": "AC"}
    assert load_config(None, [MINIMAL]).data.atoms.member == "auto"
    keys = type(section).model_fields
    for name in READERS:
        for key, option in member_options(READERS, name, "reader").items():
            assert keys[key].description == option.text
            assert keys[key].default is None
    genes = load_config(None, [MINIMAL, "data.genes=[a, b]", "data.layer=counts"]).data
    assert (genes.genes, genes.layer) == (("a", "b"), "counts")


def test_training_defaults_are_described():
    assert all(field.description for field in TrainConfig.model_fields.values())
