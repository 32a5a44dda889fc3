"""NumPy with CuPy's manners, for machines without a GPU.

Arrays stay where they are: what would copy one to the host unasked (float, bool, numpy.asarray, …)
raises TypeError, as CuPy does or, where CuPy would silently wait for the GPU, as it should.  So does
arithmetic with NumPy's arrays.  `asarray` and `get` are the only ways there and back, and are counted.
What the package has not used so far is absent: look whether CuPy has it, then name it in FUNCTIONS.
Where CuPy is installed, arguments that it would not take are refused.

Also counted are the kernels that CuPy would start, by what they do, as its source has it.
"""

import inspect
import operator
from collections import Counter
from functools import cache
from types import ModuleType, SimpleNamespace

import numpy as np

try:
    import cupy as REAL
except ImportError:
    REAL = None

KINDS = {"new": "arange full ones ones_like zeros zeros_like", "reduction": "argmax max mean sum", "take": "take", "copy":
         "broadcast_to concat reshape stack take_along_axis", "arithmetic":
         "abs ceil clip cos exp floor log log1p maximum meshgrid sign sin sqrt tanh where"}
FUNCTIONS = {name: kind for kind, names in KINDS.items() for name in names.split()}
OPERATORS = "add sub mul truediv floordiv mod pow matmul lt le gt ge eq ne and or xor rshift".split()


def launch(kind, number=1):
    CUPY.launches[kind] += number


def launch_function(name, arguments, result):
    if name in ("concat", "stack"):  # a copy of each; of more than 8 one kernel, which is sent their addresses
        launch("copy", len(arguments[0]) if len(arguments[0]) <= 8 else 1)
    elif name in ("reshape", "broadcast_to"):
        launch("copy", not np.shares_memory(bare(arguments[0]), result))
    elif name == "take_along_axis":
        launch("new")
        launch_index(arguments[0].ndim)
    else:
        launch(FUNCTIONS[name])


def launch_index(dimensions):
    """Indices of several dimensions are first made one: zeros, a kernel a dimension."""
    launch("take", 1 if dimensions == 1 else dimensions + 2)


def launch_operator(name, a, b):
    launch("product" if name == "matmul" else "arithmetic")
    if name == "matmul" and max(a.ndim, b.ndim) > 2:  # the operands of several products are copied into one piece
        launch("copy", sum(not x.flags.c_contiguous for x in (a, b)))


signature = cache(inspect.signature)


def check_arguments(name, arguments, keywords):
    """Raises TypeError where real CuPy, if it is installed, does not take these arguments."""
    if REAL is None:
        return
    function = getattr(REAL, name)
    if not isinstance(function, REAL.ufunc):
        signature(function).bind(*arguments, **keywords)
    elif keywords or len(arguments) > function.nin:
        raise TypeError(f"cupy.{name} takes {function.nin} arrays, not {len(arguments)} and {list(keywords)}")


