"""The page in a real browser: what a person sees and does."""

import io
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import CHROMIUM, PYTHON, Served
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright


@contextmanager
def opened(served: Served, width: int = 1280, scheme: str = "light", failures: int = 0) -> Iterator[Page]:
    """The page in a window. It has to ask nobody else, and say nothing in the console, where the browser itself tells
    of requests that fail."""
    faults: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True)
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda asked: faults.append(asked.url) if not re.match(f"{served.url}|data:|blob:", asked.url) else None,
        )
        page.goto(served.url)
        expect(page.locator("#state")).to_have_text("Ready.")
        yield page
        browser.close()
    told = [fault for fault in faults if fault.startswith("Failed to load resource")]
    assert len(told) == failures
    assert len(faults) == failures


def bars(page: Page) -> list[str]:
    return [text.split("\n")[0] for text in page.locator("#bars li").all_inner_texts()]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_photo_gets_the_labels_of_the_command_line(width: int, scheme: str, served: Served, tmp_path: Path) -> None:
    with opened(served, width, scheme) as page:
        for photo, label in zip(served.photos[:3], served.labels, strict=False):
            page.set_input_files("#files", photo)
            expect(page.locator("#name")).to_have_text(photo.name)
            expect(page.locator("#state")).to_have_text("Done.")
            assert bars(page)[0] == label
        page.screenshot(path=tmp_path / f"{width}.png", full_page=True)
        box = page.locator("main").bounding_box()
        assert box
        assert box["width"] <= width
        # The axe package evaluates scripts of its own, which the page's policy allows to nobody else.
        found = Axe().run(page)
    serious = [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_all_classes_from_half_on_are_shown_where_a_photo_may_have_several(served: Served) -> None:
    likely = [logit for logit in served.logits[0] if logit >= 0]
    with opened(served) as page:
        page.select_option("#model", "several")
        page.set_input_files("#files", served.photos[0])
        expect(page.locator("#state")).to_have_text("Done.")
        assert len(bars(page)) == len(likely) > 5
        assert bars(page)[0] == served.labels[0]
        page.set_input_files("#files", served.photos[:2])
        expect(page.locator("#state")).to_have_text("Done: 2 answered, 0 failed.")
        named = page.locator("#rows tr td:nth-child(2)").first.inner_text()
        assert len(named.split(", ")) == len(likely)


def test_a_photo_that_is_dropped_is_answered(served: Served) -> None:
    with opened(served) as page:
        data = list(served.photos[0].read_bytes())
        transfer = page.evaluate_handle(
            "(bytes) => { const all = new DataTransfer();"
            " all.items.add(new File([new Uint8Array(bytes)], 'dropped.png', { type: 'image/png' })); return all; }",
            data,
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        expect(page.locator("#name")).to_have_text("dropped.png")
        assert bars(page)[0] == served.labels[0]


@pytest.mark.parametrize("left", [16, 32])
@pytest.mark.parametrize("top", [16, 32])
def test_the_map_is_strongest_where_the_object_is(left: int, top: int, served: Served) -> None:
    planted = Image.new("L", (64, 64))
    planted.paste(255, (left, top, left + 16, top + 16))
    file = io.BytesIO()
    planted.save(file, "PNG")
    with opened(served) as page:
        page.select_option("#model", "spotter")
        page.set_input_files("#files", {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()})
        expect(page.locator("#state")).to_have_text("Done.")
        assert bars(page)[0] == "spot"
        width, height, strength = page.locator("#map").evaluate(
            "(map) => [map.width, map.height, Array.from(map.getContext('2d').getImageData(0, 0, map.width, map.height)"
            ".data).filter((_, place) => place % 4 === 3)]"
        )
    row, column = divmod(strength.index(max(strength)), width)
    assert left <= 64 * (column + 0.5) / width <= left + 16
    assert top <= 64 * (row + 0.5) / height <= top + 16


def test_a_name_that_looks_like_html_is_shown_as_text(served: Served) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    with opened(served) as page:
        page.set_input_files("#files", {"name": name, "mimeType": "image/png", "buffer": served.photos[0].read_bytes()})
        expect(page.locator("#name")).to_have_text(name)
        assert page.locator("#name img").count() == 0


def test_many_photos_become_a_table_that_is_saved(served: Served, tmp_path: Path) -> None:
    broken = tmp_path / "=broken.png"
    broken.write_bytes(b"no image")
    with opened(served, failures=1) as page:
        page.set_input_files("#files", [*served.photos[:3], broken])
        expect(page.locator("#state")).to_have_text("Done: 3 answered, 1 failed.")
        assert [cell.split("\t")[1] for cell in page.locator("#rows tr").all_inner_texts()[:3]] == list(
            served.labels[:3]
        )
        with page.expect_download() as saved:
            page.click("#csv")
        text = saved.value.path().read_text()
    assert text.splitlines()[0] == "file,label,probability,error"
    assert '"\'=broken.png"' in text


def test_a_file_that_is_no_image_is_told(served: Served) -> None:
    with opened(served, failures=1) as page:
        page.set_input_files("#files", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"words"})
        expect(page.locator("#state")).to_contain_text("not an image file")
        expect(page.locator("#one")).to_be_hidden()


def test_a_server_that_is_gone_is_told(served: Served) -> None:
    with opened(served, failures=1) as page:
        page.route("**/v1/classify*", lambda route: route.abort())
        page.set_input_files("#files", served.photos[0])
        expect(page.locator("#state")).to_contain_text("cannot be reached")


def test_a_busy_server_is_asked_again(served: Served) -> None:
    with opened(served, failures=1) as page:
        busy = {"status": 503, "headers": {"Retry-After": "1"}, "body": '{"error": "saturated"}'}
        page.route("**/v1/classify*", lambda route: route.fulfill(**busy), times=1)
        page.set_input_files("#files", served.photos[0])
        expect(page.locator("#state")).to_have_text("The server is busy; asking again in 1 s.")
        expect(page.locator("#state")).to_have_text("Done.")
        assert bars(page)[0] == served.labels[0]


def test_the_keyboard_reaches_everything(served: Served) -> None:
    with opened(served) as page:
        page.set_input_files("#files", served.photos[0])
        expect(page.locator("#state")).to_have_text("Done.")
        reached = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("() => document.activeElement.id"))
        assert {"key", "files", "camera", "opacity", "curl", "python"} <= reached


def test_the_call_for_python_gives_the_same_label(served: Served) -> None:
    with opened(served) as page:
        page.set_input_files("#files", served.photos[0])
        expect(page.locator("#state")).to_have_text("Done.")
        program = page.locator("#python").inner_text()
    done = subprocess.run(
        [PYTHON, "-c", program], cwd=served.photos[0].parent, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.replace("'", '"'))[0]["label"] == served.labels[0]
