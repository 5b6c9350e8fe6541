"""The application of promoters: its settings and its parts."""

from __future__ import annotations

from distembed.apps.application import Application, Published, tiny_training
from distembed.apps.promoters.data import PromoterSettings, data, expression_cohort
from distembed.apps.promoters.figure import figure
from distembed.apps.promoters.judge import judge
from distembed.apps.promoters.model import model
from distembed.training.config import TrainConfig

__all__ = ["APP"]

APP = Application(
    name="promoters",
    title="Yeast promoters of a wanted expression",
    question="Do promoters that are drawn for a level of expression have the motifs and the "
    "expression of measured ones, also at levels that no training promoter has?",
    units="Bins of expression: every fifth one, and the three of the highest expression. Their "
    "promoters are in no training set. The oracle is fitted to promoters that are in no bin.",
    folder="promoters_gpra",
    data=data,
    model=model,
    judge=judge,
    figure=figure,
    scales={
        "tiny": PromoterSettings(
            training=tiny_training(),
            latent=4, sets=12, atoms=8, bins=10, drawn=4, oracle_promoters=200,
        ),
        "quick": PromoterSettings(
            training=TrainConfig(steps=40, warmup=8, every=20, patience=0, metric_steps=40),
            sets=80, atoms=60, drawn=60, oracle_promoters=4000,
        ),
        "full": PromoterSettings(
            training=TrainConfig(
                steps=200, warmup=40, every=100, patience=0, metric_steps=100
            ),
            sets=240, atoms=100,
        ),
    },
    published=Published(
        sets=340_000, atoms=34_000_000, values=80, value_bytes=1, set_size=100, batch=32,
        steps=1_000_000,
        source="de Boer et al. (2020), GSE104878: the files of the form "
        "*average_promoter_ELs_per_seq_3p1E7_Gal_ALL.shuffled.txt.gz.",
    ),
    color="level",
    outcomes={"expression": expression_cohort},
)  # fmt: skip
