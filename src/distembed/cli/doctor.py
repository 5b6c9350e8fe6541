"""`distembed doctor`: what is installed, what it runs on, and whether it works."""

from __future__ import annotations

import importlib
import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from typing import Annotated

import typer

from distembed.cli.console import complain, stage
from distembed.cli.extras import Requirement, declared_requirements
from distembed.version import __version__

__all__ = ["doctor"]

_DEVELOPMENT = ("test", "lint", "neighbours")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def doctor(
    device: Annotated[
        str, typer.Option("--device", help="Device of the self-test: auto, cpu or cuda.")
    ] = "auto",
) -> None:
    """Print versions, devices, threads and extras, and run a self-test of about a second.

    The self-test trains a tiny model, embeds, draws, compares a distance with its closed form, and
    reads a saved model again. The exit code is 1 if a part of it fails, or if a package that is
    always needed is missing; the message has the reason. Paste the output into a bug report.

    Example: distembed doctor
    """
    typer.echo(f"distembed {__version__}, Python {platform.python_version()}, {_system()}")
    requirements = _requirements()
    broken = [r for r in requirements if not r.extra and not r.met]
    for line in _packages(requirements):
        typer.echo(line)
    if broken:
        reason = "; ".join(map(str, broken))
        complain(f"error: {reason}. Install it with: pip install --upgrade distembed")
        raise typer.Exit(1)
    for line in _machine():
        typer.echo(line)
    if not _tested(device):
        raise typer.Exit(1)


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"


def _requirements() -> list[Requirement]:
    """Return what the package needs; nothing if it is not installed."""
    try:
        return declared_requirements()
    except PackageNotFoundError:
        typer.echo("the package is not installed, so that its extras are not listed; it runs from "
                   "a folder")  # fmt: skip
        return []


def _packages(requirements: list[Requirement]) -> Iterator[str]:
    """Write the packages that are always needed, and a line for each extra."""
    always = [r for r in requirements if not r.extra]
    if always:
        yield f"packages: {', '.join(map(str, always))}"
    extras = dict.fromkeys(r.extra for r in requirements if r.extra not in ("", *_DEVELOPMENT))
    for extra in extras:
        own = [r for r in requirements if r.extra == extra]
        missing = [r for r in own if not r.met]
        if missing:
            reason = ", ".join(map(str, missing))
            yield f"extra {extra}: no, {reason}; pip install 'distembed[{extra}]'"
        else:
            yield f"extra {extra}: yes, {', '.join(map(str, own))}"


def _machine() -> Iterator[str]:
    """Write the devices and the number of threads."""
    import torch

    yield f"cpu: {len(_cores())} cores for this process, {os.cpu_count()} in all"
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            memory = properties.total_memory / 2**30
            yield f"cuda:{number}: {properties.name}, {memory:.0f} GiB"
    else:
        built = "" if torch.version.cuda else "; this torch was built without it"
        yield f"cuda: none{built}"
    stated = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    settings = f" ({', '.join(stated)})" if stated else ""
    yield f"threads: torch uses {torch.get_num_threads()}{settings}"


def _cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _tested(device: str) -> bool:
    """Run the self-test, and return whether all of it passed."""
    with stage("importing"):
        importlib.import_module("torch._dynamo")  # the first optimizer does
        from distembed.testing.report import Report
        from distembed.testing.self_test import self_test
    start = time.perf_counter()
    try:
        report = Report("the self-test", tuple(self_test(device)))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the machine is the result
        complain(f"error: the self-test ended with {type(error).__name__}: {error}")
        return False
    if report.broken:
        complain(f"error: {report}")
        return False
    typer.echo(f"self-test: {report} in {time.perf_counter() - start:.1f} s")
    return True
