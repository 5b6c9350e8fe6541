"""Files of published models: foreign, truncated, renamed and missing ones are refused by name."""

import json
import re
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from distembed.pretrained.base import symbol_ids
from distembed.pretrained.files import INDEX, locate, read_tensors
from distembed.pretrained.hyenadna import VOCABULARY as DNA
from distembed.pretrained.hyenadna import HyenaDNA
from distembed.pretrained.progen2 import VOCABULARY as PROTEIN
from distembed.pretrained.progen2 import ProGen2
from distembed.pretrained.states import cast
from distembed.rng import stream
from published_files import hyena_tensors, progen_tensors, write_hyena, write_progen

TENSORS = {"hyenadna": hyena_tensors(stream("hyena")), "progen2": progen_tensors(stream("p"))}


def hyena(folder):
    return write_hyena(folder, TENSORS["hyenadna"])


def progen(folder):
    return write_progen(folder, TENSORS["progen2"], "converted")


MODELS = {"hyenadna": (hyena, HyenaDNA), "progen2": (progen, ProGen2)}
KEYS = {
    "hyenadna": "hyena.backbone.layers.1.mixer.out_proj.weight",
    "progen2": "transformer.h.1.attn.out_proj.weight",
}


def load(name, folder):
    return MODELS[name][1].load(locate(str(folder)))


@pytest.fixture(params=MODELS)
def model(request, tmp_path):
    return request.param, MODELS[request.param][0](tmp_path / "model")


def edited(folder, edit):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


def test_all_errors_of_keys_and_shapes_are_named_at_once(model):
    name, folder = model
    key = KEYS[name]

    def edit(tensors):
        tensors["extra.weight"] = torch.zeros(2)
        tensors[key + "_2"] = tensors.pop(key)
        norm = key.replace("mixer.out_proj", "norm1").replace("attn.out_proj", "ln_1")
        tensors[norm] = torch.zeros(3)

    edited(folder, edit)
    with pytest.raises(ValueError, match="not those of") as error:
        load(name, folder)
    text = str(error.value)
    assert f"not those of {name}" in text
    assert re.search(r"1 missing: \S*out_proj\.weight", text)
    assert re.search(r"2 unexpected: .*extra\.weight", text)
    assert f"{key}_2" in text
    assert "(3,), expected (1" in text


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hyenadna", "ln_f.bias"),
        ("hyenadna", "word_embeddings.weight"),
        ("hyenadna", "layers.1.mixer.filter_fn.implicit_filter.1.freq"),
        ("progen2", "wte.weight"),
        ("progen2", "h.0.mlp.fc_in.bias"),
        ("progen2", "lm_head.weight"),
    ],
)
def test_each_missing_tensor_is_named(tmp_path, name, key):
    folder = MODELS[name][0](tmp_path / "model")
    edited(folder, lambda tensors: [tensors.pop(k) for k in list(tensors) if k.endswith(key)])
    shown = key.replace("implicit_filter.1.freq", "frequency")
    with pytest.raises(ValueError, match=f"1 missing: {shown}"):
        load(name, folder)


def test_a_truncated_file_is_refused(model):
    name, folder = model
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or no safetensors file"):
        load(name, folder)


@pytest.mark.parametrize("bytes_kept", [0, 40, -100])
def test_a_truncated_file_of_torch_is_refused(tmp_path, bytes_kept):
    folder = write_progen(tmp_path / "model", TENSORS["progen2"], "original")
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:bytes_kept])
    with pytest.raises(ValueError, match="truncated|damaged"):
        load("progen2", folder)


def test_a_pickle_with_more_than_tensors_is_refused(tmp_path):
    folder = write_hyena(tmp_path / "model", TENSORS["hyenadna"], "ckpt")
    content = torch.load(folder / "weights.ckpt", weights_only=True)
    torch.save(content | {"callbacks": pytest.MonkeyPatch()}, folder / "weights.ckpt")
    with pytest.raises(ValueError, match="more than tensors.*Use the safetensors"):
        load("hyenadna", folder)
    torch.save(["a list"], folder / "weights.ckpt")
    with pytest.raises(ValueError, match="no mapping of names to tensors"):
        load("hyenadna", folder)


def test_frequencies_that_differ_are_refused(tmp_path):
    name = "layers.0.mixer.filter_fn.implicit_filter.3.freq"
    tensors = TENSORS["hyenadna"] | {name: torch.zeros(1, 8)}
    folder = write_hyena(tmp_path / "model", tensors, "ckpt")
    with pytest.raises(ValueError, match=r"3\.freq differs from .*1\.freq"):
        load("hyenadna", folder)


def test_features_of_a_layer_that_is_not_there_are_unexpected(tmp_path):
    stored = TENSORS["hyenadna"]["layers.0.mixer.filter_fn.pos_emb.z"]
    tensors = TENSORS["hyenadna"] | {"layers.7.mixer.filter_fn.pos_emb.z": stored}
    folder = write_hyena(tmp_path / "model", tensors, "ckpt")
    with pytest.raises(ValueError, match=r"1 unexpected: layers\.7\.mixer\.filter_fn\.pos_emb\.z"):
        load("hyenadna", folder)


