"""Images of a web server or an object storage, fetched before they are loaded, in few large requests."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeGuard

from xception.data.files import Below, Files, Stored
from xception.data.remote import RemoteFiles

REQUEST_BYTES = 4 << 20
"""Bytes that are fetched at once of a file which holds many images."""

MAX_GAP_BYTES = 64 << 10
"""Bytes between two images that are fetched along with them, such as the files of their labels."""

REQUESTS_AHEAD = 32
"""Requests that are begun before their images are loaded: a storage answers late, but many at once."""

BYTES_AHEAD = 16 * REQUEST_BYTES
"""Bytes that these requests together may bring; where images are large, fewer are begun."""

REQUESTS_BEHIND = 4
"""Requests whose images are kept for those who load them late. With those ahead they bound the memory."""


def is_far(load: object) -> TypeGuard[Stored]:
    """Tell whether a load is that of a file behind a URL, which is worth to be begun early."""
    return isinstance(load, Stored) and isinstance(_root(load.files), RemoteFiles)


def _root(files: Files) -> Files:
    while isinstance(files, Below):
        files = files.files
    return files


@dataclass(eq=False)
class Request:
    """A part of a file that holds the images at the places from `first` up to but not including `end`."""

    first: int
    end: int
    stored: Stored
    found: "Future[bytes]" = field(default_factory=Future)
    came: int | None = None
    """The bytes that came."""

    @property
    def size(self) -> int | None:
        """The bytes that it brings; None while they are unknown."""
        return self.came if self.stored.length is None else self.stored.length

    def fetch(self) -> bytes:
        """Ask for the part."""
        content = self.stored()
        self.came = len(content)
        return content

    def joined(self, stored: Stored) -> bool:
        """Grow by the next image, if it lies behind the others and they may be fetched in one piece."""
        own = self.stored
        if own.length is None or stored.length is None or (own.files, own.name) != (stored.files, stored.name):
            return False
        gap, length = stored.start - own.start - own.length, stored.start + stored.length - own.start
        if not 0 <= gap <= MAX_GAP_BYTES or length > REQUEST_BYTES:
            return False
        self.stored = Stored(own.files, own.name, own.start, length)
        self.end += 1
        return True

    def part(self, stored: Stored) -> bytes:
        """The bytes of one of the images."""
        if stored.length is None:
            return self.found.result()
        start = stored.start - self.stored.start
        return self.found.result()[start : start + stored.length]


class ReadAhead:
    """Loads of images in their order, each of which begins those behind it; nothing is fetched before one is called.

    An image that is loaded far out of turn, or whose request failed, is fetched by itself. Any number of threads may
    load at once.
    """

    def __init__(self, loads: Iterator[Callable[[], Any]]) -> None:
        """Prepare to load files behind URLs, in the order of their `loads`."""
        self._loads = enumerate(loads)
        self._begun: deque[Request] = deque()
        self._next: Request | None = None
        self._largest = 0
        self._lock = Lock()
        # Its threads end once no item refers to it.
        self._threads = ThreadPoolExecutor(REQUESTS_AHEAD, thread_name_prefix="read-ahead")

    def load(self, place: int, stored: Stored) -> bytes:
        """The image at a place."""
        with self._lock:
            request = self._request(place)
        if request is None:
            return stored()
        try:
            return request.part(stored)
        except OSError:
            if request.end - request.first == 1:
                raise
            return stored()  # with this one of the images nothing may be wrong

    def _request(self, place: int) -> Request | None:
        """The request for the image at a place, with those behind it begun; None if it is gone already."""
        while not self._begun or self._begun[-1].end <= place or self._has_room(place):
            if not self._begin():
                break
            if len(self._begun) > REQUESTS_AHEAD + REQUESTS_BEHIND:
                self._begun.popleft()
        return next((request for request in self._begun if request.first <= place < request.end), None)

    def _has_room(self, place: int) -> bool:
        """Tell whether one more request may be begun ahead of a place. A file of unknown size is taken to be as large
        as the largest one that came."""
        ahead = [request.size for request in self._begun if request.first > place]
        self._largest = max(self._largest, *(size or 0 for size in ahead), 0)
        expected = sum((self._largest or REQUEST_BYTES) if size is None else size for size in ahead)
        return len(ahead) < REQUESTS_AHEAD and expected + (self._largest or REQUEST_BYTES) <= BYTES_AHEAD

    def _begin(self) -> bool:
        """Begin one more request; False if there is none."""
        request, self._next = self._next, None
        for place, load in self._loads:
            if not is_far(load):
                continue
            if request is None:
                request = Request(place, place + 1, load)
            elif request.end != place or not request.joined(load):
                self._next = Request(place, place + 1, load)
                break
        if request is None:
            return False
        request.found = self._threads.submit(request.fetch)
        self._begun.append(request)
        return True
