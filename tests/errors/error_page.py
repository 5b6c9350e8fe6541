"""The page `docs/errors.md`, written from the cases of the sections."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from error_cases import COMMAND, Case, Refusal

COMMAND_LINE = "pytest tests/errors --write-docs"
HEAD = """# Errors

Search this page for a few words of a message. It has {count} errors, which are raised in
{sites} places of the package. `{command}` runs the code of each and writes its
message here, and a test fails where the page differs.

In the examples `de` is `distembed`, `np` is `numpy`, and `sets` are those of the table
`cells.csv`:

```text
{table}
```

`model` is a model of these sets, which is saved as the folder `model`, and `table` is
`model.embed(sets)`. Where a message has no advice, a sentence below it does. In messages `...` is
the text of another package.
"""


@dataclass(frozen=True)
class Section:
    """A section of the page: its title, the imports of its code, and its cases and errors."""

    title: str
    imports: str
    pairs: Sequence[tuple[Case, Refusal]]


def page(sections: Sequence[Section], table: str) -> str:
    """Write the page; `table` is the first lines of the table that the cases read."""
    refusals = [refusal for section in sections for _, refusal in section.pairs]
    head = HEAD.format(
        command=COMMAND_LINE,
        count=len(refusals),
        sites=len({refusal.site for refusal in refusals}),
        table=table.strip(),
    )
    links = [f"- [{s.title}](#{_anchor(s.title)}): {len(s.pairs)}" for s in sections]
    blocks = [head, "\n".join(links) + "\n"]
    for section in sections:
        blocks.append(f"## {section.title}\n")
        if section.imports:
            blocks.append(f"```python\n{section.imports}\n```\n")
        blocks += [_entry(case, refusal) for case, refusal in section.pairs]
    return "\n".join(blocks)


def _entry(case: Case, refusal: Refusal) -> str:
    parts = [f"### {case.title}\n", _code(case.code), _quoted(refusal.text)]
    if case.advice:
        parts.append(f"{case.advice}\n")
    return "\n".join(parts)


def _code(code: str) -> str:
    """Write the code of a case: its Python, then its command."""
    lines = code.splitlines()
    commands = [match[1] for line in lines if (match := COMMAND.fullmatch(line.strip()))]
    python = "\n".join(line for line in lines if not COMMAND.fullmatch(line.strip()))
    blocks = []
    if python.strip():
        blocks.append(f"```python\n{python.strip()}\n```\n")
    if commands:
        shown = "\n".join(f"$ distembed {command}" for command in commands)
        blocks.append(f"```console\n{shown}\n```\n")
    return "\n".join(blocks)


def _quoted(text: str) -> str:
    """Quote a message, so that it is shown letter by letter and its lines are wrapped."""
    shown = re.sub(r"([\\`*<>\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)
    return "\n".join(f"> {line}" for line in "\\\n".join(shown.splitlines()).splitlines()) + "\n"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
