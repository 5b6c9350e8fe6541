"""Models by name: a folder of a model is put to a hub of models, and read from it.

Transport alone is the hub's: what travels are the four files of `distembed.model.storage`, and no
other file is downloaded. So weights are safetensors, nothing that is loaded can run code, and the
hashes of the config tell a file that was damaged on its way. A client of the hub has the three
methods of `HubClient`, as that of `huggingface_hub` has; any other with them will do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from distembed.model.storage import FILES
from distembed.registry import need

__all__ = ["HubClient", "model_folder", "upload"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class HubClient(Protocol):
    """What is asked of a client of a hub, in the terms of `huggingface_hub.HfApi`."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Make a repository for a model."""

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str | Path,
        commit_message: str,
        revision: str | None,
        allow_patterns: list[str],
    ) -> Any:
        """Upload the files of a folder."""

    def snapshot_download(
        self, repo_id: str, *, revision: str | None, allow_patterns: list[str]
    ) -> Any:
        """Download files of a repository, and return the folder in which they are."""


def model_folder(
    path_or_repo: str | Path, revision: str | None = None, client: HubClient | None = None
) -> Path:
    """Return the folder of a model: a local one, or that of a download.

    Args:
        path_or_repo: A folder, or `owner/name` on the hub. A folder that exists comes first.
        revision: Branch, tag or commit on the hub.
        client: The hub; that of `huggingface_hub` if left out.

    Raises:
        FileNotFoundError: If there is no such folder, and it is no name on a hub either.
        ImportError: If the extra `hub` is not installed.
        OSError: If the hub has no such model or cannot be reached.
        ValueError: If a revision of a local folder is asked for.
    """
    if Path(path_or_repo).exists():
        if revision is not None:
            raise ValueError(
                f"{path_or_repo} is a local folder, which has no revision {revision!r}. Leave the "
                "revision out, or name a model on the hub, owner/name."
            )
        return Path(path_or_repo)
    name = str(path_or_repo)
    if not _REPO.fullmatch(name):
        raise FileNotFoundError(
            f"There is no folder {name}, and it is no name on a hub, which is owner/name. Give "
            "the folder that GDE.save wrote, or such a name."
        )
    api = client or _client()
    try:
        return Path(api.snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:  # each version of a client has errors of its own
        at = f" at revision {revision!r}" if revision else ""
        raise OSError(
            f"There is no folder {name}, and the hub did not give a model of this name{at}: "
            f"{type(error).__name__}: {error}. Check the name, the network, and, for a private "
            "model, that you are logged in."
        ) from error


def upload(
    folder: Path,
    repo: str,
    *,
    private: bool,
    revision: str | None,
    message: str,
    client: HubClient | None = None,
) -> str:
    """Upload the folder of a model, and return where it is, as the hub names it.

    Args:
        folder: The folder.
        repo: `owner/name`; made if it does not exist.
        private: Whether a new repository is private.
        revision: Branch to upload to; the main one if left out.
        message: Message of the commit.
        client: The hub; that of `huggingface_hub` if left out.

    Raises:
        ImportError: If the extra `hub` is not installed.
        ValueError: If `repo` is no name on a hub.
    """
    if not _REPO.fullmatch(repo):
        raise ValueError(f"{repo!r} is no name on a hub; write owner/name, as ada/kidney.")
    api = client or _client()
    api.create_repo(repo, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo,
        folder_path=folder,
        commit_message=message,
        revision=revision,
        allow_patterns=list(FILES),
    )
    return str(commit)


def _client() -> HubClient:
    client: HubClient = need("huggingface_hub", "hub").HfApi()
    return client
