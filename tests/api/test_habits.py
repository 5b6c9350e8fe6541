"""The checks that run on a commit, in the Makefile and in the workflows are the same ones."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def recipe(target):
    """The commands of a target of the Makefile."""
    text = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    rule = re.search(rf"^{target}:.*\n((?:\t.*\n?)+)", text, re.MULTILINE)
    assert rule, f"the Makefile has no target {target}"
    return [line.strip() for line in rule[1].splitlines()]


def jobs():
    """Every job of the workflows, by name."""
    return {
        k: job for path in WORKFLOWS for k, job in yaml.safe_load(path.read_text())["jobs"].items()
    }


def lower_bounds():
    """The lowest declared version of each dependency that `make install` brings and tests use."""
    extras = {
        k: v
        for k, v in PROJECT["optional-dependencies"].items()
        if k not in ("docs", "lint", "umap", "lm")
    }
    requirements = [*PROJECT["dependencies"], *(r for extra in extras.values() for r in extra)]
    return {m[1]: m[2] for r in requirements if (m := re.match(r"([\w-]+)>=([\d.]+)", r))}


def test_a_commit_runs_the_commands_of_make_check():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == recipe("check")
    assert all(hook["language"] == "system" for hook in hooks)


def test_workflows_run_targets_that_exist():
    commands = [s["run"] for job in jobs().values() for s in job["steps"] if "run" in s]
    assert {"make check", "make test", "make test-docs", "make demo"} <= set(commands)
    for command in commands:
        assert recipe(command.split()[1])


def test_workflows_cover_every_declared_python():
    prefix = "Programming Language :: Python :: "
    declared = [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert jobs()["python"]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


def test_the_lowest_versions_are_those_that_are_declared():
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins == lower_bounds()
    files = [row["constraints"] for row in jobs()["dependencies"]["strategy"]["matrix"]["include"]]
    assert files == ["/dev/null", "constraints-lowest.txt"]


def test_make_test_prints_its_slowest_tests():
    assert any("--durations=25" in command for command in recipe("test"))


@pytest.mark.parametrize("form", [f for f in FORMS if f.stem != "config"], ids=lambda f: f.stem)
def test_a_form_has_what_github_needs(form):
    content = yaml.safe_load(form.read_text())
    assert content["name"]
    assert content["description"]
    ids = [item["id"] for item in content["body"]]
    assert len(set(ids)) == len(ids)
    assert all(item["attributes"]["label"] for item in content["body"])


def test_there_are_forms_for_bugs_features_and_questions():
    assert {f.stem for f in FORMS} == {"bug", "feature", "question", "config"}
