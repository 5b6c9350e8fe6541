"""The application of clones: its settings and its parts."""

from __future__ import annotations

from distembed.apps.application import Application, Published, tiny_training
from distembed.apps.lineage.data import LineageSettings, data, fate
from distembed.apps.lineage.figure import figure
from distembed.apps.lineage.judge import judge
from distembed.apps.lineage.model import model
from distembed.apps.lineage.simulate import simulate
from distembed.training.config import TrainConfig

__all__ = ["APP"]

APP = Application(
    name="lineage",
    title="Fates of barcoded clones",
    question="How much do the early cells of a clone tell of the cells that it becomes, beyond "
    "their cell types?",
    units="Whole clones: no cell of a held-out clone was seen in training.",
    folder="lineage_larry",
    data=data,
    model=model,
    judge=judge,
    figure=figure,
    scales={
        "tiny": LineageSettings(
            training=tiny_training(context=(1, 8)),
            latent=4, genes=50, components=4, permutations=5, test=0.5,
        ),
        "quick": LineageSettings(
            training=TrainConfig(
                steps=100, warmup=20, every=50, patience=0, metric_steps=50, context=(1, 64)
            ),
            permutations=50, test=0.5,
        ),
        "full": LineageSettings(
            training=TrainConfig(
                steps=800, warmup=100, every=100, metric_steps=200, context=(1, 128)
            ),
            test=0.5,
        ),
    },
    published=Published(
        sets=9000, atoms=131_000, values=25_289, value_bytes=4, set_size=100, batch=16,
        steps=56_000,
        source="Weinreb et al. (2020), stateFate_inVitro: normed_counts.mtx.gz, "
        "gene_names.txt.gz, clone_matrix.mtx.gz and metadata.txt.gz.",
    ),
    color="day",
    outcomes={"fate": fate},
    simulate=simulate,
)  # fmt: skip
