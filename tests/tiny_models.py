"""Folders of tiny published models, made once a session, for tests of members that read them."""

import pytest

from distembed.rng import stream
from published_files import (
    esm_tensors,
    hyena_tensors,
    progen_tensors,
    write_esm,
    write_gpt2,
    write_hyena,
    write_progen,
)

ALPHABETS = {"hyenadna": "ACGT", "progen2": "ACDEFG", "causal_lm": "ACGT", "esm2": "ACDEFG"}
NATIVE = ("causal_lm", "esm2")


def tiny_model(name, folder):
    """Write a tiny model, once; skip where it needs a package that is not installed."""
    if name in NATIVE:
        pytest.importorskip("transformers", reason="needs the extra lm")
    target = folder / name
    if not target.exists():
        WRITERS[name](target)
    return str(target)


WRITERS = {
    "hyenadna": lambda folder: write_hyena(folder, hyena_tensors(stream("hyena"))),
    "progen2": lambda folder: write_progen(
        folder, progen_tensors(stream("progen"), 16), "converted", width=16, heads=8, rotary=2
    ),
    "causal_lm": lambda folder: write_gpt2(folder, ALPHABETS["causal_lm"]),
    "esm2": lambda folder: write_esm(folder, esm_tensors(stream("esm"))),
}
