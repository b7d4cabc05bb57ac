"""Differences of systems: every call that Windows or macOS lacks is made here, next to what is done instead."""

import os

READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags of a file that is opened to be read: as it is on the disk, and without a wait for whoever writes a pipe."""

NO_LINK_FLAG = getattr(os, "O_NOFOLLOW", 0)
"""Flag that refuses a link as the last part of a path; 0 where the system has none."""
