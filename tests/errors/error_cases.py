"""Cases of errors, the messages that they end in, and where the package raises them.

A section is a module whose docstring is its title. A case is a function of it: its docstring is
the title of the case, followed by advice where the message has none, and its body is what a user
writes. Its arguments are objects of a `Setting` by name; `distembed` runs a command line, and
`absent` hides a package.
"""

import ast
import inspect
import io
import os
import re
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import distembed
from distembed.cli.main import main

PACKAGE = Path(distembed.__file__).parent
COMMAND = re.compile(r"distembed\(r?\"(.*)\"\)")
HOME = "/home/me"
"""What stands for the folder of a case in messages."""


@dataclass(frozen=True)
class Case:
    """A case: its name, its title, what is advised, and the code that a user writes."""

    name: str
    title: str
    advice: str
    code: str
    function: Callable[..., object]


@dataclass(frozen=True)
class Refusal:
    """An error as its user sees it, whether a command ends in it, and where it is raised."""

    text: str
    command: bool
    site: str


@dataclass(frozen=True)
class Setting:
    """What cases have at hand: a folder of files, and objects by the names of arguments."""

    files: Path
    objects: dict[str, object]


def imports_of(module: ModuleType) -> str:
    """Return the imports of the package and of torch that the cases of a section use."""
    body = ast.parse(inspect.getsource(module)).body
    lines = [ast.unparse(n) for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(
        line for line in lines if re.match(r"from (distembed|torch)|import torch", line)
    )


def cases_of(module: ModuleType) -> list[Case]:
    """Read the cases of a section in the order in which they stand in the file."""
    functions = [
        f
        for f in vars(module).values()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and f.__doc__
    ]
    return [_case(f) for f in sorted(functions, key=lambda f: f.__code__.co_firstlineno)]


def _case(function: Callable[..., object]) -> Case:
    title, _, advice = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    lines = inspect.getsource(function).splitlines()
    body = ast.parse(textwrap.dedent("\n".join(lines))).body[0].body
    code = _spaced(textwrap.dedent("\n".join(lines[body[0].end_lineno :])).strip("\n"))
    return Case(
        name=function.__name__,
        title=title.removesuffix("."),
        advice=" ".join(advice.split()),
        code=code,
        function=function,
    )


def _spaced(code: str) -> str:
    """Put two blank lines around functions and classes, as formatters do in a module."""
    code = re.sub(r"\n\n+(?=(?:def|class) )", "\n\n\n", code)
    return re.sub(r"(\n +[^\n]*)\n\n+(?=\S)", r"\1\n\n\n", code)


def refusal_of(case: Case, setting: Setting, folder: Path) -> Refusal:
    """Run a case in a folder of its own.

    Raises:
        AssertionError: If it ends without an error, or in one that is not of the package.
    """
    shutil.copytree(setting.files, folder, dirs_exist_ok=True)
    names = inspect.signature(case.function).parameters
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        absent = partial(_hide, patch)
        objects = setting.objects | {"distembed": _run, "absent": absent}
        try:
            case.function(**{name: objects[name] for name in names})
        except _CommandError as end:
            error, text, command = end.error, str(end), True
        except Exception as raised:  # noqa: BLE001 - the error is the result
            error, text, command = raised, f"{type(raised).__name__}: {raised}", False
        else:
            raise AssertionError(f"{case.name} raises nothing")
    text = _without_foreign(text, error.__cause__).replace(os.fspath(folder), HOME)
    return Refusal(text, command, _site(error))


def _hide(patch: pytest.MonkeyPatch, package: str) -> None:
    """Let imports of a package fail, as where it is not installed."""
    for name in [m for m in sys.modules if m.partition(".")[0] == package]:
        patch.delitem(sys.modules, name)
    patch.setitem(sys.modules, package, None)


class _CommandError(Exception):
    """The end of a command: its error, and what it writes last."""

    def __init__(self, error: BaseException, text: str) -> None:
        super().__init__(text)
        self.error = error


def _run(line: str) -> None:
    """Run a command line, and raise its error.

    Raises:
        AssertionError: If the command shows a traceback, or its exit code is not 1 or 2.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_info:
        main(shlex.split(line))
    code, error, text = exit_info.value.code, exit_info.value.__context__, err.getvalue()
    if not code:
        return
    assert error is not None
    assert code in (1, 2)
    assert "Traceback" not in text
    text = text[text.rfind("error: ") :].rstrip("\n")
    if code == 2:  # written in a box of the width of the terminal
        text = f"Error: {error.format_message()}"
    raise _CommandError(error, text) from error


def _site(error: BaseException) -> str:
    """Return the file and line of the `raise` statement of an error, as `model/gde.py:80`.

    Raises:
        AssertionError: If it is not a statement of the package.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    if not path.is_relative_to(PACKAGE):
        usage = type(error).__module__.startswith(("typer", "click"))
        assert usage, f"{error!r} is raised in {path}, not in the package"
        return f"usage: {error}"
    assert (frame.line or "").startswith("raise "), f"{error!r} comes from {frame.line!r}"
    return f"{path.relative_to(PACKAGE)}:{frame.lineno}"


def _without_foreign(text: str, cause: BaseException | None) -> str:
    """Replace what another package writes, which differs between its versions, by dots."""
    if cause is None or not str(cause):
        return text
    frames = traceback.extract_tb(cause.__traceback__)
    if not frames or not Path(frames[-1].filename).is_relative_to(PACKAGE):
        text = text.replace(str(cause), "...")
    return _without_foreign(text, cause.__cause__)
