"""The application of images of perturbed cells: its settings and its parts."""

from __future__ import annotations

from distembed.apps.application import Application, Published, tiny_training
from distembed.apps.pooled_screen.data import ScreenSettings, data
from distembed.apps.pooled_screen.figure import figure
from distembed.apps.pooled_screen.judge import judge
from distembed.apps.pooled_screen.model import model
from distembed.training.config import TrainConfig

__all__ = ["APP"]

APP = Application(
    name="pooled_screen",
    title="Images of cells at a dose that was held out",
    question="What does a cell look like at a dose, or after a perturbation, that was never "
    "imaged?",
    units="Whole conditions: no well of a held-out dose was seen in training.",
    folder="images_bbbc013",
    data=data,
    model=model,
    judge=judge,
    figure=figure,
    scales={
        "tiny": ScreenSettings(
            training=tiny_training(),
            latent=4, draws=8, atoms=8, shown=2,
        ),
        "quick": ScreenSettings(
            training=TrainConfig(
                steps=60, warmup=12, every=60, patience=0, metric_steps=30, batch=8,
                context=(8, 32), target=8,
            ),
            draws=48,
        ),
        "full": ScreenSettings(
            training=TrainConfig(
                steps=500, warmup=100, every=250, patience=0, batch=16, context=(8, 64)
            ),
        ),
    },
    published=Published(
        sets=326_000, atoms=20_872_480, values=2 * 64 * 64, value_bytes=2, set_size=64, batch=4,
        steps=160_000,
        source="Funk et al. (2022), screen A: the parquet of phenotypes and TIFF tiles.",
    ),
    color="dose",
)  # fmt: skip
