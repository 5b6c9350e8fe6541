"""The application of perturbed cells: its settings and its parts."""

from __future__ import annotations

from distembed.apps.application import Application, Published, tiny_training
from distembed.apps.perturbseq.data import PerturbSettings, data, target
from distembed.apps.perturbseq.figure import figure
from distembed.apps.perturbseq.judge import judge
from distembed.apps.perturbseq.model import model
from distembed.training.config import TrainConfig

__all__ = ["APP"]

APP = Application(
    name="perturbseq",
    title="Cells after a perturbation that was held out",
    question="What do the cells of a perturbation look like in a context where it was never "
    "made: not only their mean expression, but their distribution?",
    units="Sets of one perturbation and one context, in repeated divisions; controls of the "
    "context are known.",
    folder="perturbseq_papalexi",
    data=data,
    model=model,
    judge=judge,
    figure=figure,
    scales={
        "tiny": PerturbSettings(
            training=tiny_training(),
            latent=4, genes=40, components=4, repeats=2, draws=20, atoms=60, fewest=5, test=0.5,
        ),
        "quick": PerturbSettings(
            training=TrainConfig(
                steps=100, warmup=20, every=50, patience=0, metric_steps=50, context=(16, 256)
            ),
            repeats=2, draws=150, test=0.5,
        ),
        "full": PerturbSettings(
            training=TrainConfig(
                steps=400, warmup=80, every=100, patience=0, metric_steps=150, context=(16, 256)
            ),
            test=0.5,
        ),
    },
    published=Published(
        sets=9220, atoms=1_000_000, values=11_907, value_bytes=4, set_size=100, batch=96,
        steps=14_400,
        source="Replogle et al. (2022) as one AnnData with obs gene and cell_type, and GenePT "
        "vectors of 3,072 numbers.",
    ),
    color="target",
    outcomes={"target": target},
)  # fmt: skip
