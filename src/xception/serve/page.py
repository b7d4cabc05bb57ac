"""The files of the page for people, which lie in the package."""

from functools import cache
from importlib.resources import files

from starlette.responses import Response

from xception.serve.refusal import Refusal

PAGE_FILES = {
    "index.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}
"""The page's files with their media types."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_file(name: str) -> Response:
    """One file of the page.

    Raises:
        Refusal: it has no such file.
    """
    if name not in PAGE_FILES:
        raise Refusal(404, "unknown", f"the page has no file {name!r:.80}; expected {', '.join(PAGE_FILES)}")
    headers = {"content-security-policy": POLICY, "x-frame-options": "DENY"}
    return Response(_content(name), headers=headers, media_type=PAGE_FILES[name])


@cache
def _content(name: str) -> bytes:
    return (files("xception.serve") / "static" / name).read_bytes()
