"""The application of viral proteins: its settings and its parts."""

from __future__ import annotations

from distembed.apps.application import Application, Published, tiny_training
from distembed.apps.viral_proteins.data import (
    ViralSettings,
    data,
    date_cohort,
    region_cohort,
)
from distembed.apps.viral_proteins.figure import figure
from distembed.apps.viral_proteins.judge import judge
from distembed.apps.viral_proteins.model import model
from distembed.training.config import TrainConfig

__all__ = ["APP"]

APP = Application(
    name="viral_proteins",
    title="Viral proteins by place and time",
    question="When and where do the proteins of a sample come from, and do proteins that are "
    "drawn for a held-out place and time look like those that circulated there?",
    units="Whole sets of one place and time, at random; and all sets of the last years.",
    folder="virus_rsva_G",
    data=data,
    model=model,
    judge=judge,
    figure=figure,
    scales={
        "tiny": ViralSettings(
            training=tiny_training(),
            latent=4, atoms=8, sets=30,
        ),
        "quick": ViralSettings(
            training=TrainConfig(
                steps=20, warmup=4, every=20, patience=0, metric_steps=20, context=(4, 16)
            ),
            atoms=20,
        ),
        "full": ViralSettings(
            training=TrainConfig(
                steps=200, warmup=40, every=100, patience=0, metric_steps=100
            ),
            atoms=60,
        ),
    },
    published=Published(
        sets=56_800, atoms=909_000, values=1273, value_bytes=1, set_size=16, batch=1,
        steps=170_000,
        source="GISAID (registration is needed): spikeprot0430.fasta with the headers of GISAID.",
    ),
    color="date",
    outcomes={"date": date_cohort, "region": region_cohort},
)  # fmt: skip
