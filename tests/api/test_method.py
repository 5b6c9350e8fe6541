"""The programs of docs/method.md run, in the order in which they stand."""

import re
from pathlib import Path

import pytest

METHOD = Path(__file__).parents[2] / "docs" / "method.md"


def blocks():
    return re.findall(r"```python\n(.*?)```", METHOD.read_text(), flags=re.DOTALL)


def lines(block):
    """Lines of code that are neither empty nor imports."""
    return [
        line
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith(("import", "from", "#"))
    ]


@pytest.mark.filterwarnings("ignore:The generator ignores z")  # three steps teach it nothing
def test_both_programs_run():
    loop, facade = blocks()
    for text, smaller in (("prior(500,", "prior(60,"), ("range(300)", "range(3)")):
        assert text in loop
        loop = loop.replace(text, smaller)
    assert "steps=300" in facade
    facade = facade.replace("steps=300", "steps=3")
    scope = {}
    exec(compile(loop, "loop", "exec"), scope)
    assert scope["new"].shape == (1, 1000, 2)
    exec(compile(facade, "facade", "exec"), scope)
    assert scope["new"].shape == (1000, 2)
    network = scope["model"].network
    own = [*network.encoder.parameters(), *network.generator.parameters()]
    assert len(own) == len(list(network.parameters()))


@pytest.mark.parametrize(("k", "most"), [(0, 20), (1, 30)])
def test_they_are_short(k, most):
    assert len(lines(blocks()[k])) <= most
