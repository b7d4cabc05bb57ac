"""What a browser makes of a page."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br"}
FETCHING = {"href", "src", "srcset", "data", "poster", "action", "background", "xlink:href"}


class Page(HTMLParser):
    """What a browser would see: text, elements with attributes, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def fetched(self) -> list[str]:
        return [value or "" for _, attrs in self.elements for key, value in attrs.items() if key in FETCHING]


def outside_references(html: str) -> list[str]:
    links = [link for link in Page(html).fetched() if not link.startswith(("data:image/png;base64,", "#"))]
    return links + re.findall(r"@import|url\((?!#)[^)]*\)", html)
