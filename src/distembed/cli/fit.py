"""`distembed fit`: train a model on the sets of a table."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from distembed.cli.config import RunConfig
from distembed.cli.configfile import load_config, to_yaml
from distembed.cli.console import listed, say
from distembed.cli.loading import HELD_OUT, read_sets
from distembed.cli.options import Force
from distembed.data import SPACES
from distembed.data.readers.base import choose_reader
from distembed.data.transforms import TRANSFORMS
from distembed.encoders import ENCODERS
from distembed.files import claim_folder, write_atomically
from distembed.generators import GENERATORS
from distembed.model import ATTACHMENTS, CONDITIONINGS
from distembed.registry import build, check_options
from distembed.training.config import TrainConfig
from distembed.training.interrupt import Interrupted

if TYPE_CHECKING:
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = ["FitCommand", "fit"]

RUN, CONFIG = "run.yaml", "config.json"
CHECKPOINT, RECORDS = "checkpoint.safetensors", "checkpoint.jsonl"


class FitCommand(TyperCommand):
    """Explain how settings are written if they are given as options, or not at all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Typer has its own copy of Click or uses the installed one, so that the classes of its
            # errors differ, and are compared by name
            usage = cast(Any, error)
            if type(error).__name__ == "MissingParameter":
                usage.message = (
                    "Settings are missing. Write them, such as data.path=cells.csv "
                    "data.by=COLUMN, or name a YAML file"
                )
            elif type(error).__name__ == "NoSuchOption":
                setting = _as_setting(usage.option_name, words)
                usage.message = (
                    f"No such option: {usage.option_name}. Settings are written key=value, as "
                    f"{setting or 'train.steps=20'}"
                )
                if setting:
                    usage.possibilities = None
            raise


def _as_setting(option: str, words: list[str]) -> str | None:
    """Return the setting with the name of an option and its value; None if there is none."""
    key = option.lstrip("-").replace("-", "_")
    sections = [
        name
        for name, field in RunConfig.model_fields.items()
        if key in getattr(field.annotation, "model_fields", ())
    ]
    if not sections:
        return None
    next_words = words[words.index(option) + 1 :] if option in words else []
    values = [w.partition("=")[2] for w in words if w.startswith(f"{option}=")]
    return f"{sections[0]}.{key}={[*values, *next_words, 'VALUE'][0]}"


def fit(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG", help="A YAML file; not needed if all settings are overrides."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY.SUB=VALUE", help="Value of a key; the last one counts."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the model; the same as out=FOLDER.")
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print every key, its value and meaning, and stop."),
    ] = False,
    force: Force = False,
) -> None:
    """Train a model on the sets of a table, hold a share of them out, and save the model.

    An interrupted run leaves FOLDER.partial. The same command resumes it from its last checkpoint.
    `torchrun --nproc-per-node N -m distembed fit ...` trains with N processes.

    Example: distembed fit run.yaml data.path=cells.csv train.steps=2000 --out run

    Without a file: distembed fit data.path=cells.csv data.by=patient
    """
    words = [config, *(overrides or [])]
    file = None if "=" in config and not Path(config).exists() else Path(words.pop(0))
    run = load_config(file, words + ([f"out={json.dumps(out)}"] if out is not None else []))
    if print_config:
        typer.echo(to_yaml(run), nl=False)
        return
    folder = Path(run.out).expanduser()
    partial = _claim(folder, run, force)
    _check_options(run)
    from distembed.training.distributed import process_group

    with process_group() as ranks:
        train, test = _split(run, read_sets(run.data))
        model = _model(run)
        with _working(partial) if ranks.first else contextlib.nullcontext():
            if ranks.first:
                _begin(partial, run, test, force)
            try:
                model.fit(train, run.train, checkpoint=partial / CHECKPOINT, progress=True)
            except Interrupted as stop:
                say(f"stopped at step {stop.step} of {stop.steps}; the same command resumes there")
                raise typer.Exit(stop.exit_code) from stop
            if ranks.first:
                _save(model, partial, folder)
    say(f"{folder}: the model, its card and its config; next: distembed report {folder}")


def _begin(partial: Path, run: RunConfig, test: list[str], force: bool) -> None:
    """Write what a run is resumed by; with `force`, drop the checkpoint of another run."""
    if force:
        (partial / CHECKPOINT).unlink(missing_ok=True)
    write_atomically(partial / RUN, to_yaml(run))
    write_atomically(partial / HELD_OUT, json.dumps(test) + "\n")


def _save(model: GDE, partial: Path, folder: Path) -> None:
    """Write the model, and drop what a resumed run would need."""
    for name in ATTACHMENTS:  # saved with the model: no later command has to fit them
        with contextlib.suppress(ValueError):
            model.attachment(name)
    model.save(folder)
    for name in (RUN, HELD_OUT):
        (partial / name).replace(folder / name)
    for old in ("evaluation.json", "report.html"):  # of an earlier model in this folder
        (folder / old).unlink(missing_ok=True)
    for name in (CHECKPOINT, RECORDS):
        (partial / name).unlink(missing_ok=True)


