"""Reads and lists of S3 objects by way of obstore, which takes a twentieth of the processor time that s3fs takes."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from xception.extras import optional
from xception.network import READ_TIMEOUT_S

T = TypeVar("T")

MAX_FAILURES_IN_A_ROW = 8
"""Reads that may fail in a row before obstore is not asked any more, as where only s3fs knows the way to a server."""

CREDENTIALS_LAST = timedelta(minutes=10)
"""Time for which credentials hold: botocore renews those that end before."""

PLAIN_PATH = re.compile(r"(?!.*(^|/)\.{0,2}(/|$))[\w .+=@,/()-]+", re.ASCII)
"""Paths that both clients read in the same way: no part is empty or a dot, and nothing has to be escaped."""

_runtime_process: int | None = None
"""The process that obstore has its threads in; a fork of it must not call obstore."""


class S3Reads:
    """Reads that are tried once: None is the answer wherever the object did not come, for whatever reason.

    The caller then asks s3fs, which waits for a server in trouble and reports what is wrong.
    """

    def __init__(self, fs: Any) -> None:
        """Prepare to read with the address and the credentials of an s3fs file system; nothing is asked."""
        self._fs = fs
        self._stores: dict[str, Any] = {}
        self._failures = 0

    def __reduce__(self) -> tuple[type["S3Reads"], tuple[Any]]:
        """Stores and their connections stay in their process."""
        return S3Reads, (self._fs,)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        """The object at `BUCKET/KEY`, or the bytes of it from `start` up to but not including `end`."""
        bucket, _, key = path.partition("/")
        if not PLAIN_PATH.fullmatch(path):
            return None
        if end is None:
            return self._tried(bucket, lambda store: bytes(store.get(key).bytes()))
        return self._tried(bucket, lambda store: bytes(store.get_range(key, start=start, end=end)))

    def paths(self, folder: str) -> set[str] | None:
        """The objects in all depths below `BUCKET` or `BUCKET/FOLDER`.

        None also where there are none, and where one is empty: that may be the mark of a folder, which only s3fs knows.
        """
        return self._listed(folder, lambda store, prefix: ([row for rows in store.list(prefix) for row in rows], []))

    def entries(self, folder: str) -> set[str] | None:
        """The objects and the folders, whose paths end in `/`, directly in a folder; None as of `paths`."""

        def listed(store: Any, prefix: str | None) -> tuple[Any, Any]:
            found = store.list_with_delimiter(prefix)
            return found["objects"], found["common_prefixes"]

        return self._listed(folder, listed)

    def _listed(self, folder: str, listed: Callable[[Any, str | None], tuple[Any, Any]]) -> set[str] | None:
        bucket, _, prefix = folder.rstrip("/").partition("/")
        if prefix and not PLAIN_PATH.fullmatch(prefix):
            return None
        objects, folders = self._tried(bucket, lambda store: listed(store, prefix or None)) or ([], [])
        if not (objects or folders) or not all(row["size"] for row in objects):
            return None
        return {f"{bucket}/{row['path']}" for row in objects} | {f"{bucket}/{name}/" for name in folders}

    def _tried(self, bucket: str, ask: Callable[[Any], T]) -> T | None:
        """The answer of a bucket that is asked once; None if there is none."""
        if self._failures >= MAX_FAILURES_IN_A_ROW or not self._may_run:
            return None
        try:
            answer = ask(self._stores.get(bucket) or self._stores.setdefault(bucket, self._opened(bucket)))
        except Exception:
            self._failures += 1
            return None
        self._failures = 0
        return answer

    @cached_property
    def _may_be_used(self) -> bool:
        """Tell whether obstore is there, and the file system asks for nothing that only s3fs can do."""
        special = (self._fs.req_kw, self._fs.s3_additional_kwargs, self._fs.version_aware)
        return optional("obstore") is not None and not any(special)

    @property
    def _may_run(self) -> bool:
        return _runtime_process in (None, os.getpid()) and self._may_be_used

    def _opened(self, bucket: str) -> Any:
        global _runtime_process
        _runtime_process = os.getpid()
        from obstore.store import S3Store

        client = self._fs.s3.meta
        access = {"skip_signature": True} if self._fs.anon else {"credential_provider": self._credentials}
        return S3Store(
            bucket,
            endpoint=client.endpoint_url,
            region=client.region_name or "us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=READ_TIMEOUT_S)},
            retry_config={"max_retries": 0},
            **access,
        )

    def _credentials(self) -> dict[str, Any]:
        """The credentials that s3fs uses at the moment."""
        from fsspec.asyn import sync

        async def found() -> Any:
            return await (await self._fs.session.get_credentials()).get_frozen_credentials()

        now = sync(self._fs.loop, found)
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + CREDENTIALS_LAST,
        }
