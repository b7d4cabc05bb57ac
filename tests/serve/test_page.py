"""The page's files, without a browser; `tests/clients` opens it in one."""

import re
from pathlib import Path

import pytest

import xception.serve.page
from tests.serve.running import Running
from xception.serve.page import PAGE_FILES

STATIC = Path(xception.serve.page.__file__).parent / "static"


@pytest.mark.parametrize("path", ["/", *(f"/page/{name}" for name in PAGE_FILES)])
def test_the_page_is_served_under_a_strict_policy(path: str, server: Running) -> None:
    reply = server.get(path)
    assert reply.status == 200
    assert reply.body == (STATIC / (path.rpartition("/")[2] or "index.html")).read_bytes()
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/page/none.js", "/page/..%2fpage.py", "/page/index.html/x", "/page/"])
def test_nothing_else_of_the_package_is_served(path: str, server: Running) -> None:
    assert server.get(path).status == 404


def test_the_files_are_those_that_lie_there() -> None:
    assert {path.name for path in STATIC.iterdir()} == set(PAGE_FILES)


def test_the_page_has_no_inline_code_and_asks_nobody_else() -> None:
    html, script, style = ((STATIC / name).read_text("utf-8") for name in ("index.html", "app.js", "style.css"))
    assert not re.search(r"<script(?! src=\"page/)|\son\w+=|\sstyle=", html)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
    assert not re.search(r"https?://|//\w+\.\w", html + script + style)
    assert "@import" not in style


def test_every_element_that_the_script_asks_for_is_there() -> None:
    html, script = ((STATIC / name).read_text("utf-8") for name in ("index.html", "app.js"))
    asked = set(re.findall(r'\bat\("([\w-]+)"\)', script)) | set(re.findall(r'\["(files)", "(camera)"\]', script)[0])
    assert asked <= set(re.findall(r'\bid="([\w-]+)"', html))
