"""``folksong curate`` and ``serve``: apps that answer a browser, or programs."""

import getpass
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import click

from folksong.cli.command import File, Folder, FolksongCommand, Target, note
from folksong.errors import needs_extra

Port = Annotated[int, click.IntRange(0, 65535)]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(cls=FolksongCommand)
def curate(
    *, labels: File | None = None, tags: File | None = None, run: str | None = None, audio: Folder | None = None,
    log: File | None = None, decisions: File | None = None, proposals: File | None = None, out: Target | None = None,
    who: str | None = None, port: Port = 0, listen: str = "127.0.0.1", open_browser: bool = True,
) -> None:  # fmt: skip
    """Look, listen and decide, in a browser on this machine: labels, tracks and merges.

    Pages come from this machine only and ask for nothing elsewhere. The address, with its token, is for you: who knows
    it can change your files. Ctrl-C ends it.

    Example:
      folksong curate --labels hybrid.labels.json --tags lastfm.db --run runs/filtered --audio music/

    Args:
        labels (FILE): The label space to curate; it is read and never written.
        run (RUN): The tagger: a run, an exported folder, or the name of a pretrained one.
        audio (DIR): The recordings.
        log (FILE): Where the board's actions are kept.  [default: LABELS, ending in .curation.jsonl]
        decisions (FILE): Where what you decide while listening is kept.  [default: beside the run]
        proposals (FILE): Merges to review, of "folksong tags propose"; the reviewed ones are written beside them, as
            .reviewed.tsv.
        out (FILE): Where the curated labels are written.  [default: LABELS, ending in .curated.labels.json]
        who (NAME): Kept beside each action.  [default: your user name]
        port: Of the address; 0 takes a free one.
        listen (ADDRESS): Be reachable from other machines at this address, too; what is sent is not encrypted.
        open_browser (--open/--no-open): Open the page in your browser.
    """
    with needs_extra("the app", "curate"):
        from folksong.curate import board
        from folksong.curate import proposals as merges
        from folksong.curate.app import Session, View, serve
    session = Session(
        labels=_path(labels), log=_path(log), tags=tags, run=run, audio=_path(audio), out=_path(out),
        decisions=_path(decisions), proposals=_path(proposals), who=who or _user(),
    )  # fmt: skip

    def ready(address: str) -> None:
        click.echo(f"{address}  (Ctrl-C ends it)")
        if open_browser and not webbrowser.open(address):
            note("no browser was found here; open the address yourself")

    if listen not in LOOPBACK:
        note(f"Warning: who reaches {listen} and knows the address can see and change all of this")

    def views() -> list[View]:
        shown = [board.view(session), merges.view(session)]
        if run is None:  # torch, which takes seconds to load, is not needed
            needed = "--run" if audio else "--run and --audio"
            return [*shown, View("listen", "Listen", missing=needed), View("drop", "Drop", missing="--run")]
        from folksong.curate import drop, listening

        return [*shown, listening.view(session), drop.view(session)]

    serve(views, address=listen, port=port, on_ready=ready)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def _path(given: str | None) -> Path | None:
    return None if given is None else Path(given)


@click.command(
    cls=FolksongCommand, of="serve.app:serve prediction.load_tagger:load_tagger", without=("port",)
)
def serve(run: str, *, port: Port = 8000, device: str | None = None, **settings: Any) -> None:
    """Answer HTTP requests: a recording in, the labels that the tagger of RUN gives it out, as JSON.

    RUN is what "folksong predict" takes, and scores are the same. The page at the address lets you try it and describes
    the interface; /openapi.json is for programs. Only this machine is let in by default. Ctrl-C ends it.

    Example:
      folksong serve musicnn-msd
      curl --data-binary @song.mp3 "http://127.0.0.1:8000/tag?top=3"

    Args:
        port: Of the address; 0 takes a free one.
        tags (TAG...): Of a run in the joint space (head joint): score these instead of its labels, any words.
        hop_seconds (--hop SECONDS): From the beginning of one window to the next.
            [default: as evaluated, or as thresholds were tuned]
    """
    with needs_extra("the server", "serve"):
        from folksong.serve.app import serve as run_server
    if settings["listen"] not in LOOPBACK:
        note(f"Warning: whoever reaches {settings['listen']} can send recordings here; there is no password")
    run_server(run, port=port, device=device, **settings)
