"""Published language models."""

import json
from pathlib import Path

import distembed as de
from distembed.pretrained.files import locate
from distembed.pretrained.hyenadna import HyenaDNA


def published_model_not_there(reads):
    """A folder of a published model that is not there."""
    de.GDE(generator={"name": "hyenadna", "path": "./hyenadna-tiny"}).fit(reads)


def published_model_without_weights(reads):
    """A published model without its weights."""
    Path("tiny-hyenadna/model.safetensors").unlink()
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna"}).fit(reads)


def published_model_without_a_path(reads):
    """A published model without a path."""
    de.GDE(generator="hyenadna").fit(reads)


def published_weights_that_are_truncated(reads):
    """Weights of a published model that are truncated."""
    path = Path("tiny-hyenadna/model.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna"}).fit(reads)


def published_weights_of_another_size(reads):
    """Weights of a published model of another size."""
    path = Path("tiny-hyenadna/config.json")
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"n_layer": 1}))
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna"}).fit(reads)


def published_model_of_another_kind(reads):
    """A published model of another kind."""
    de.GDE(generator={"name": "progen2", "path": "tiny-hyenadna"}).fit(reads)


def symbols_without_a_token():
    """Symbols that a published model has no token for."""
    dna = {"name": "tokens", "alphabet": "acgt"}
    reads = de.read([["acgt", "ac"], ["ggt", "t"]] * 3, atoms=dna)
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna"}).fit(reads)


def prefix_beyond_the_limit(reads):
    """A prefix that is longer than a published model reads."""
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna", "prefix": 40}).fit(reads)


def choice_of_training_that_is_not_there(reads):
    """A choice of what is trained that there is not."""
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna", "train": "head"}).fit(reads)


def end_that_a_model_lacks(reads):
    """A token of the end that a published model lacks."""
    de.GDE(generator={"name": "hyenadna", "path": "tiny-hyenadna", "end": "stop"}).fit(reads)


def random_weights_that_are_not_trained(reads):
    """Random weights that would not be trained."""
    sizes = {"d_model": 16, "n_layer": 2, "vocab_size": 12, "max_seq_len": 64}
    de.GDE(generator={"name": "hyenadna", "config": sizes}).fit(reads)


def extra_of_language_models(absent, reads):
    """A language model without its package."""
    absent("transformers")
    sizes = {"model_type": "gpt2", "vocab_size": 90}
    de.GDE(generator={"name": "causal_lm", "config": sizes, "train": "all"}).fit(reads)


def published_weights_in_a_pickle():
    """Weights in a file that can run code."""
    import torch

    Path("tiny-hyenadna/model.safetensors").unlink()
    torch.save({"model": Path("x")}, "tiny-hyenadna/pytorch_model.bin")
    HyenaDNA.load(locate("tiny-hyenadna"))


def published_model_that_changed(reads):
    """A published model that changed after a fit."""
    generator = {"name": "hyenadna", "path": "tiny-hyenadna"}
    model = de.GDE(generator=generator).fit(reads, steps=1, progress=False)
    model.save("fitted")
    path = Path("tiny-hyenadna/config.json")
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"modulation_shift": 0.0}))
    de.load("fitted")