def test_quantised_weights_are_refused(model):
    name, folder = model

    def edit(tensors):
        tensors[KEYS[name]] = tensors[KEYS[name]].to(torch.int8)

    edited(folder, edit)
    with pytest.raises(ValueError, match=r"out_proj\.weight \(torch\.int8\); expected float32"):
        load(name, folder)


def test_types_are_cast_and_counted():
    half = {"a": torch.ones(2, dtype=torch.bfloat16), "b": torch.ones(2)}
    tensors, sentence = cast(half)
    assert {v.dtype for v in tensors.values()} == {torch.float32}
    assert sentence == "1 tensors are stored as bfloat16 and were cast to float32."
    assert cast({"b": torch.ones(2)})[1] == ""


# -- where files are ------------------------------------------------------------------------------


def test_shards_are_read_as_one_file(model):
    name, folder = model
    whole = load_file(folder / "model.safetensors")
    names = sorted(whole)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, keys in parts.items():
        save_file({k: whole[k] for k in keys}, folder / part)
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {k: part for part, keys in parts.items() for k in keys}}
    (folder / INDEX).write_text(json.dumps(index))
    files = locate(str(folder))
    assert read_tensors(files).keys() == whole.keys()
    load(name, folder)
    index["weight_map"][names[0]] = "../a.safetensors"
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match="the file '../a.safetensors'"):
        locate(str(folder))
    (folder / INDEX).write_text("[]")
    with pytest.raises(ValueError, match="no JSON object"):
        locate(str(folder))
    (folder / INDEX).write_text("{}")
    with pytest.raises(ValueError, match="no 'weight_map'"):
        locate(str(folder))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(model, file):
    _, folder = model
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        locate(str(folder))


def test_a_folder_that_is_not_there(monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no folder \./nowhere"):
        locate("./nowhere")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"no folder models/tiny.*distembed\[lm\]"):
        locate("models/tiny")


def test_a_name_is_looked_for_in_the_cache_of_the_hub(monkeypatch, tmp_path, model):
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra lm")
    name, folder = model
    with pytest.raises(FileNotFoundError, match="Nothing is downloaded unless its option"):
        locate("nobody/no-such-model")
    calls = []

    def snapshot(path, **options):
        calls.append((path, options["revision"], options["local_files_only"]))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    files = locate("org/model", revision="abc")
    assert (files.source.path, files.source.revision) == ("org/model", "abc")
    assert locate("org/model", download=True).source.revision == folder.name
    assert calls == [("org/model", "abc", True), ("org/model", None, False)]
    with pytest.raises(ValueError, match="a folder, which has no revisions"):
        locate(str(folder), revision="abc")


def test_the_hash_is_that_of_the_content(model, tmp_path):
    _, folder = model
    first = locate(str(folder)).source.sha256
    shutil.copytree(folder, tmp_path / "copy")
    assert locate(str(tmp_path / "copy")).source.sha256 == first
    with (tmp_path / "copy" / "config.json").open("a") as file:
        file.write(" ")
    assert locate(str(tmp_path / "copy")).source.sha256 != first
    edited(folder, lambda tensors: next(iter(tensors.values())).add_(1))
    assert locate(str(folder)).source.sha256 != first


def test_a_damaged_config_is_refused(model):
    name, folder = model
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        load(name, folder)


# -- vocabularies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vocabulary", "alphabet"), [(DNA, "ACGTN"), (PROTEIN, "ACDEFGHIKLMNPQRSTVWYX")]
)
def test_symbols_are_tokens_and_back(vocabulary, alphabet):
    ids = symbol_ids(vocabulary, alphabet, "model")
    back = {token: symbol for symbol, token in vocabulary.ids.items()}
    assert "".join(back[i] for i in ids) == alphabet
    assert not {*vocabulary.start, vocabulary.stop} & set(ids)
    assert symbol_ids(vocabulary, alphabet[::-1], "model") == ids[::-1]


def test_published_tokens():
    assert symbol_ids(DNA, "ACGTN", "hyenadna") == [7, 8, 9, 10, 11]
    assert symbol_ids(PROTEIN, "ABHIKLZ", "progen2") == [5, 6, 12, 13, 14, 15, 29]


def test_symbols_without_a_token_are_refused():
    with pytest.raises(ValueError, match=r"has '-', for which hyenadna has no token.*'ACGNT'"):
        symbol_ids(DNA, "ACGT-", "hyenadna")
    with pytest.raises(ValueError, match="in upper case"):
        symbol_ids(DNA, "acgt", "hyenadna")
    with pytest.raises(ValueError, match="'J', for which progen2"):
        symbol_ids(PROTEIN, "ACJ", "progen2")
