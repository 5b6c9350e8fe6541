r"""Speed of encoders, as ratios within one run.

Atoms a second of every trainable encoder, forward (`forward`) and with the gradient of every
weight (`training`), on 64 sets of 100, of 1,000, and of 20 to 2,000 atoms of dimension 16.
`padded` is the textbook form of the same network: sets in a rectangle `(B, M, D)`, a mask, masked
means. It shares the weights of `deepsets_plain`, the setting of `deepsets` with the very same
arithmetic, and every encoder's ratio to it (`..._over_padded`, above one is faster) is the median
over repeats of two times measured one after the other.

Further tasks: `induced` per atom from 10^3 to 10^5 atoms a set, all 10^5 atoms in total (a ratio
of one is linear cost); 1,000 sets of 1,000 atoms through `GDE.embed`; the steps of a training
beside a loop that is written by hand (`distembed.benchmarks.steps`); and the gain of bfloat16,
where the processor has it. `attention` is quadratic: beyond 100 atoms it gets an eighth of the
sets, and its time is still counted per atom.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial
from distembed.benchmarks.padded import Padded, padded
from distembed.benchmarks.steps import step_scores
from distembed.benchmarks.timing import median_ratio, paired_times, seconds_of
from distembed.encoders import DEFAULT_ENCODERS, ENCODERS
from distembed.encoders.deepsets import DeepSets
from distembed.evaluation.result import Score
from distembed.nn.precision import reduced_to
from distembed.protocols import PreparedEncoder
from distembed.registry import build
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "make_encoder"]


@dataclass(frozen=True)
class Settings:
    """Sizes and arms.

    Attributes:
        training: Of the model that embeds; its threads are those of all encoders.
        arms: Trainable encoders.
        plain: Label of the arm with the arithmetic of the padded network, which runs next to it.
        quadratic: Label of the arm that gets an eighth of the sets beyond 100 atoms.
        dimension: Of an atom.
        latent: Dimension of the embedding.
        sets: Sets of a batch.
        repeats: Repeats of a measurement, after one that allocates.
        short_repeats: The same of the smallest sets: short runs are noisier.
        shapes: Fewest and most atoms of a set, by task.
        growth: Atoms of a set for the cost of an atom; the largest is the total.
        embedded: Sets, and atoms of each, that a model embeds.
        trained: Training sets, atoms of each, and timed steps of a training.
    """

    training: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1, threads=2))
    arms: tuple[Arm, ...] = (
        Arm("gde", DEFAULT_ENCODERS["vectors"]),
        Arm("joined", "joined"),
        Arm("deepsets_plain", {"name": "deepsets", "pooling": "mean"}),
        Arm("gnn", "gnn"),
        Arm("resnet_gnn", "resnet_gnn"),
        Arm("median_gnn", "median_gnn"),
        Arm("kernel_learned", {"name": "kernel", "learned": True}),
        Arm("induced", "induced"),
        Arm("attention", "attention"),
    )
    plain: str = "deepsets_plain"
    quadratic: str = "attention"
    dimension: int = 16
    latent: int = 32
    sets: int = 64
    repeats: int = 3
    short_repeats: int = 15
    shapes: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {
            "100 atoms": (100, 100),
            "1000 atoms": (1000, 1000),
            "20 to 2000 atoms": (20, 2000),
        }
    )
    growth: tuple[int, ...] = (1_000, 10_000, 100_000)
    embedded: int = 1_000
    trained: tuple[int, int, int] = (300, 600, 30)


def normal_sets(low: int, high: int, count: int, dimension: int, rng: torch.Generator) -> SetBatch:
    """Draw sets of `low` to `high` standard normal atoms."""
    sizes = torch.randint(low, high + 1, (count,), generator=rng).tolist()
    return SetBatch.from_list([torch.randn(m, dimension, generator=rng) for m in sizes])


def make_encoder(arm: Arm, settings: Settings, seed: int) -> nn.Module:
    """Build an encoder with weights of its seed, and prepare it."""
    event, latent = (settings.dimension,), settings.latent
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder: nn.Module = build(ENCODERS, arm.encoder, "encoder", event, latent)
    if isinstance(encoder, PreparedEncoder):
        encoder.prepare(normal_sets(100, 100, 64, settings.dimension, stream(seed, "prepare")))
    return encoder


def _unused(batch: SetBatch) -> SetBatch:
    """Copy a batch without the properties that it has computed: in training every one is new."""
    return SetBatch(batch.x, batch.w, batch.offsets)


def _forward(network: Callable[[], Tensor]) -> Callable[[], object]:
    def run() -> Tensor:
        with torch.inference_mode():
            return network()

    return run


def _training(network: Callable[[], Tensor], module: nn.Module) -> Callable[[], object]:
    def run() -> None:
        module.zero_grad(set_to_none=True)
        network().square().mean().backward()

    return run


def _on(encoder: nn.Module, batch: SetBatch) -> Callable[[], Tensor]:
    return lambda: cast(Tensor, encoder(_unused(batch)))


def _race(trial: Trial[Settings]) -> Iterator[Score]:
    """Time every encoder on the same sets."""
    settings, seed = trial.settings, trial.seed
    low, high = settings.shapes[trial.name]
    rng = stream(seed, "sets", low, high)
    batch = normal_sets(low, high, settings.sets, settings.dimension, rng)
    eighth = batch.select(range(max(1, settings.sets // 8))) if high > 100 else batch
    encoders = {arm.label: make_encoder(arm, settings, seed) for arm in settings.arms}
    batches = {name: eighth if name == settings.quadratic else batch for name in encoders}
    network, (x, mask) = Padded(cast(DeepSets, encoders[settings.plain])), padded(_unused(batch))
    calls = {name: _on(encoders[name], batches[name]) for name in encoders}
    # the two that are compared run one after the other
    order = ["padded", settings.plain, *(n for n in encoders if n != settings.plain)]
    calls["padded"], encoders["padded"] = (lambda: cast(Tensor, network(x, mask))), network
    batches["padded"] = batch
    repeats = settings.short_repeats if high <= 100 else settings.repeats
    for metric in ("forward", "training"):
        runs = {
            name: _forward(calls[name])
            if metric == "forward"
            else _training(calls[name], encoders[name])
            for name in order
        }
        times = paired_times(runs, repeats)
        atoms = {name: len(batches[name].x) for name in order}
        for name in order:
            rate = atoms[name] / statistics.median(times[name])
            yield Score(f"{metric}_atoms_per_s", name, rate)
        for name in order[1:]:
            ratio = median_ratio(times["padded"], times[name]) * atoms[name] / atoms["padded"]
            yield Score(f"{metric}_over_padded", name, ratio)


def _growth(trial: Trial[Settings]) -> Iterator[Score]:
    """Time an atom in sets of growing size, the total of atoms being the same."""
    settings, rng = trial.settings, stream(trial.seed, "growth")
    (arm,) = (arm for arm in settings.arms if arm.label == "induced")
    encoder, total = make_encoder(arm, settings, trial.seed), max(settings.growth)
    batches = {m: normal_sets(m, m, total // m, settings.dimension, rng) for m in settings.growth}
    runs = {str(m): _forward(_on(encoder, batch)) for m, batch in batches.items()}
    times = paired_times(runs, settings.repeats)
    for m, batch in batches.items():
        cost = 1e6 * statistics.median(times[str(m)]) / len(batch.x)
        yield Score(f"us_per_atom_m{m}", "induced", cost)
    first, last = settings.growth[0], settings.growth[-1]
    atoms = len(batches[first].x) / len(batches[last].x)
    ratio = median_ratio(times[str(last)], times[str(first)]) * atoms
    yield Score("largest_over_smallest", "induced", ratio)


def _embedding(trial: Trial[Settings]) -> Iterator[Score]:
    """Time a model, trained for one step, on many sets."""
    settings, rng = trial.settings, stream(trial.seed, "embedding")
    train = Sets.from_batch(normal_sets(40, 40, 64, settings.dimension, rng))
    fitted = trial.fit(Arm("gde").model(settings.latent), train)
    count = settings.embedded
    sets = normal_sets(count, count, count, settings.dimension, rng)
    seconds = seconds_of(lambda: fitted.model.embed(sets, covariance=False))
    yield Score("embed_seconds", "gde", seconds)


def _training_step(trial: Trial[Settings]) -> Iterator[Score]:
    """Time steps of the default model."""
    settings = trial.settings
    sets, atoms, steps = settings.trained
    rng = stream(trial.seed, "training")
    train = Sets.from_batch(normal_sets(atoms, atoms, sets, settings.dimension, rng))
    # one thread: on a busy machine two wait for each other, and the ratios become noise
    config = TrainConfig(batch=settings.sets, seed=trial.seed, threads=1)
    yield from step_scores(train, config, steps)


def _bfloat16(trial: Trial[Settings]) -> Iterator[Score]:
    """Time the default encoder in float32 and in bfloat16."""
    settings, m = trial.settings, trial.settings.embedded
    encoder = make_encoder(settings.arms[0], settings, trial.seed)
    rng = stream(trial.seed, "bfloat16")
    network = _on(encoder, normal_sets(m, m, settings.sets, settings.dimension, rng))

    def reduced(run: Callable[[], object]) -> Callable[[], object]:
        def run_reduced() -> None:
            with reduced_to(torch.bfloat16):
                run()

        return run_reduced

    for metric, run in (("forward", _forward(network)), ("training", _training(network, encoder))):
        times = paired_times({"full": run, "reduced": reduced(run)}, settings.repeats)
        gain = median_ratio(times["full"], times["reduced"])
        yield Score(f"{metric}_gain", settings.arms[0].label, gain)


def _no_bfloat16() -> str | None:
    """Return why bfloat16 is not timed: torch emulates it, slowly, where there is none."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # not in the oldest torch
    features = capabilities() if capabilities is not None else {}
    if any(features.get(name) for name in ("amx_bf16", "avx512_bf16")):
        return None
    return "This processor does not multiply bfloat16."


TASKS = {
    "100 atoms": Task(_race),
    "1000 atoms": Task(_race),
    "20 to 2000 atoms": Task(_race),
    "100000 atoms in all": Task(_growth),
    "embed 1000 x 1000": Task(_embedding),
    "training": Task(_training_step),
    "bfloat16 over float32": Task(_bfloat16, missing=_no_bfloat16),
}
BENCH = Bench(
    "speed",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=1, threads=1),
            sets=2,
            repeats=1,
            short_repeats=1,
            dimension=4,
            shapes={"100 atoms": (10, 10), "1000 atoms": (20, 20), "20 to 2000 atoms": (5, 30)},
            growth=(10, 100),
            embedded=10,
            trained=(4, 20, 2),
        ),
        "quick": Settings(sets=16),
        "full": Settings(),
    },
    serial=True,
)
