"""The app of ``folksong curate``: views that share one session, and pages of our own.

Every address begins with a random token, so that neither another user of the machine nor a page in the browser can
call one. What else is kept out is said in `folksong.web`.
"""

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from folksong.errors import FolksongError
from folksong.tags.table import TagTable
from folksong.web import Guard, Hosts, answer_fault, answer_http_error, run_app

if TYPE_CHECKING:
    from folksong.prediction import LoadedTagger

logger = logging.getLogger(__name__)

PAGE = Path(str(files("folksong.curate") / "page"))
TOKEN_BYTES = 24


@dataclass(frozen=True, eq=False)
class Session:
    """What an app was started with; views find what they need here, and say what is missing.

    Args:
        labels: the label space to curate, ``*.labels.json``; it is read, never written.
        out: where the curated label space is written.
        log: the log of the board's actions.
        tags: the tag source.
        run: a run, an exported folder or the name of pretrained weights: the tagger.
        audio: the folder of recordings.
        decisions: the table of what was decided while listening.
        proposals: the file of proposed merges.
        who: written beside each action and decision.
    """

    labels: Path | None = None
    out: Path | None = None
    log: Path | None = None
    tags: str | None = None
    run: str | None = None
    audio: Path | None = None
    decisions: Path | None = None
    proposals: Path | None = None
    who: str = ""

    @cached_property
    def table(self) -> TagTable | None:
        """The tag table, read once; None without a tag source."""
        from folksong.tags.sources.read_tags import read_tags

        return None if self.tags is None else read_tags(self.tags)

    @cached_property
    def tagger(self) -> "LoadedTagger | None":
        """The tagger, loaded once; None without a run."""
        from folksong.prediction import load_tagger

        return None if self.run is None else load_tagger(self.run)


class ConflictError(FolksongError):
    """Something against what another window did meanwhile; `state` is what there is now, for the window that asked."""

    def __init__(self, message: str, state: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class View:
    """One view of the app.

    Args:
        name: its address below the token.
        title: in the navigation.
        routes: its addresses below its own; the page itself is at ``/``.
        missing: the options that it needs and that were not given; it is then shown with that said, without routes.
        uploads: address below its own -> most bytes that may be sent there.
        close: called when the app ends.
    """

    name: str
    title: str
    routes: Sequence[BaseRoute] = ()
    missing: str = ""
    uploads: Mapping[str, int] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


def build_app(views: Sequence[View], token: str, hosts: Hosts) -> ASGIApp:
    """Return the app of these views, in the order of the navigation, behind its guard; the first one is shown first.

    Every address begins with `token`; `hosts` are the names under which the app may be asked.
    """
    first = next((view for view in views if not view.missing), views[0])

    def home(request: Request) -> Response:
        return RedirectResponse(f"{request.scope['root_path']}/{first.name}/")

    routes: list[BaseRoute] = [
        Route("/", home),
        Mount("/page", StaticFiles(directory=PAGE, packages=[("folksong.web", "page")]), name="page"),
    ]
    for view in views:
        shown = view.routes if not view.missing else [Route("/", _missing)]
        routes.append(Mount(f"/{view.name}", routes=list(shown)))
    app = Starlette(
        routes=routes,
        exception_handlers={
            FolksongError: _refused,
            HTTPException: answer_http_error,
            Exception: answer_fault,
        },
    )
    app.state.views = views
    app.state.pages = Environment(loader=FileSystemLoader(PAGE), autoescape=True)
    uploads = {f"/{view.name}{path}": most for view in views for path, most in view.uploads.items()}
    return Guard(app, token, hosts, uploads)


def page(request: Request, template: str, **parts: Any) -> HTMLResponse:
    """Return a page of the app: a template of the folder ``page``, which knows `root`, `views` and `view`."""
    state, root = request.app.state, request.scope["app_root"]
    name = request.url.path.removeprefix(root).split("/")[1]
    view = next(view for view in state.views if view.name == name)
    parts |= {"root": root, "views": state.views, "view": view}
    return HTMLResponse(state.pages.get_template(template).render(parts))


async def sent_json(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent.

    Raises:
        FolksongError: it is none.
    """
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FolksongError("a JSON object was expected")
    return content


def _missing(request: Request) -> Response:
    return page(request, "missing.html")


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, ConflictError):
        return JSONResponse({"error": str(error), "conflict": True, "state": error.state}, 409)
    return JSONResponse({"error": str(error)}, 400)


def serve(
    build_views: Callable[[], Sequence[View]],
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] = logger.info,
) -> None:
    """Serve views until Ctrl-C, below a new token; arguments and errors as of `run_app`.

    Args:
        build_views: called once the port is ours.
        address: to be bound to; any but the loopback address lets other machines in that know the token.
        port: 0 takes one that is free.
        on_ready: called with the address to open, token included.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with ExitStack() as closing:

        def build(hosts: Hosts) -> ASGIApp:
            views = build_views()
            for view in views:
                closing.callback(view.close)
            return build_app(views, token, hosts)

        run_app(build, address=address, port=port, on_ready=lambda url: on_ready(f"{url}/{token}/"))
