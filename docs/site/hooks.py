"""Pages of the site that are made when it is built: the start from README.md, and the reference.

Links to files outside of docs/ have no page. They become plain text, or links to the repository
where `repo_url` is set.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "distembed"
MODULES = ("sets", "data", "encoders", "generators", "divergences", "geometry", "inference",
           "heads", "plot", "evaluation", "training", "testing")  # fmt: skip
"""Parts of the package whose public names are listed beside those of `distembed` itself."""
RELATIVE = re.compile(r"\[([^\]]+)\]\(((?:\.\./|results)[^)#]*)(#[^)]*)?\)")
"""Links that may lead out of the pages: to a folder above, or to the files of results."""


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = re.sub(r"\]\(docs/", "](", readme)
    readme = re.sub(r"\]\((examples|CITATION|LICENSE|SECURITY|CONTRIBUTING)", r"](../\1", readme)
    files.append(File.generated(config, "index.md", content=readme))
    files.append(File.generated(config, "api.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace links to files outside of docs/, which are no pages."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target.startswith("docs/") and not f"{target}/".startswith("docs/results/"):
            return match[0]
        place = f"{config.repo_url.rstrip('/')}/blob/main/" if config.repo_url else None
        return f"[{match[1]}]({place}{target})" if place else match[1]

    return RELATIVE.sub(link, markdown)


def _reference() -> str:
    """Write the page of all public names."""
    intro = (
        "The names of `distembed`, then those of its parts; no name with an underscore is public."
    )
    lines = ["# API", intro]
    lines += [f"::: {target}" for target in _public(PACKAGE / "__init__.py", "distembed")]
    for module in MODULES:
        names = _public(PACKAGE / module / "__init__.py", f"distembed.{module}")
        if names:
            lines += [f"# `distembed.{module}`", *(f"::: {name}" for name in names)]
    return "\n\n".join(lines)


def _public(path: Path, package: str) -> list[str]:
    """Return where the names of `__all__` are defined, as `module.name`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    homes: dict[str, str] = {}
    public: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            homes |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            homes.setdefault(node.name, f"{package}.{node.name}")
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            public = ast.literal_eval(node.value)
    return sorted({homes[name] for name in public if name in homes and not name.startswith("_")})