def _claim(folder: Path, run: RunConfig, force: bool) -> Path:
    """Return the folder of the unfinished run, or refuse to overwrite another run.

    Raises:
        FileExistsError: If there is a model, or an unfinished run of another config.
    """
    claim_folder(folder, CONFIG)
    if (folder / CONFIG).exists() and not force:
        raise FileExistsError(
            errno.EEXIST,
            "contains a model; --force replaces it, --out names another folder",
            str(folder),
        )
    partial = folder.with_name(f"{folder.name}.partial")
    unfinished = (partial / CHECKPOINT).exists() and not force
    if unfinished and (changed := _changes(load_config(partial / RUN), run)):
        raise FileExistsError(
            errno.EEXIST,
            f"contains an unfinished run with another {listed(changed, 4)}; the old settings "
            "resume it, --force replaces it, --out names another folder",
            str(partial),
        )
    return partial


def _changes(there: RunConfig, here: RunConfig) -> list[str]:
    """Return the keys that decide the numbers of a run and differ, each with both values."""
    old, new = (_leaves(_decisive(run).model_dump(mode="json")) for run in (there, here))
    return [
        f"{key} ({old.get(key)} there, {new.get(key)} here)"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their dotted keys."""
    leaves = dict[str, Any]()
    for name, value in tree.items():
        inner = isinstance(value, Mapping)
        leaves |= _leaves(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return leaves


def _decisive(run: RunConfig) -> RunConfig:
    """Return a config without what does not change the numbers of a run."""
    free = ("device", "threads", "checkpoint_seconds", "parts")
    plain = {name: TrainConfig.model_fields[name].default for name in free}
    return run.model_copy(update={"out": "", "train": run.train.model_copy(update=plain)})


def _check_options(run: RunConfig) -> None:
    """Refuse options that a member does not take, before anything is read.

    If the kind of atoms is stated, members that are not defined for it are refused too.
    """
    # facts of sequences are not known before the data are read, but will be
    facts: dict[str, Any] = dict.fromkeys(("vocab", "alphabet", "aligned"))
    model, atoms = run.model, run.data.atoms
    if atoms.name != "auto":
        facts = dict(build(SPACES, atoms.member, "kind of atom").facts)
    families = (
        (ENCODERS, model.encoder, "encoder", 2),
        (GENERATORS, model.generator, "generator", 2),
        (CONDITIONINGS, model.conditioning, "conditioning", 1),
    )
    for family, config, kind, positional in families:
        if config.name != "auto":
            member_facts = {} if family is CONDITIONINGS else facts
            check_options(family, config.member, kind, positional, member_facts)
    for transform in () if model.transform == "auto" else model.transform:
        build(TRANSFORMS, transform.model_dump(), "transform", facts=facts)


def _split(run: RunConfig, sets: Sets) -> tuple[Sets, list[str]]:
    """Return the training sets and the ids of those that are held out."""
    from distembed.data.spaces import describe

    say(repr(sets))
    if sets.features is not None:
        count, names = len(sets.features), listed(sets.features, 8)
        selection = choose_reader(run.data.path).selection
        others = f" (select others with data.{selection})" if selection else ""
        say(f"{count} features: {names}{others}")
    say(f"atoms: {describe(sets.atoms)} (set another kind with data.atoms)")
    if not run.split.test:
        return sets, []
    train, test = sets.split(
        run.split.test, rng=run.split.seed, stratify=run.split.stratify, group=run.split.group
    )
    say(f"{len(train)} training sets, {len(test)} held out")
    return train, test.ids.tolist()


def _model(run: RunConfig) -> GDE:
    from distembed.model.gde import GDE

    config, transform = run.model, run.model.transform
    model = GDE(
        config.encoder.member,
        config.generator.member,
        config.latent,
        conditioning=config.conditioning.member,
        transform=transform if transform == "auto" else [t.model_dump() for t in transform],
    )
    model.notes["data"] = run.data.model_dump(mode="json", exclude_none=True)
    return model


@contextlib.contextmanager
def _working(partial: Path) -> Iterator[None]:
    """Make the folder of a run, and remove what a run that stops can do without.

    What was there before is left alone: an error of a resumed run keeps its checkpoint.
    """
    ours = not partial.exists()
    partial.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException as error:
        # the same data and settings would raise a ValueError again
        if ours and (isinstance(error, ValueError) or not (partial / CHECKPOINT).exists()):
            shutil.rmtree(partial, ignore_errors=True)
        raise
    with contextlib.suppress(OSError):  # something else is in it
        partial.rmdir()
