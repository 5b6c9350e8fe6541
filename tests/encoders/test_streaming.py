"""A set read in pieces is the set, in as many passes as an encoder says."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS
from distembed.encoders.kernel import KernelMean
from distembed.encoders.streaming import (
    accumulate,
    embed_chunks,
    finish,
    merge,
    result,
)
from distembed.registry import applicable, build
from distembed.rng import stream

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
CASES = [
    *((name, {}) for name in sorted(set(applicable(ENCODERS, "vectors")) - {"composed"})),
    ("moments", {"kind": "mean"}),
    ("moments", {"kind": "quantiles"}),
    *(("deepsets", {"pooling": p}) for p in ("mean", "logmeanexp", "huber", "median", "trimmed")),
    ("deepsets", {"feedback": "huber", "depth": 1}),
    ("deepsets", {"feedback": None}),
    ("kernel", {"relative": True}),
    ("joined", {"parts": ["moments", "kernel", "induced"]}),
    ("composed", {"sets": "induced"}),
]


def whole_set(d=3, m=500, dtype=torch.float64):
    rng = stream("whole", d)
    x = 3 + torch.randn(m, d, generator=rng, dtype=torch.float64) * torch.arange(1.0, d + 1)
    w = torch.rand(m, generator=rng, dtype=torch.float64)
    w[::7] = 0
    return SetBatch.from_list([x], [w]).to(dtype=dtype)


def pieces(whole, sizes):
    bounds = torch.tensor([0, *sizes]).cumsum(0).tolist()
    assert bounds[-1] == len(whole.x)
    return [
        SetBatch(whole.x[i:j], whole.w[i:j], torch.tensor([0, j - i]))
        for i, j in zip(bounds, bounds[1:], strict=False)
    ]


def make(name, options, d=3):
    encoder = build(ENCODERS, {"name": name, **options}, "encoder", (d,), 8)
    prepare = getattr(encoder, "prepare", None)
    if prepare:
        prepare(SetBatch.from_dense(torch.randn(30, 20, d, generator=stream("few")) * 2))
    return encoder


@pytest.mark.parametrize(
    ("name", "options", "dtype", "d"),
    [
        # a pairwise cover: every encoder in both types and both dimensions
        (*case, dtype, (3, 40)[(i + j) % 2])
        for i, case in enumerate(CASES)
        for j, dtype in enumerate(TOLERANCE)
    ],
    ids=str,
)
def test_pieces_give_the_whole_in_the_passes_that_are_stated(name, options, dtype, d):
    encoder = make(name, options, d).to(dtype)
    whole = whole_set(d, dtype=dtype)
    # one piece has no weight at all: atom 0 weighs nothing
    chunks = pieces(whole, [1, 99, 250, 150])
    reads = []

    def read():
        reads.append(1)
        return chunks

    if encoder.traits.passes is None:
        with pytest.raises(ValueError, match="cannot stream"):
            embed_chunks(encoder, read)
        return
    z = encoder(whole)
    found = embed_chunks(encoder, read)
    torch.testing.assert_close(
        found,
        z,
        rtol=0,
        atol=TOLERANCE[dtype] * float(z.detach().abs().max()),
    )
    assert len(reads) == encoder.traits.passes + 1  # and any one chunk at the end


def test_states_merge_in_any_order():
    encoder = make("deepsets", {}).double()
    chunks = pieces(whole_set(), [100, 150, 250])
    carry = ()
    for _ in range(encoder.traits.passes):
        one, two, three = (accumulate(encoder, c, carry) for c in chunks)
        carry = finish(merge([merge([three, one]), two]))
    torch.testing.assert_close(
        result(encoder, chunks[1], carry), encoder(whole_set()), rtol=0, atol=1e-10
    )


def test_one_pass_merges_sets_without_their_data_and_more_passes_refuse():
    one, two = pieces(whole_set(), [200, 300])
    kernel = KernelMean((3,), 8).double()
    stored = [accumulate(kernel, piece) for piece in (one, two)]
    z = result(kernel, one, finish(merge(stored)))
    torch.testing.assert_close(z, kernel(whole_set()), rtol=0, atol=1e-12)

    deep = make("deepsets", {}).double()
    second = [accumulate(deep, p, finish(accumulate(deep, p))) for p in (one, two)]
    with pytest.raises(ValueError, match="Only an encoder of one pass can merge"):
        merge(second)


def test_misuse_is_refused():
    encoder, whole = KernelMean((3,), 8).double(), whole_set()
    carry = finish(accumulate(encoder, whole))
    with pytest.raises(ValueError, match="All 1 passes are done"):
        accumulate(encoder, whole, carry)
    with pytest.raises(ValueError, match="0 passes are done, and the encoder asks for more"):
        result(encoder, whole, ())
    with pytest.raises(ValueError, match="no chunk to read"):
        embed_chunks(encoder, list)
    with pytest.raises(ValueError, match="Linear cannot stream"):
        embed_chunks(torch.nn.Linear(1, 1), list)
