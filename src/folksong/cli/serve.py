"""``folksong serve``: a tagger behind HTTP."""

from typing import Annotated, Any

import click

from folksong.cli.command import FolksongCommand, needs_extra, note

Port = Annotated[int, click.IntRange(0, 65535)]


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
    if settings["listen"] not in ("127.0.0.1", "::1", "localhost"):
        note(f"Warning: whoever reaches {settings['listen']} can send recordings here; there is no password")
    run_server(run, port=port, device=device, **settings)
