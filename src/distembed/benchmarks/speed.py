r"""How fast the package is, as ratios within one run.

Part `encoders`: atoms a second of every trainable encoder, forward (`forward`) and with the
gradient of every weight (`training`), on 64 sets of 100, of 1,000, and of 20 to 2,000 atoms of
dimension 16. `padded` is the textbook form of the same network: sets in a rectangle `(B, M, D)`,
a mask, masked means. It shares the weights of `deepsets_plain`, the setting of `deepsets` with
the very same arithmetic, and every encoder's ratio to it (`..._over_padded`, above one is faster)
is the median over repeats of two times measured one after the other.

Further rows: `induced` per atom from 10^3 to 10^5 atoms a set, all 10^5 atoms in total (a ratio of
one is linear cost); 1,000 sets of 1,000 atoms through `GDE.embed`; and what bfloat16 gains, where
the processor has it. `attention` is quadratic: beyond 100 atoms it gets an eighth of the sets, and
its time is still counted per atom.

Part `generators`: network calls and seconds until a sampler is as good as it gets
(`distembed.benchmarks.solvers`).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import SECONDS, Score, environment, measured_rows
from distembed.benchmarks.solvers import race_of_samplers, race_on_a_ring
from distembed.encoders import ENCODERS
from distembed.encoders.deepsets import DeepSets
from distembed.model.gde import GDE
from distembed.nn.precision import reduced_to
from distembed.protocols import PreparedEncoder
from distembed.registry import build
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.runtime import Runtime

__all__ = ["ARMS", "PARTS", "Padded", "bench"]

PARTS = ("encoders", "generators")
D, LATENT, SETS, REPEATS = 16, 32, 64, 3
SHAPES: Mapping[str, tuple[int, int, int]] = {
    "100 atoms": (100, 100, 5 * REPEATS),
    "1000 atoms": (1000, 1000, REPEATS),
    "20 to 2000 atoms": (20, 2000, REPEATS),
}
"""Least and greatest size of a set, drawn uniformly, and repeats: short runs are noisier."""
PLAIN = "deepsets_plain"
ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "deepsets": ("joined", {}),
    PLAIN: ("deepsets", {"relative": False, "pooling": "mean"}),
    "gnn": ("gnn", {}),
    "resnet_gnn": ("resnet_gnn", {}),
    "median_gnn": ("median_gnn", {}),
    "kernel_learned": ("kernel", {"learned": True}),
    "induced": ("induced", {}),
    "attention": ("attention", {}),
}
"""Encoder and options."""
GROWTH, EMBEDDED = (1_000, 10_000, 100_000), 1_000
"""Sizes of a set for the cost of an atom; sets, and atoms of each, that a GDE embeds."""


class Padded(nn.Module):
    """A deep-sets network on padded sets, with the layers of a plain `DeepSets`.

    Args:
        encoder: Of mean pooling, without relative atoms and moments.

    Example:
        >>> plain = DeepSets((3,), 4, relative=False, pooling="mean")
        >>> Padded(plain)(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 4])
    """

    def __init__(self, encoder: DeepSets) -> None:
        super().__init__()
        self.inputs, self.layers, self.head = encoder.inputs, encoder.layers, encoder.head

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embed `x (B, M, D)`, whose atoms are where `mask (B, M)` is true, to `(B, L)`."""
        share = (mask.to(x.dtype) / mask.sum(1, keepdim=True)).unsqueeze(1)
        h = self.inputs(x)
        for module in self.layers:
            layer = cast(Any, module)
            told = layer.by_set((share @ h).squeeze(1)).unsqueeze(1)
            inner = layer.by_atom(functional.layer_norm(h, h.shape[-1:])) + told
            h = h + layer.outer(functional.silu(inner))
        z: Tensor = self.head((share @ h).squeeze(1))
        return z


def _sets(low: int, high: int, count: int, rng: torch.Generator) -> SetBatch:
    sizes = torch.randint(low, high + 1, (count,), generator=rng).tolist()
    return SetBatch.from_list([torch.randn(m, D, generator=rng) for m in sizes])


def _padded(batch: SetBatch) -> tuple[Tensor, Tensor]:
    dense, log_w = SetBatch(batch.x, batch.w, batch.offsets).dense(batch.x)
    return dense, log_w.isfinite()


