"""The application of methylation: its settings and its parts."""

from __future__ import annotations

from functools import partial

from distembed.apps.application import Application, Published, tiny_training
from distembed.apps.methylation.data import (
    MethylationSettings,
    data,
    mixture_cohort,
    sample_cohort,
)
from distembed.apps.methylation.figure import figure
from distembed.apps.methylation.judge import judge
from distembed.apps.methylation.model import model
from distembed.training.config import TrainConfig

__all__ = ["APP"]

APP = Application(
    name="methylation",
    title="Methylation of single reads",
    question="Which tissue or cancer do the reads of a sample come from, and what share of them "
    "is of a tumour?",
    units="Whole donors: their samples, and all mixtures of their molecules.",
    folder="methylation_epiclass",
    data=data,
    model=model,
    judge=judge,
    figure=figure,
    scales={
        "tiny": MethylationSettings(
            training=tiny_training(),
            latent=4, atoms=24, mixtures=16, held_out_mixtures=2, test=0.5,
        ),
        "quick": MethylationSettings(
            training=TrainConfig(steps=40, warmup=8, every=20, patience=0, metric_steps=40),
            atoms=150, mixtures=80, held_out_mixtures=8, test=0.5,
        ),
        "full": MethylationSettings(
            training=TrainConfig(steps=300, warmup=50, every=100, metric_steps=200),
            test=0.5,
        ),
    },
    published=Published(
        sets=12_180, atoms=253_000_000, values=128, value_bytes=1, set_size=7000, batch=8,
        steps=30_000,
        source="Loyfer et al. (2023), GSE186458: the 205 files of the form "
        "GSM5652176_Adipocytes-Z000000T7.hg38.pat.gz.",
    ),
    color="label",
    outcomes={
        "label_WGBS": partial(sample_cohort, assay="WGBS"),
        "label_RRBS": partial(sample_cohort, assay="RRBS"),
        "tumour_share": mixture_cohort,
    },
)  # fmt: skip
