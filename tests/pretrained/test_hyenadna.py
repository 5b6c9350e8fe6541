"""HyenaDNA: every published layout gives the logits of a direct sum, at once or token by token."""

import json

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from distembed.pretrained.files import locate
from distembed.pretrained.hyenadna import HyenaConfig, HyenaDNA, convolve
from distembed.rng import stream
from published_files import HYENA_LIMIT, hyena_config, hyena_logits, hyena_tensors, write_hyena

IDS = torch.randint(7, 12, (30,), generator=stream("ids"))


def load(folder):
    return HyenaDNA.load(locate(str(folder))).double().eval()


@pytest.fixture(scope="module")
def tensors():
    return hyena_tensors(stream("hyena"))


@pytest.fixture(scope="module")
def direct(tensors):
    return hyena_logits(tensors, IDS)


@pytest.fixture
def model(tensors, tmp_path):
    return load(write_hyena(tmp_path / "hf", tensors))


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@given(length=st.integers(1, 20), seed=st.integers(0, 5))
@settings(max_examples=20)
def test_the_convolution_is_the_direct_sum(length, seed):
    rng = stream("convolution", seed)
    k = torch.randn(3, length, generator=rng, dtype=torch.float64)
    s = torch.randn(2, 3, length, generator=rng, dtype=torch.float64)
    direct = torch.zeros_like(s)
    for n in range(length):
        for m in range(n + 1):
            direct[:, :, n] += k[:, n - m] * s[:, :, m]
    close(convolve(k, s), direct)
    close(convolve(k.float(), s.float()), direct.float(), 1e-4)


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("layout", ["hf", "ckpt", "ckpt-wrapped"])
def test_every_layout_has_the_logits_of_direct_sums(tensors, direct, tmp_path, layout, head):
    model = load(write_hyena(tmp_path / "model", tensors, layout, head))
    assert model.remark == ""
    # weights are stored in float32, and the direct sum starts from the same numbers
    close(model.logits(model.embed(IDS[None]))[0], direct, 1e-9)
    single = model.float()
    error = (single.logits(single.embed(IDS[None]))[0] - direct).abs().max()
    assert error < 1e-4 * direct.abs().max()


def test_the_shift_of_the_decay_is_an_option(tensors, tmp_path):
    folder = write_hyena(tmp_path / "model", tensors)
    config = hyena_config(True) | {"modulation_shift": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    model = load(folder)
    close(model.logits(model.embed(IDS[None, :6]))[0], hyena_logits(tensors, IDS[:6], shift=0.0))


def test_stored_features_of_positions_are_kept(tensors, tmp_path):
    moved = {
        k: v + 0.1 if k.endswith("pos_emb.z") and "layers.1" in k else v
        for k, v in tensors.items()
    }
    plain = load(write_hyena(tmp_path / "plain", tensors))
    model = load(write_hyena(tmp_path / "moved", moved))
    assert "differ from the formula by 0.1: kept" in model.remark
    first, second = (b.mixer.filter_fn for b in model.layers)
    assert first.stored_features is None
    close(second.features(5), plain.layers[1].mixer.filter_fn.features(5) + 0.1, 1e-6)


def test_what_follows_changes_nothing_before(model):
    whole = model.logits(model.embed(IDS[None]))
    close(model.logits(model.embed(IDS[None, :11])), whole[:, :11])
    assert (whole[:, :11] - whole[:, 1:12]).abs().min() > 0


@given(cuts=st.lists(st.integers(1, 29), max_size=4, unique=True))
@settings(max_examples=15)
def test_incremental_decoding_is_the_full_pass(tmp_path_factory, cuts):
    tensors = hyena_tensors(stream("hyena"))
    folder = tmp_path_factory.getbasetemp() / "incremental"
    model = load(folder if folder.exists() else write_hyena(folder, tensors))
    u = model.embed(torch.stack([IDS, IDS.flip(0)]))
    cache, parts, ends = model.new_cache(), [], [0, *sorted(cuts), len(IDS)]
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        parts.append(model.logits(u[:, start:end], cache))
    close(torch.cat(parts, 1), model.logits(u))
    assert cache.length == len(IDS)


def test_too_many_positions_are_refused(model):
    message = f"need 35 positions, and hyenadna has {HYENA_LIMIT}"
    u = model.embed(torch.full((1, HYENA_LIMIT + 1), 7))
    with pytest.raises(ValueError, match=message):
        model.logits(u)
    cache = model.new_cache()
    model.logits(u[:, :HYENA_LIMIT], cache)
    with pytest.raises(ValueError, match=message):
        model.logits(u[:, :1], cache)


def test_gradients_reach_every_weight(model):
    u = model.embed(IDS[None])
    probe = torch.randn(1, len(IDS), 16, generator=stream("probe"), dtype=torch.float64)
    (model.logits(u) * probe).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad.any(), name


@pytest.mark.parametrize("hf", [True, False])
def test_both_spellings_of_the_config_are_the_same(hf):
    config = HyenaConfig.from_json(hyena_config(hf))
    assert config == HyenaConfig(
        width=16, depth=2, inner=64, limit=34, rows=16, filter_inputs=5, filter_width=8
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "type 'gpt2', and hyenadna was expected"),
        ({"d_model": None}, "d_model = None; expected a whole number"),
        ({"max_seq_len": "1k"}, "l_max or max_seq_len = '1k'"),
        ({"hyena_order": 3}, "order 3; published models have order 2"),
        ({"emb_dim": 4}, "A position has 4 features"),
    ],
    ids=str,
)
def test_a_config_of_another_model_is_refused(tensors, tmp_path, change, message):
    folder = write_hyena(tmp_path / "model", tensors)
    (folder / "config.json").write_text(json.dumps(hyena_config(True) | change))
    with pytest.raises(ValueError, match=message):
        load(folder)
