"""Memory that a training step frees and the next one needs again."""

import ctypes
import platform


def keep_freed_memory():
    """Ask glibc to keep freed memory instead of giving it back to the system.

    A training step allocates and frees tens of megabytes; mapped and page-faulted anew each
    time, they cost more than the arithmetic.  On other systems this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**30)
    libc.mallopt(M_TOP_PAD, 2**26)
