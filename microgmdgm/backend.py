"""Which library an array belongs to, and the way to the GPU and back.

The mathematics never names a library: it asks its arguments (`namespace`), so that one
program runs on NumPy, on CuPy, and under autograd's tracer.  Only this file knows CuPy.
"""

import ctypes
import platform
from functools import cache, wraps

import numpy as np


def namespace(x):
    """The array library of x: numpy, cupy, array_api_strict, or autograd.numpy for a traced x.
    Raises TypeError if x is not an array."""
    if hasattr(x, "__array_namespace__"):
        return x.__array_namespace__()
    if type(x).__module__.startswith("cupy"):  # its arrays do not name their library
        import cupy
        return cupy
    raise TypeError(f"expected an array of NumPy or CuPy, not {type(x).__name__}: try numpy.asarray(x)")


def gpu():
    """CuPy, ready to use.  Raises ValueError, which says what to install, if there is none."""
    try:
        import cupy
    except ImportError:
        raise ValueError("--gpu needs CuPy, which is not installed: in the project's folder, "
                         "pip install -e '.[gpu]' (CUDA 13) or '.[gpu12]' (CUDA 12), or leave out --gpu") from None
    if not cupy.cuda.is_available():
        raise ValueError("--gpu needs an NVIDIA GPU with its driver, and CuPy finds none: "
                         "leave out --gpu to run on the CPU")
    try:
        to_host(cupy.ones((2, 2)) @ cupy.ones((2, 2)) + 1)  # needs cuBLAS and CUDA's compiler, which may be missing
    except (ImportError, OSError, RuntimeError) as error:
        raise ValueError(f"--gpu: CuPy finds a GPU but cannot compute on it ({str(error).splitlines()[0]}): "
                         "install it as README says, or leave out --gpu") from None
    return cupy


def to_host(x):
    """x as a NumPy array."""
    return x if isinstance(x, (np.ndarray, np.generic)) else x.get()


def generator(rng, xp):
    """The generator of a run's noise on the device of xp: rng itself, or a Generator of CuPy, seeded by rng's next
    number and of a fixed size, since its numbers depend on the size."""
    if xp is np:
        return rng
    return xp.random.Generator(xp.random.Philox4x3210(int(rng.integers(2**32)), size=2**15))


@cache
def constant(values, xp, dtype, f=np.asarray):
    """f of the numbers in a tuple as an array of xp, sent to a GPU once."""
    return xp.asarray(f(values), dtype=dtype)


def fused(function):
    """A function of element-by-element arithmetic; on a GPU the same lines become one kernel."""
    @cache
    def kernel(cupy):
        return cupy.fuse(function)

    @wraps(function)
    def call(*arguments):
        xp = namespace(arguments[0])
        return (kernel(xp) if hasattr(xp, "fuse") else function)(*arguments)
    return call


def device_name(xp=np):
    """The processor that xp computes on, in words."""
    if xp is not np:
        return xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"].decode()
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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
