"""The bench `paper`: the tables and figures of the GDE paper, a task a row.

A task is one model of one table, so that a run that is cut off goes on from its last row. Sizes of
held-out sets are at the end of the names of the tasks of a result.
"""

from __future__ import annotations

from distembed.benchmarks.bench import Bench, Task
from distembed.benchmarks.paper import images, mixtures, normal, poisson, simplex
from distembed.benchmarks.paper.settings import Recovery, Settings, Table1
from distembed.benchmarks.problems import Sizes
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS"]

TASKS: dict[str, Task[Settings]] = {
    **poisson.TASKS,
    **normal.TASKS,
    **mixtures.TASKS,
    **images.TASKS,
    **simplex.TASKS,
}
"""By name: the table or figure, and the prior or the model."""

_TINY = TrainConfig(steps=2, every=2, warmup=0, batch=4, target=4, context=(8, 16), validation=0)
BENCH = Bench(
    "paper",
    TASKS,
    {
        "tiny": Settings(
            _TINY,
            seconds=0.0,
            pilot=3,
            table1=Table1(_TINY, train_sets=40, sets=60, sizes=(10, 100), drawn=(20, 50)),
            normal=Recovery(30, 6, (16, 40), 20, 40),
            mixtures=Recovery(30, 3, (16, 60), 20, 40),
            images=(12, 4, 32),
            width=8,
            stretched=_TINY,
            simplex=Sizes(30, 8, (30, 8), 40, 20, 20, 24, (4, 5)),
        ),
        "quick": Settings(
            seconds=4.0,
            table1=Table1(
                TrainConfig(steps=150, context=(10, 1000), every=150, validation=0, patience=0),
                train_sets=1_000,
                sets=1_000,
                sizes=(10, 100, 1_000),
                drawn=(50, 1_000),
            ),
            normal=Recovery(500, 10, (64, 10_000), 1_000, 1_000),
            mixtures=Recovery(500, 4, (64, 10_000), 1_000, 1_000),
            images=(100, 12, 64),
            width=8,
            stretched=TrainConfig(steps=60, warmup=12, every=60, patience=0),
            simplex=Sizes(300, 24, (30, 12), 500, 60, 60, 192, (10, 5)),
        ),
        "full": Settings(),
    },
    shortened={
        "quick": (
            "table1_gamma",
            "table5_default",
            "table5_resnet_gnn_ddpm",
            "mixtures_default",
            "digits_default",
            "digits_mean_ddpm",
            "figure11_1",
        )
    },
)
