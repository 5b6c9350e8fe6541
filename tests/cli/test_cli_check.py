"""`distembed check encoder`: what is measured, what is refused, and the exit code."""

import pytest

from distembed.cli import check as verb
from distembed.testing.controls import CONTROLS


def check(run, name, *words):
    return run("check", "encoder", name, *words)


def test_a_sound_encoder_passes_and_shows_every_number(run):
    outcome = check(run, "deepsets", "--option", "width=8", "--option", "depth=1")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "BROKEN" not in outcome.out
    for meaning in verb._MEANING.values():
        assert meaning in outcome.out or meaning == "derivative by weights", meaning
    assert "<= 1e-05 in 2 passes" in outcome.out
    assert "deepsets passes" in outcome.err


def test_an_option_reaches_the_constructor(run):
    outcome = check(
        run, "moments", "--option", "kind=quantiles", "--event", "1x2", "--latent", "4"
    )
    assert "not streamed" in outcome.out  # quantiles cannot stream
    assert outcome.code == 0, outcome.out + outcome.err


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("max", "root m, normal"),
        ("sum", "replicate, split, zero, root m"),
        ("count", "replicate, split, zero"),
    ],
)
def test_a_control_fails_and_says_why(run, name, broken):
    outcome = check(run, name)
    assert outcome.code == 1
    assert f"{name} breaks: {broken}\n" in outcome.err
    assert "BROKEN" in outcome.out
    assert "usual cause" in outcome.err.lower()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deepset"], "There is no encoder 'deepset'; there are: deepsets, "),
        (["moments", "--option", "kind"], "'kind' is not an option; write key=value"),
        (["moments", "--option", "sort=1"], "'moments' has no option 'sort'"),
        (["max", "--option", "a=1"], "max is a negative control and takes no option"),
        (["moments", "--event", "3,-1"], "--event 3,-1 is not a shape"),
        (["moments", "--event", "0"], "--event 0 is not a shape"),
    ],
)
def test_misuse_is_one_line(run, words, message):
    outcome = check(run, *words)
    assert outcome.code == 1
    assert message in outcome.err


def test_the_help_names_every_control():
    assert verb._CONTROLS.split(", ") == list(CONTROLS)
