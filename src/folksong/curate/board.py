"""The label board: labels as cards in the columns of their facets, changed by actions that a log keeps."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from folksong.curate.app import Session, View, page


def view(session: Session) -> View:
    """Return the view; it needs a label space and its tags."""
    needs = {"--labels": session.labels, "--tags": session.tags}
    missing = " and ".join(option for option, given in needs.items() if given is None)
    if missing:
        return View("board", "Labels", missing=missing)
    return View("board", "Labels", [Route("/", _page)])


def _page(request: Request) -> Response:
    return page(request, "board.html")
