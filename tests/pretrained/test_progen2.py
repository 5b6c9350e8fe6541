"""ProGen2: every published layout has the logits of CodeGen, at once or token by token."""

import json

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn.functional import gelu

from distembed.pretrained.files import locate
from distembed.pretrained.progen2 import ProGen2, ProGenConfig, unsharded
from distembed.rng import stream
from published_files import PROGEN_LIMIT, layer_norm, progen_config, progen_tensors, write_progen

SIZES = {"wide": (128, 16, 4), "narrow": (16, 8, 2)}
IDS = torch.randint(3, 30, (20,), generator=stream("ids"))


def load(folder):
    return ProGen2.load(locate(str(folder))).double().eval()


def logits_of(model, ids=IDS[None]):
    return model.logits(model.embed(ids))


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def direct(tensors, ids, heads, rotary):
    """Logits `(T, rows)` of one sequence, position by position and head by head, in float64."""
    w = {k.removeprefix("transformer."): v.double() for k, v in tensors.items()}
    u = w["wte.weight"][ids]
    length, width = u.shape
    channels, shard = width // heads, width // 8
    for i in range(2):
        b = {k.removeprefix(f"h.{i}."): v for k, v in w.items() if k.startswith(f"h.{i}.")}
        n = layer_norm(u, b["ln_1.weight"], b["ln_1.bias"])
        rows = n @ b["attn.qkv_proj.weight"].T
        parts = [
            torch.cat([rows[:, (3 * s + slot) * shard :][:, :shard] for s in range(8)], 1)
            for slot in range(3)
        ]
        q, v, k = (part.view(length, heads, channels) for part in parts)
        q, k = turned(q, rotary), turned(k, rotary)
        mixed = torch.zeros(length, heads, channels, dtype=torch.float64)
        for t in range(length):
            for head in range(heads):
                score = k[: t + 1, head] @ q[t, head] / channels**0.5
                mixed[t, head] = score.softmax(0) @ v[: t + 1, head]
        inner = gelu(n @ b["mlp.fc_in.weight"].T + b["mlp.fc_in.bias"], approximate="tanh")
        u = u + mixed.flatten(1) @ b["attn.out_proj.weight"].T
        u = u + inner @ b["mlp.fc_out.weight"].T + b["mlp.fc_out.bias"]
    h = layer_norm(u, w["ln_f.weight"], w["ln_f.bias"])
    return h @ w["lm_head.weight"].T + w["lm_head.bias"]


def turned(x, rotary):
    out = x.clone()
    for p in range(len(x)):
        for j in range(rotary // 2):
            angle = torch.tensor(p * 10000 ** (-2 * j / rotary), dtype=torch.float64)
            a, b = x[p, :, 2 * j], x[p, :, 2 * j + 1]
            out[p, :, 2 * j] = a * angle.cos() - b * angle.sin()
            out[p, :, 2 * j + 1] = b * angle.cos() + a * angle.sin()
    return out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spelling", ["original", "converted", "without rows"])
@pytest.mark.parametrize(("rows", "buffers"), [(32, True), (64, False)])
def test_every_layout_has_the_logits_of_direct_sums(tmp_path, size, spelling, rows, buffers):
    width, heads, rotary = SIZES[size]
    tensors = progen_tensors(stream("progen"), width, rows=rows, buffers=buffers)
    options = {"width": width, "heads": heads, "rotary": rotary}
    model = load(write_progen(tmp_path / "model", tensors, spelling, **options))
    assert model.remark == ""
    close(logits_of(model)[0], direct(tensors, IDS, heads, rotary))


def test_the_network_is_codegen_after_a_permutation(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra lm")
    tensors = progen_tensors(stream("progen"), buffers=False)
    model = load(write_progen(tmp_path / "model", tensors))
    config = transformers.CodeGenConfig(
        vocab_size=32,
        n_positions=PROGEN_LIMIT,
        n_embd=128,
        n_layer=2,
        n_head=16,
        rotary_dim=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
    )
    native = transformers.CodeGenForCausalLM(config).double().eval()
    state = dict(tensors)
    for name, rows in tensors.items():
        if "qkv_proj" in name:
            # eight shards of (query, value, key) become four
            q, v, k = rows.view(8, 3, 16, 128).unbind(1)
            parts = [part.reshape(4, 32, 128) for part in (q, v, k)]
            state[name] = torch.stack(parts, 1).reshape(3 * 128, 128)
    native.load_state_dict({k: v.double() for k, v in state.items()})
    close(logits_of(model), native(IDS[None]).logits, 1e-6)


def test_the_order_of_rows_is_the_published_one():
    rows = torch.arange(48.0)[:, None]
    q, k, v = unsharded(rows).chunk(3)
    assert q.flatten().tolist() == [6 * s + c for s in range(8) for c in (0, 1)]
    assert v.flatten().tolist() == [6 * s + c for s in range(8) for c in (2, 3)]
    assert k.flatten().tolist() == [6 * s + c for s in range(8) for c in (4, 5)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("progen")
    return load(write_progen(folder, progen_tensors(stream("progen")), "converted"))


def test_what_follows_changes_nothing_before(model):
    whole = logits_of(model)
    close(logits_of(model, IDS[None, :11]), whole[:, :11])
    assert (whole[:, :11] - whole[:, 1:12]).abs().min() > 0


@given(cuts=st.lists(st.integers(1, 19), max_size=4, unique=True))
@settings(max_examples=15)
def test_incremental_decoding_is_the_full_pass(model, cuts):
    u = model.embed(torch.stack([IDS, IDS.flip(0)]))
    cache, parts, ends = model.new_cache(), [], [0, *sorted(cuts), len(IDS)]
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        parts.append(model.logits(u[:, start:end], cache))
    close(torch.cat(parts, 1), model.logits(u))


def test_too_many_positions_are_refused(model):
    u = model.embed(torch.full((1, PROGEN_LIMIT + 1), 7))
    with pytest.raises(ValueError, match=f"need 41 positions, and progen2 has {PROGEN_LIMIT}"):
        model.logits(u)


def test_half_precision_is_cast_and_said(tmp_path):
    tensors = progen_tensors(stream("progen"))
    model = load(write_progen(tmp_path / "half", tensors, "converted", torch.float16))
    assert model.remark == "All 21 tensors are stored as float16 and were cast to float32."
    rounded = {k: v.half() for k, v in tensors.items() if v.is_floating_point()}
    close(logits_of(model)[0], direct(rounded, IDS, 16, 4), 1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "hyenadna"}, "type 'hyenadna', and progen was expected"),
        ({"rotary_dim": 5}, "rotary_dim 5; heads divide"),
        ({"n_head": 12}, "12 heads and rotary_dim"),
        ({"n_layer": 0}, "n_layer = 0; expected"),
    ],
    ids=str,
)
def test_a_config_of_another_model_is_refused(tmp_path, change, message):
    folder = write_progen(tmp_path / "model", progen_tensors(stream("progen")))
    (folder / "config.json").write_text(json.dumps(progen_config("original") | change))
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_rows_are_those_of_the_file_where_the_config_has_none():
    config = progen_config("without rows")
    assert ProGenConfig.from_json(config, rows=64, head_rows=40).head_rows == 40
    with pytest.raises(ValueError, match="vocab_size_emb or vocab_size = None"):
        ProGenConfig.from_json(config)