def _encoder(name: str, seed: int) -> nn.Module:
    encoder, options = ARMS[name]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made: nn.Module = build(ENCODERS, {"name": encoder, **options}, "encoder", (D,), LATENT)
    if isinstance(made, PreparedEncoder):
        made.prepare(_sets(100, 100, 64, stream(seed, "prepare")))
    return made


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _forward(network: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.inference_mode():
            return network()

    return run


def _training(network: Callable[[], Tensor], module: nn.Module) -> Callable[[], None]:
    def run() -> None:
        module.zero_grad(set_to_none=True)
        network().square().mean().backward()

    return run


def _on(encoder: nn.Module, batch: SetBatch) -> Callable[[], Tensor]:
    # a batch of training is new at every step, so nothing that it remembers may be reused
    return lambda: cast(Tensor, encoder(SetBatch(batch.x, batch.w, batch.offsets)))


def _race(low: int, high: int, repeats: int, count: int, seed: int) -> Iterator[Score]:
    """Time every encoder on the same sets, each in turn, several times."""
    batch = _sets(low, high, count, stream(seed, "sets", low, high))
    few = batch.select(range(max(1, count // 8))) if high > 100 else batch
    encoders = {name: _encoder(name, seed) for name in ARMS}
    atoms = {name: len(few.x if name == "attention" else batch.x) for name in ARMS}
    networks = {
        name: (_on(encoder, few if name == "attention" else batch), encoder)
        for name, encoder in encoders.items()
    }
    padded, (x, mask) = Padded(cast(DeepSets, encoders[PLAIN])), _padded(batch)
    # the two that are compared run one after the other
    order = ["padded", PLAIN, *(name for name in ARMS if name != PLAIN)]
    networks["padded"], atoms["padded"] = ((lambda: padded(x, mask)), padded), len(batch.x)
    for metric in ("forward", "training"):
        rates: dict[str, list[float]] = {name: [] for name in order}
        for repeat in range(repeats + 1):
            for name in order:
                network, module = networks[name]
                run = _forward(network) if metric == "forward" else _training(network, module)
                rate = atoms[name] / _seconds(run)
                if repeat:  # the first allocates
                    rates[name].append(rate)
        for name in order:
            yield name, f"{metric}_atoms_per_s", statistics.median(rates[name])
        for name in order[1:]:
            pairs = zip(rates[name], rates["padded"], strict=True)
            yield name, f"{metric}_over_padded", statistics.median(a / b for a, b in pairs)


def _growth(seed: int) -> Iterator[Score]:
    """Time an atom in sets of growing size, the total of atoms being the same."""
    encoder, rng = _encoder("induced", seed), stream(seed, "growth")
    batches = {m: _sets(m, m, max(GROWTH) // m, rng) for m in GROWTH}
    times: dict[int, list[float]] = {m: [] for m in GROWTH}
    for repeat in range(REPEATS + 1):
        for m, batch in batches.items():
            spent = _seconds(_forward(_on(encoder, batch))) / len(batch.x)
            if repeat:
                times[m].append(spent)
    for m in GROWTH:
        yield "induced", f"us_per_atom_m{m}", 1e6 * statistics.median(times[m])
    pairs = zip(times[GROWTH[-1]], times[GROWTH[0]], strict=True)
    yield "induced", "largest_over_smallest", statistics.median(a / b for a, b in pairs)


def _embedding(threads: int, seed: int) -> Iterator[Score]:
    """Time a GDE, untrained but for a step, on many sets."""
    rng = stream(seed, "embedding")
    settings = TrainConfig(steps=1, seed=seed, threads=threads)
    model = GDE(latent=LATENT).fit(_sets(40, 40, 64, rng), settings, progress=False)
    sets = _sets(EMBEDDED, EMBEDDED, EMBEDDED, rng)
    yield "gde", "embed_seconds", _seconds(lambda: model.embed(sets, covariance=False))


def _bfloat16(sets: int, seed: int) -> Iterator[Score]:
    """Time the default encoder in float32 and in bfloat16."""
    encoder, batch = (
        _encoder("deepsets", seed),
        _sets(EMBEDDED, EMBEDDED, sets, stream(seed, "bfloat16")),
    )
    network = _on(encoder, batch)
    for metric, run in (("forward", _forward(network)), ("training", _training(network, encoder))):
        gains = []
        for repeat in range(REPEATS + 1):
            full = _seconds(run)
            with reduced_to(torch.bfloat16):
                gain = full / _seconds(run)
            if repeat:
                gains.append(gain)
        yield "deepsets", f"{metric}_gain", statistics.median(gains)


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; torch emulates it where not, slowly."""
    known = getattr(torch.cpu, "get_capabilities", None)  # younger than the oldest torch we take
    return known is not None and any(known().get(k) for k in ("amx_bf16", "avx512_bf16"))


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    tasks: Sequence[str] | None = None,
    threads: int | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Time the parts; each seed draws other sets and weights.

    Args:
        quick: A quarter of the sets: a look, not a result.
        seeds: Number of seeds.
        tasks: Names of parts; all where left out.
        threads: CPU threads; two, or one where there is one core, where left out.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a part is unknown.
    """
    if unknown := [name for name in tasks or () if name not in PARTS]:
        raise ValueError(f"There is no part {unknown[0]!r}; there are: {', '.join(PARTS)}.")
    count, sets = threads or min(2, os.cpu_count() or 1), SETS // 4 if quick else SETS
    parts: dict[str, Callable[[int], Iterator[Score]]] = {}
    bfloat16 = _has_bfloat16()
    if "encoders" in (tasks or PARTS):
        parts |= {name: partial(_race, *shape, sets) for name, shape in SHAPES.items()}
        parts[f"{max(GROWTH)} atoms in all"] = _growth
        parts[f"embed {EMBEDDED} x {EMBEDDED}"] = partial(_embedding, count)
        if bfloat16:
            parts["bfloat16 over float32"] = partial(_bfloat16, sets)
    if "generators" in (tasks or PARTS):
        parts["trained networks"] = partial(race_of_samplers, quick, count)
        parts["exact velocity"] = partial(race_on_a_ring, quick)

    def measure(name: str, part: Callable[[int], Iterator[Score]], seed: int) -> Iterator[Score]:
        began = time.perf_counter()
        yield from part(seed)
        yield (*SECONDS, time.perf_counter() - began)

    with Runtime.choose("cpu", threads=count).active():
        rows = measured_rows(parts, seeds, measure, log)
        place = environment()
    return {
        "bench": "speed",
        "environment": place,
        "config": {
            "sets": sets,
            "dimension": D,
            "latent": LATENT,
            "encoders": {name: {"name": e, **options} for name, (e, options) in ARMS.items()},
            "attention_sets": f"{max(1, sets // 8)} beyond 100 atoms",
            "repeats": {name: repeats for name, (_, _, repeats) in SHAPES.items()},
            "bfloat16": bfloat16 or "this processor has none",
        },
        "rows": rows,
    }
