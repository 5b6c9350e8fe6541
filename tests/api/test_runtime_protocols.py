"""Checks by a protocol have one answer on every Python.

From Python 3.12 on, `isinstance` with a protocol looks attributes up statically and does not see
what `torch.nn.Module` finds in its buffers, parameters and children: such an attribute is a
property of the class, or a part is passed over in silence.
"""

import importlib
import inspect
import pkgutil

import pytest
from torch import nn
from typing_extensions import get_protocol_members, is_protocol

import distembed
from distembed.data.transforms import TRANSFORMS
from distembed.encoders import ENCODERS
from distembed.generators import GENERATORS
from distembed.model import CONDITIONINGS
from distembed.registry import build, lookup, member_options

MODULES = [m.name for m in pkgutil.walk_packages(distembed.__path__, "distembed.")]


def protocols():
    """Return every protocol of the package that can be checked at run time."""
    listed = {}
    for name in MODULES:
        if name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(name)).values():
            if inspect.isclass(value) and is_protocol(value) and value.__module__ == name:
                if getattr(value, "_is_runtime_protocol", False):
                    listed[value.__qualname__] = value
    return listed


PROTOCOLS = protocols()
SHAPES = {"vectors": (3,), "images": (1, 16, 16), "tokens": (6,)}


def parts():
    """Build every member that can be built from a shape alone, and yield its modules."""
    for family, kind in ((ENCODERS, "encoder"), (GENERATORS, "generator")):
        for name in family:
            for shape in SHAPES.values():
                try:
                    made = build(family, name, kind, shape, 8)
                except (TypeError, ValueError, ImportError):
                    continue
                yield from ((f"{kind} {name}", part) for part in made.modules())
    for name in CONDITIONINGS:
        yield name, build(CONDITIONINGS, name, "conditioning", 8)
    for name in TRANSFORMS:
        if all(v is not None for v in member_options(TRANSFORMS, name, "transform").values()):
            with_defaults = lookup(TRANSFORMS, name, "transform")
            try:
                yield name, with_defaults()
            except TypeError:
                continue


def is_static(part, member):
    try:
        inspect.getattr_static(part, member)
    except AttributeError:
        return False
    return True


def disagreements(named):
    return {
        f"{name}: {type(part).__name__}.{member} ({protocol.__name__})"
        for name, part in named
        for protocol in PROTOCOLS.values()
        if all(hasattr(part, m) for m in get_protocol_members(protocol))
        for member in get_protocol_members(protocol)
        if not is_static(part, member)
    }


def test_there_are_protocols_and_parts():
    assert {"Encoder", "Generator", "CorrectedEncoder", "Remarking"} <= set(PROTOCOLS)
    assert len({type(part) for _, part in parts()}) > 20


@pytest.mark.filterwarnings("ignore")
def test_no_part_meets_a_protocol_by_what_a_module_holds():
    assert disagreements(parts()) == set()


def test_a_buffer_in_the_place_of_a_property_is_noticed():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("unit", __import__("torch").tensor(1.0))

        def parts(self, batch):
            return batch

    assert disagreements([("wrong", Wrong())]) == {"wrong: Wrong.unit (CorrectedEncoder)"}