def refuse(*_, **__):
    raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` explicitly.")


def bare(value):
    """What lies behind value.  Raises TypeError for an array of NumPy's."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(map(bare, value))
    return value._x if isinstance(value, Array) else value


def wrapped(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(wrapped, value))
    return Array(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


class Array:
    """cupy.ndarray"""
    __array_ufunc__ = None
    __hash__ = None
    __array__ = __float__ = __int__ = __bool__ = __index__ = __iter__ = refuse
    shape, dtype, ndim = (property(lambda self, name=name: getattr(self._x, name)) for name in ("shape", "dtype", "ndim"))
    mT = property(lambda self: Array(self._x.mT))

    def __init__(self, x):
        self._x = x

    def _made(self, name, x, *others):
        """x, which the operator `name` made of this array and others."""
        launch_operator(name, self._x, *map(np.asarray, map(bare, others)))
        return Array(np.asarray(x))

    def get(self):
        CUPY.counts["get"] += 1
        return self._x.copy()

    def __len__(self):
        return len(self._x)

    def __getitem__(self, index):
        if dimensions := sum(isinstance(part, Array) for part in (index if isinstance(index, tuple) else (index,))):
            launch_index(dimensions)
        return wrapped(self._x[bare(index)])

    def __setitem__(self, index, value):
        launch("copy")
        self._x[bare(index)] = bare(value)

    def __neg__(self):
        return self._made("neg", -self._x, self)

    def argmax(self, axis=None):
        launch("reduction")
        return wrapped(self._x.argmax(axis=axis))


def _operator(name):
    function = getattr(operator, f"__{name}__")

    def forward(self, other):
        return self._made(name, function(self._x, bare(other)), other)

    def reflected(self, other):
        return self._made(name, function(bare(other), self._x), other)

    def in_place(self, other):
        getattr(operator, f"__i{name}__")(self._x, bare(other))
        self._made(name, self._x, other)
        return self
    setattr(Array, f"__{name}__", forward)
    if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Array, f"__r{name}__", reflected)
        setattr(Array, f"__i{name}__", in_place)


for name in OPERATORS:
    _operator(name)


class Traced(Array):
    """What cupy.fuse gives to a function in an array's place: it knows arithmetic, ufuncs, and one sum, after which
    there are only sums."""
    shape = mT = property(refuse)
    get = __len__ = __getitem__ = __setitem__ = argmax = refuse

    def __init__(self, x, summed=False):
        self._x, self._summed = x, summed

    def astype(self, dtype):
        return Traced(self._x.astype(dtype), self._summed)

    def _made(self, _, x, *others):
        if any(isinstance(other, Traced) and other._summed != self._summed for other in others):
            raise NotImplementedError("Shape mismatch")
        return Traced(np.asarray(x), self._summed)

    def sum(self, axis):
        if self._summed:
            raise NotImplementedError("Multiple reduction is not implemented yet")
        return Traced(np.asarray(self._x.sum(axis=axis)), True)


for kind in (Array, Traced):
    kind.__module__ = "cupy"  # by which namespace() knows CuPy's arrays


def fuse(function):
    def call(*arguments):
        if any(isinstance(a, Traced) for a in arguments):  # within another kernel
            return function(*arguments)
        if not all(isinstance(a, (Array, int, float, np.generic)) for a in arguments):
            raise TypeError(f"Invalid argument type for '{function.__name__}'")
        kinds = tuple((a.dtype.name, a.ndim) if isinstance(a, Array) else type(a).__name__ for a in arguments)
        if (function.__name__, kinds) not in CUPY.fused:
            CUPY.fused[function.__name__, kinds] = function, [
                a._x.copy() if isinstance(a, Array) else a for a in arguments]
        launch("fused")
        found = function(*(Traced(a._x) if isinstance(a, Array) else a for a in arguments))
        results = found if isinstance(found, tuple) else () if found is None else (found,)
        if len({a._summed for a in results}) > 1:
            raise NotImplementedError("Shape mismatch")
        arrays = tuple(Array(a._x) for a in results)
        return None if found is None else arrays if isinstance(found, tuple) else arrays[0]
    return call


def _function(name):
    numpys = getattr(np, name)

    def call(*arguments, **keywords):
        check_arguments(name, arguments, keywords)
        traced = [a for a in arguments if isinstance(a, Traced)]
        if traced and name == "sum":
            return traced[0].sum(**keywords)
        if traced:
            if not isinstance(numpys, np.ufunc) and name not in ("clip", "where"):
                raise NotImplementedError(f"{name} cannot be fused")
            return traced[0]._made(name, numpys(*map(bare, arguments), **keywords), *arguments)
        result = numpys(*map(bare, arguments), **keywords)
        launch_function(name, arguments, result)
        return wrapped(result)
    return call


def asarray(x, dtype=None):
    if isinstance(x, Array):
        launch("copy", x.dtype != (x.dtype if dtype is None else dtype))
        return Array(np.asarray(x._x, dtype=dtype))
    CUPY.counts["sent"] += 1
    return Array(np.array(x, dtype=dtype))


CUPY = ModuleType("cupy")
vars(CUPY).update({name: _function(name) for name in FUNCTIONS}, asarray=asarray, fuse=fuse, ndarray=Array,
                  float32=np.float32, int32=np.int32, __version__="14.0.0",
                  counts=Counter(), launches=Counter(), fused={},
                  cuda=SimpleNamespace(is_available=lambda: True))
