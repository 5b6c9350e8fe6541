"""Models of `transformers`: all of the file is read, or it is refused; a cache changes nothing."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from distembed.nn.low_rank import LowRank, add_low_rank
from distembed.pretrained.base import symbol_ids
from distembed.pretrained.files import locate
from distembed.rng import stream
from published_files import esm_states, esm_tensors, write_esm, write_gpt2

pytest.importorskip("transformers", reason="needs the extra lm")

from distembed.pretrained.native import ESM2, CausalLM

IDS = torch.randint(2, 6, (2, 20), generator=stream("ids"))


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def causal(folder):
    return CausalLM.load(locate(str(folder))).double().eval()


@pytest.fixture
def copied(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_vectors_have_the_logits_of_ids(causal):
    whole = causal.logits(causal.embed(IDS))
    close(whole, causal.model(IDS).logits)
    close(causal.logits(causal.embed(IDS[:, :9])), whole[:, :9])


def test_incremental_decoding_is_the_full_pass(causal):
    u, cache = causal.embed(IDS), causal.new_cache()
    parts = [causal.logits(part, cache) for part in u.split([7, 1, 1, 11], 1)]
    close(torch.cat(parts, 1), causal.logits(u))


def test_too_many_positions_are_refused(causal):
    u = causal.embed(torch.full((1, 41), 3))
    with pytest.raises(ValueError, match="need 41 positions, and gpt2 has 40"):
        causal.logits(u)


def test_the_vocabulary_is_that_of_the_tokenizer(causal):
    assert symbol_ids(causal.vocabulary, "TGCA", "gpt2") == [5, 4, 3, 2]
    assert causal.vocabulary.start == (0,)
    assert causal.vocabulary.stop == 1
    assert set(causal.vocabulary.ids) == set("ACGT")
    assert "has 1 tokens of several symbols" in causal.remark


@pytest.mark.parametrize("key", ["transformer.h.1.mlp.c_fc.weight", "transformer.ln_f.bias"])
@pytest.mark.parametrize("edit", ["remove", "rename", "reshape"])
def test_weights_of_another_model_are_refused(copied, key, edit):
    file = copied / "model.safetensors"
    tensors = load_file(file)
    value = tensors.pop(key)
    if edit == "rename":
        tensors["transformer.h.1.other.weight"] = value
    if edit == "reshape":
        tensors[key] = value[:3].clone()
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=re.escape(key.removeprefix("transformer."))):
        CausalLM.load(locate(str(copied)))


def test_code_of_a_model_is_never_run(copied):
    config = json.loads((copied / "config.json").read_text())
    config["model_type"] = "unheard_of"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "code.py").write_text("raise SystemExit('the code was run')")
    with pytest.raises(ValueError, match="Code that a model brings is never run"):
        CausalLM.load(locate(str(copied)))


def test_only_safetensors_are_read(copied):
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no safetensors, the only weights"):
        CausalLM.load(locate(str(copied)))


def test_a_missing_tokenizer_is_named(copied):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copied / name).unlink()
    with pytest.raises(ValueError, match=r"Copy tokenizer\.json"):
        CausalLM.load(locate(str(copied)))


def test_half_precision_is_cast_and_said(copied):
    file = copied / "model.safetensors"
    tensors = {k: v.bfloat16() for k, v in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    model = CausalLM.load(locate(str(copied)))
    assert model.remark.startswith("Weights are stored as BF16 and were cast to float32.")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_random_weights_from_a_config():
    sizes = {"n_positions": 20, "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 90}
    model = CausalLM.from_config({"model_type": "gpt2", **sizes})
    assert symbol_ids(model.vocabulary, "AC", "gpt2") == [65, 67]
    assert model.logits(model.embed(IDS)).shape == (2, 20, 90)
    with pytest.raises(ValueError, match="no model for the config"):
        CausalLM.from_config({"model_type": "unheard_of"})
    with pytest.raises(ValueError, match="no model for the config"):
        CausalLM.from_config({"model_type": "gpt2", "n_embd": 10, "n_head": 3})


def test_corrections_of_low_rank_start_at_nothing_and_reach_every_layer(causal):
    before = causal.logits(causal.embed(IDS))
    assert add_low_rank(causal.blocks, rank=2) == 8  # four layers in each of two blocks
    causal.double()
    close(causal.logits(causal.embed(IDS)), before)
    layers = [m for m in causal.modules() if isinstance(m, LowRank)]
    for layer in layers:
        torch.nn.init.normal_(layer.b)
    causal.logits(causal.embed(IDS)).square().sum().backward()
    assert all(m.a.grad.any() and m.b.grad.any() and m.base.weight.grad is None for m in layers)


# -- ESM-2 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proteins():
    return esm_tensors(stream("esm"))


def test_esm2_has_the_states_of_direct_sums_and_ignores_pads(proteins, tmp_path):
    model = ESM2.load(locate(str(write_esm(tmp_path, proteins)))).double().eval()
    assert model.limit is None
    assert model.remark == ""
    ids = torch.randint(4, 24, (2, 12), generator=stream("residues"))
    ids[:, 0] = 0
    ids[0, -1] = ids[1, 7] = 2
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, 8:] = False
    ids[~mask] = 1
    states = model.states(ids, mask)
    # the states of transformers differ from float64 where it computes angles in float32
    close(states[0], esm_states(proteins, ids[0]), 1e-5)
    close(states[1, :8], esm_states(proteins, ids[1, :8]), 1e-5)


def test_stored_frequencies_of_esm2_are_kept(proteins, tmp_path):
    changed = {k: 1.5 * v if k.endswith("inv_freq") else v for k, v in proteins.items()}
    ids = torch.arange(4, 16)[None]
    model = ESM2.load(locate(str(write_esm(tmp_path, changed)))).double().eval()
    states = model.states(ids, torch.ones_like(ids, dtype=torch.bool))
    close(states[0], esm_states(changed, ids[0]), 1e-5)
    assert (states[0] - esm_states(proteins, ids[0])).abs().max() > 1e-2


def test_the_vocabulary_of_esm2():
    model = ESM2.from_config(
        {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        | {"intermediate_size": 16, "max_position_embeddings": 30}
    )
    assert symbol_ids(model.vocabulary, "LAGX-", "esm2") == [4, 5, 6, 24, 30]
    assert model.vocabulary.start == (0,)
    assert model.vocabulary.stop == 2


def test_another_model_than_esm2_is_refused(folder):
    with pytest.raises(ValueError, match="type 'gpt2' with 12 tokens, and esm with 33"):
        ESM2.load(locate(str(folder)))


def test_missing_layers_of_esm2_are_named(proteins, tmp_path):
    tensors = {k: v for k, v in proteins.items() if "layer.1.output" not in k}
    with pytest.raises(ValueError, match=r"2 missing: encoder\.layer\.1\.output"):
        ESM2.load(locate(str(write_esm(tmp_path, tensors))))
