"""Which library an array belongs to, and the way to the GPU and back.

The mathematics never names a library: it asks its arguments (`namespace`), so that one
program runs on NumPy, on CuPy, and under autograd's tracer.  Only this file knows CuPy.
"""

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


def fused(function):
    """A function of element-by-element arithmetic, with at most one sum over an axis at its end; on a GPU the same
    lines become one kernel.  A number among the arguments may meet arrays alone: two numbers would be int8 there."""
    @cache
    def kernel(cupy):
        return cupy.fuse(function)

    @wraps(function)
    def call(*arguments):
        xp = namespace(arguments[0])
        return (kernel(xp) if hasattr(xp, "fuse") else function)(*arguments)
    return call


@fused
def one_more(a):
    return a + 1


def gpu():
    """CuPy, ready to use.  Raises ValueError, which says what to install, if there is none."""
    try:
        import cupy
    except ImportError:
        raise ValueError("--gpu needs CuPy, which is not installed: in the project's folder, "
                         "pip install -e '.[gpu]' (CUDA 13) or '.[gpu12]' (CUDA 12), or leave out --gpu") from None
    if not hasattr(cupy, "concat"):
        raise ValueError(f"--gpu needs CuPy 14 or newer, and {cupy.__version__} is installed: remove it, then, in the "
                         "project's folder, pip install -e '.[gpu]' (CUDA 13) or '.[gpu12]' (CUDA 12)")
    if not cupy.cuda.is_available():
        raise ValueError("--gpu needs an NVIDIA GPU and its driver, for CUDA 13 version 580 or newer, and CuPy finds "
                         "none: with an older driver install '.[gpu12]', or leave out --gpu to run on the CPU")
    try:
        ones = cupy.ones((2, 2), dtype="float32")
        to_host(one_more(ones @ ones))
    except Exception as error:  # cuBLAS, CUDA's compiler or its headers may be missing, each in its own way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"--gpu: CuPy finds a GPU but cannot compute on it ({reason}): "
                         "install it as lessons/running.md says, or leave out --gpu") from None
    return cupy


def to_host(x):
    """x as a NumPy array."""
    return x if isinstance(x, (np.ndarray, np.generic)) else x.get()


@cache
def constant(values, xp, dtype, f=np.asarray):
    """f of the numbers in a tuple as an array of xp, sent to a GPU once."""
    return xp.asarray(f(values), dtype=dtype)


@cache
def numbers(n, xp, dtype=None, step=1):
    """0, 1, …, n − 1, times step, made on a GPU once."""
    return step * xp.arange(n, dtype=dtype)
