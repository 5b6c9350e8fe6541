"""Data flows one way: a module imports only from those before it in the list below."""

import ast
from pathlib import Path

import pytest

import distembed

ROOT = Path(distembed.__file__).parent
ORDER = """
version rng registry files batch protocols nn divergences data sets pretrained encoders generators
training geometry inference model heads evaluation report plot apps benchmarks testing cli
""".split()
APART = {
    "encoders": {"generators"},
    "generators": {"encoders"},
}


def imports(tree):
    """Every module of ours that is imported, inside functions and TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "a relative import"


def offences(unit, path, source):
    """What a file of `unit` must not import, as `file:line imports module`."""
    for line, name in imports(ast.parse(source)):
        own, *rest = name.split(".")
        other = rest[0] if rest else None
        known = other in ORDER and unit in ORDER
        late = known and ORDER.index(other) > ORDER.index(unit)
        # what applications share is in files beside them, and benches reach one by name only
        application = other == "apps" and rest[1:] and (ROOT / "apps" / rest[1]).is_dir()
        sibling = application and unit != "cli" and path.parent.name != rest[1]
        if own == "distembed" and (late or sibling or other in APART.get(unit, ())):
            yield f"{path}:{line} imports {name}"
        elif own == "a relative import":
            yield f"{path}:{line} uses a relative import"


def test_every_module_has_its_place():
    units = {p.stem if p.is_file() else p.name for p in ROOT.iterdir()} - {
        "__init__",
        "__main__",
        "__pycache__",
    }
    assert {u for u in units if not u.startswith(("py", "."))} == set(ORDER)


def test_imports_follow_the_order():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        unit = path.relative_to(ROOT).parts[0].removesuffix(".py")
        found += offences(unit, path, path.read_text()) if unit != "__init__" else []
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("batch", "import distembed.model.gde"),
        ("nn", "def f():\n    from distembed.encoders import ENCODERS"),
        ("geometry", "if TYPE_CHECKING:\n    from distembed.model.gde import GDE"),
        ("generators", "from distembed.encoders.deepsets import DeepSets"),
        ("encoders", "from distembed.generators import flow"),
        ("sets", "from distembed import cli"),
        ("apps", "from distembed.apps.lineage import data"),
        ("apps", "from distembed.apps import lineage"),
        ("apps", "from distembed.benchmarks import BENCHES"),
        ("benchmarks", "from distembed.apps.lineage.app import APP"),
        ("data", "from . import sets"),
    ],
)
def test_an_offender_is_named(unit, source):
    (*_, offence) = offences(unit, Path("digits/app.py"), source)
    assert offence.startswith("digits/app.py:")


def test_files_of_one_app_import_each_other():
    source = "from distembed.apps.digits.data import data"
    assert not list(offences("apps", Path("digits/judge.py"), source))
    assert list(offences("apps", Path("lineage/judge.py"), source))
    assert not list(offences("apps", Path("lineage/app.py"), "import distembed.apps.source"))
