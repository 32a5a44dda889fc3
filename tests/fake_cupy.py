"""NumPy with CuPy's manners, for machines without a GPU.

Arrays stay where they are: what would copy one to the host unasked (float, bool, numpy.asarray, …)
raises TypeError, as CuPy does or, where CuPy would silently wait for the GPU, as it should.  So does
arithmetic with NumPy's arrays.  `asarray` and `get` are the only ways there and back, and are counted.
What the package has not used so far is absent: look whether CuPy has it, then name it in FUNCTIONS.
"""

import operator
from collections import Counter
from types import ModuleType, SimpleNamespace

import numpy as np

FUNCTIONS = ("abs arange argmax broadcast_to ceil clip concat cos exp floor full log log1p max maximum mean meshgrid "
             "ones ones_like reshape sin sqrt stack sum take take_along_axis tanh where zeros zeros_like").split()
OPERATORS = "add sub mul truediv floordiv mod pow matmul lt le gt ge eq ne and or".split()


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

    def get(self):
        CUPY.counts["get"] += 1
        return self._x.copy()

    def __len__(self):
        return len(self._x)

    def __getitem__(self, index):
        return wrapped(self._x[bare(index)])

    def __setitem__(self, index, value):
        self._x[bare(index)] = bare(value)

    def __neg__(self):
        return type(self)(-self._x)

    def argmax(self, axis=None):
        return wrapped(self._x.argmax(axis=axis))


def _operator(name):
    function = getattr(operator, f"__{name}__")

    def forward(self, other):
        return type(self)(np.asarray(function(self._x, bare(other))))

    def reflected(self, other):
        return type(self)(np.asarray(function(bare(other), self._x)))

    def in_place(self, other):
        getattr(operator, f"__i{name}__")(self._x, bare(other))
        return self
    setattr(Array, f"__{name}__", forward)
    if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Array, f"__r{name}__", reflected)
        setattr(Array, f"__i{name}__", in_place)


for name in OPERATORS:
    _operator(name)


class Traced(Array):
    """What cupy.fuse gives to a function in an array's place: it knows arithmetic and ufuncs alone."""
    shape = mT = property(refuse)
    get = __len__ = __getitem__ = __setitem__ = argmax = refuse


for kind in (Array, Traced):
    kind.__module__ = "cupy"  # by which namespace() knows CuPy's arrays


def fuse(function):
    def call(*arguments):
        if not all(isinstance(a, (Array, int, float)) for a in arguments):
            raise TypeError(f"Invalid argument type for '{function.__name__}'")
        CUPY.fused.add(function.__name__)
        found = function(*(Traced(a._x) if isinstance(a, Array) else a for a in arguments))
        if isinstance(found, tuple):
            return tuple(Array(a._x) for a in found)
        return None if found is None else Array(found._x)
    return call


def _function(name):
    numpys = getattr(np, name)

    def call(*arguments, **keywords):
        if any(isinstance(a, Traced) for a in arguments):
            if not isinstance(numpys, np.ufunc):
                raise NotImplementedError(f"{name} cannot be fused")
            return Traced(numpys(*map(bare, arguments), **keywords))
        return wrapped(numpys(*map(bare, arguments), **keywords))
    return call


def asarray(x, dtype=None):
    if isinstance(x, Array):
        return Array(np.asarray(x._x, dtype=dtype))
    CUPY.counts["sent"] += 1
    return Array(np.array(x, dtype=dtype))


class Philox4x3210:
    def __init__(self, seed, *, size):
        self.numpys = np.random.Generator(np.random.Philox(seed))


class Generator:
    def __init__(self, bit_generator):
        self._rng = bit_generator.numpys

    def random(self, size, dtype):
        return Array(self._rng.random(size, dtype))

    def standard_normal(self, size, dtype):
        return Array(self._rng.standard_normal(size, dtype))

    def integers(self, low, high, size):
        return Array(self._rng.integers(low, high, size))


CUPY = ModuleType("cupy")
vars(CUPY).update({name: _function(name) for name in FUNCTIONS}, asarray=asarray, fuse=fuse, ndarray=Array,
                  float32=np.float32, int32=np.int32, counts=Counter(), fused=set(),
                  random=SimpleNamespace(Philox4x3210=Philox4x3210, Generator=Generator),
                  cuda=SimpleNamespace(is_available=lambda: True))
