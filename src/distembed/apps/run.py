"""Run an application: read, train, judge, draw, and write a folder of results.

The folder holds `model`, the numbers as `app_NAME.json`, each figure as a PNG file, and
`report.html`, one page without scripts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from distembed.apps import APPS
from distembed.apps.application import Application, AppScale, Case, Published, Settings
from distembed.apps.source import source_folder
from distembed.files import write_atomically
from distembed.registry import lookup
from distembed.report.application import png, write_application
from distembed.report.text import Fact
from distembed.sets.collection import Sets
from distembed.training.estimate import Estimate, peak_bytes

__all__ = ["load", "published_estimate", "run", "simulated"]


def load(name: str) -> Application[Any]:
    """Return an application by its name.

    Raises:
        ValueError: If there is no such application.
        ImportError: If it needs an extra that is not installed.
    """
    return cast("Application[Any]", lookup(APPS, name, "application"))


@contextmanager
def simulated(app: Application[Any]) -> Iterator[Path]:
    """Yield a temporary folder of simulated data.

    Raises:
        ValueError: If the application has no simulation.
    """
    if app.simulate is None:
        there = ", ".join(name for name in APPS if load(name).simulate is not None)
        raise ValueError(
            f"{app.name} has no simulated data; {there} has. Name a folder with --data."
        )
    with TemporaryDirectory() as folder:
        yield app.simulate(Path(folder) / "simulated")


def run(
    app: Application[Any],
    out: Path,
    scale: AppScale = "full",
    *,
    folder: Path | None = None,
    log: Callable[[str], None],
    progress: bool = True,
) -> Path:
    """Train, judge and draw an application; return its page.

    Args:
        app: The application.
        out: Folder of the model, the numbers, the figures and the page.
        scale: `full` for results, `quick` for a look, `tiny` for tests.
        folder: The data; by default those of `$DISTEMBED_DATA`.
        log: Takes lines of progress.
        progress: Whether to show the progress of training.

    Raises:
        ValueError: If the data lack a file or a column.
    """
    source = source_folder(app.folder, folder)
    settings: Settings = app.scales[scale]
    began = time.perf_counter()
    train, test = app.data(source, settings)
    log(f"train: {train}")
    log(f"test:  {test}")
    read = time.perf_counter()
    large = train.sizes >= 2
    if not large.all():
        log(
            f"{int((~large).sum())} of {len(train)} training sets have one atom and are not "
            "trained on: context and target are different atoms. They are embedded."
        )
    model = app.model(settings)
    model.fit(train.select(large), settings.training, progress=progress)
    model.save(out / "model")
    trained = time.perf_counter()
    case = Case(source, settings, train, test, model, log)
    findings = app.judge(case)
    seconds = {
        "reading": read - began,
        "training": trained - read,
        "judging": time.perf_counter() - trained,
    }
    drawings = app.figure(case, findings)
    estimate = published_estimate(app.published, model.history, settings)
    facts = {
        "question": app.question,
        "held out": app.units,
        "training sets": _sets(train),
        "held-out sets": _sets(test),
        "seconds": ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()),
        "published size": f"{app.published.sets:,} sets, {app.published.atoms:,} atoms",
        "at the published size": estimate,
    }
    record = {
        "rows": [score.to_json() for score in findings.scores],
        "settings": {
            "application": app.name,
            "scale": scale,
            **facts,
            "peak_mb": round(peak_bytes() / 2**20),
            "remarks": list(findings.remarks),
        },
    }
    write_atomically(out / f"app_{app.name}.json", json.dumps(record, indent=1) + "\n")
    for drawing in drawings:
        write_atomically(out / f"{drawing.name}.png", png(drawing.paint, drawing.size))
    return write_application(
        out / "report.html",
        app.title,
        [Fact(k, v) for k, v in facts.items() if k != "question"],
        findings.scores,
        drawings,
        question=app.question,
        remarks=findings.remarks,
        embeddings=model.embed(test),
        color=app.color if app.color in test.meta else None,
        history=model.history,
        card=model.card(),
    )


def published_estimate(
    size: Published, history: Sequence[Mapping[str, Any]], settings: Settings
) -> str:
    """Estimate the time and the memory of the published size from the measured training.

    The time is that of as many atoms in as many steps at the measured rate of atoms: networks
    that are wider than the default are slower. The memory is that of the atoms, which a store on
    disk keeps out of memory.

    Args:
        size: The published application.
        history: Records of the training here.
        settings: The settings of this training.
    """
    first, last = history[0], history[-1]
    steps = last["step"] - first["step"]
    if steps < 1:
        return "not estimated: the training has one record only"
    training = settings.training
    # a context is at most the set, and uniform in its logarithm, so that its mean is below half
    here = min(settings.atoms, training.context[1]) / 2 + training.target
    rate = steps * training.batch * here / max(last["seconds"] - first["seconds"], 1e-9)
    seconds = size.steps * size.batch * (size.set_size + training.target) / rate
    megabytes = size.atoms * size.values * size.value_bytes / 2**20
    return (
        f"{Estimate(seconds, megabytes)} of atoms on disk, for {size.steps:,} steps at the rate "
        f"measured here ({rate:,.0f} atoms a second). {size.source}"
    )


def _sets(sets: Sets) -> str:
    low, high = sets.sizes.min(), sets.sizes.max()
    return f"{len(sets):,} of {low:,} to {high:,} atoms, {sets.sizes.sum():,} in all"
