"""A simulated full disk for the current process."""

import errno
import os
import stat


def fill_disk_at(flush_number: int, share: float) -> None:
    """Let this process' disk take only a part of the file that is flushed at this count, and then no more.

    Args:
        flush_number: how many files and folders are flushed until then, it among them.
        share: the part of the file that there is room for, 0 to 1; with 1 there is none for its name.
    """
    left, flush = flush_number, os.fsync

    def flush_in_part(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.truncate(descriptor, int(os.fstat(descriptor).st_size * share))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    os.fsync = flush_in_part  # type: ignore[assignment]
