"""Exported models on the Hugging Face Hub, by huggingface_hub: its token, cache, mirrors and offline mode hold here."""

import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from folksong.errors import FolksongError
from folksong.export import DESCRIPTION_NAME
from folksong.export.folder import CARD_NAME, WEIGHTS_NAME, export_folder, is_exported
from folksong.runs import Run

SCHEME = "hf://"
NAME = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
FILES = (DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME)


def fetch_model(name: str) -> Path:
    """Return the folder in the Hub's cache of an exported model, ``hf://user/name`` or ``hf://user/name@revision``.

    Fetched are the three files of an exported model and no others; nothing of them is run.

    Raises:
        FolksongError: there is none, the Hub cannot be reached, or huggingface_hub is not installed.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise FolksongError(f"{name}: a model of the Hub is called hf://user/name or hf://user/name@revision")
    hub = _huggingface_hub()
    try:
        place = hub.snapshot_download(found["repo"], revision=found["revision"], allow_patterns=list(FILES))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise FolksongError(f"{name}: cannot be fetched ({_first_line(error)})") from error
    return Path(place)


def push_to_hub(
    model: Run | str | os.PathLike[str], name: str, *, private: bool = False, dry_run: bool = False
) -> list[tuple[str, int]]:
    """Upload a run's best tagger, or an exported folder, and return the files with their sizes in bytes.

    Args:
        model: the run, or its folder, or an exported one.
        name: ``hf://user/name``; the repository is made if there is none.
        private: a repository that is made is only its owner's.
        dry_run: upload nothing, ask nobody.

    Raises:
        FolksongError: the Hub refuses it, or cannot be reached.
    """
    found = NAME.fullmatch(name)
    if found is None or found["revision"]:
        raise FolksongError(f"{name}: say where it goes as hf://user/name")
    with ExitStack() as stack:
        if not isinstance(model, Run) and is_exported(model):
            folder = Path(model)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            export_folder(model if isinstance(model, Run) else Run.open(model), folder)
        listed = [(file, (folder / file).stat().st_size) for file in FILES]
        if not dry_run:
            hub = _huggingface_hub()
            try:
                api = hub.HfApi()
                api.create_repo(found["repo"], private=private, exist_ok=True)
                api.upload_folder(repo_id=found["repo"], folder_path=folder, allow_patterns=list(FILES))
            except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
                raise FolksongError(f"{name}: cannot be uploaded ({_first_line(error)})") from error
    return listed


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise FolksongError(
            'models of the Hub need the package huggingface_hub, which is not installed: pip install "folksong[hub]"'
        ) from None
    return huggingface_hub
