"""The machine, which is no part of the mathematics: its name, and what makes it slow, memory that comes and goes and
numbers next to 0."""

import ctypes
import platform

import numpy as np

from .backend import namespace

TINY = 1e-30  # float32 has normal numbers down to 1e-38
OFTEN = 100   # steps after which what has become smaller is dropped


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


def drop_tiny(x):
    """What is closer to 0 than TINY becomes 0, in place.

    Under a prior the weights of a unit that nothing uses shrink without end, and so do Adam's means of gradients
    that have become 0.  Numbers below 1e-38 are slow: on an Intel Xeon they made an epoch of the paper's recipe take
    ten times as long.
    """
    xp = namespace(x)
    x[...] = xp.where(xp.abs(x) < TINY, xp.zeros_like(x), x)


def device_name(xp=np):
    """The processor that xp computes on, in words."""
    if xp is not np:
        return xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"].decode()
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
