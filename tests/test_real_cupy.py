"""What CuPy itself can say without a GPU: that it takes every call, and which kernels it makes of the fused functions.

Skipped where CuPy is not installed: pip install 'cupy-cuda13x>=14' nvidia-cuda-nvrtc nvidia-cuda-runtime.  The
kernels are found by CuPy's private names: another version may need other ones here.
"""

import ast
import ctypes
import inspect
import re
import shutil
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

import microgmdgm
from microgmdgm import training
from . import fake_cupy
from .test_gpu import CASES, trainer

cupy = pytest.importorskip("cupy", minversion="14", reason="CuPy is not installed")
UNSIGNED = ("fuse", "cuda.Device", "cuda.runtime.getDeviceProperties")  # compiled, without a signature
TYPES = {"float": "float32", "unsigned long long": "uint64", "long long": "int64", "double": "float64", "bool": "bool"}
HOST = """#include <algorithm>
#include <cmath>
using namespace std;
#define __device__
template <class T> T _floor_divide(T a, T b) { return a / b; }  // CuPy's own, of whole numbers that are not negative
"""


def calls_of_the_library():
    """(file:line, name, positional, keywords) of each call xp.name(…), namespace(…).name(…) or cupy.name(…)."""
    for path in sorted(Path(microgmdgm.__file__).parent.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = re.fullmatch(r"(?:self\.xp|xp|namespace\(\w+\)|cupy)\.([\w.]+)", ast.unparse(getattr(node, "func", node)))
            if isinstance(node, ast.Call) and name:
                positional = None if any(isinstance(a, ast.Starred) for a in node.args) else len(node.args)
                yield f"{path.name}:{node.lineno}", name[1], positional, [k.arg for k in node.keywords]


@pytest.mark.parametrize("place, name, count, keywords", list(calls_of_the_library()))
def test_cupy_has_each_function_with_these_arguments(place, name, count, keywords):
    function = attrgetter(name)(cupy)
    if isinstance(function, cupy.ufunc):
        assert count <= function.nin and not keywords
    elif count is not None and name not in UNSIGNED:
        inspect.signature(function).bind(*range(count), **dict.fromkeys(keywords))


def test_the_stand_in_refuses_what_cupy_does_not_take():
    a = fake_cupy.asarray(np.ones(3, np.float32))
    for name, keywords in (("max", {"initial": 0}), ("sum", {"where": a}), ("exp", {"where": a}), ("take", {"fill": 0})):
        with pytest.raises(TypeError):
            getattr(fake_cupy.CUPY, name)(a, **keywords)


def host_memory(argument):
    """An array as one of CuPy's over the same memory, which has shape and dtype and cannot be computed with."""
    if not isinstance(argument, np.ndarray):
        return argument
    memory = cupy.cuda.UnownedMemory(argument.ctypes.data, argument.nbytes, argument, 0)
    return cupy.ndarray(argument.shape, argument.dtype, cupy.cuda.MemoryPointer(memory, 0))


@pytest.fixture(scope="module")
def kernels():
    """[(function, arguments, the kernel that CuPy makes of them), …] of all that whole runs call."""
    if cupy.cuda.is_available():
        pytest.skip("there is a GPU: test_gpu.py says more")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", fake_cupy.CUPY)
        fake_cupy.CUPY.fused.clear()
        for model, recipe in CASES:
            found = trainer(model, recipe, (0, 1))
            state = found.start()
            for _ in range(recipe.total_epochs):
                training.run_epoch(state, found.model, recipe, found.task)
        calls = list(fake_cupy.CUPY.fused.values())
    return [(function, arguments, kernel_of(function, arguments)) for function, arguments in calls]


def kernel_of(function, arguments):
    fused = cupy.fuse(function)
    with pytest.raises(RuntimeError, match="[Cc]uda|CUDA"):  # the launch; the kernel is made before it
        fused(*map(host_memory, arguments))
    assert fused.new_fusion is None, f"{function.__name__} is more than one kernel"
    (kernel, _), = fused._memo.values()
    return kernel


def source(kernel, name, qualifier):
    """A function that runs a kernel's own lines over n elements, or over n rows of `width` elements."""
    inputs, outputs = kernel.in_params, kernel.out_params

    def refer(params, index):
        return "".join(f"auto &{p.name} = _{p.name}[{index}]; " for p in params)
    if hasattr(kernel, "operation"):
        body = f"for (long _i = 0; _i < n; _i++) {{ {refer([*inputs, *outputs], '_i')} {kernel.operation} }}"
    else:
        body = (f"for (long _i = 0; _i < n; _i++) {{ {kernel.reduce_type} _sum = {kernel.identity};\n"
                f"for (long _j = _i * width; _j < (_i + 1) * width; _j++) {{ {refer(inputs, '_j')} "
                f"{kernel.reduce_type} a = _sum, b = {kernel.map_expr}; _sum = {kernel.reduce_expr}; }}\n"
                f"{refer(outputs, '_i')} {kernel.reduce_type} a = _sum; {kernel.post_map_expr}; }}")
    arguments = "".join(f", {p.ctype} *_{p.name}" for p in [*inputs, *outputs])
    return f"namespace of_{name} {{\n{kernel.preamble.replace('#include', '//')}\n" \
           f'extern "C" {qualifier} void {name}(long n, long width{arguments}) {{\n{body}\n}}\n}}\n'


def sources(kernels, qualifier):
    return "".join(source(kernel, f"kernel{i}", qualifier) for i, (*_, kernel) in enumerate(kernels))


def test_every_kernel_computes_in_float32(kernels):
    assert {function.__name__ for function, *_ in kernels} >= {"move", "deviation", "surprise", "uniform", "corner"}
    for function, _, kernel in kernels:
        text = f"{kernel.preamble}{getattr(kernel, 'operation', '')}"
        local = re.findall(r"^(?!const|\s*return)([\w ]+) v\d+(?:_\d+)?;", text, re.M)  # numbers of Python do not make it float64
        assert local and {*local} <= {*TYPES} - {"double"}, f"{function.__name__}: {text}"
        changed = [not p.is_const for p in kernel.in_params]
        assert changed == [True] * 3 + [False] * 3 if function.__name__ == "move" else not any(changed)


@pytest.fixture(scope="module")
def on_the_host(kernels, tmp_path_factory):
    """All kernels in a library for the processor."""
    compiler = shutil.which("c++")
    if compiler is None or sys.platform == "win32":
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "kernels.cpp").write_text(HOST + sources(kernels, ""))
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", folder / "kernels.so", folder / "kernels.cpp"], check=True)
    return ctypes.CDLL(folder / "kernels.so")


def test_every_kernel_is_its_function(kernels, on_the_host):
    for i, (function, arguments, kernel) in enumerate(kernels):
        expected = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        with np.errstate(over="ignore"):
            found = function(*expected)
        results = expected[:3] if found is None else found if isinstance(found, tuple) else (found,)
        shape = np.broadcast_shapes(*(np.shape(a) for a in arguments))
        given = [np.ascontiguousarray(np.broadcast_to(a, shape), dtype=TYPES[p.ctype])
                 for a, p in zip(arguments, kernel.in_params)]
        made = [np.empty(r.shape, TYPES[p.ctype]) for r, p in zip(results, kernel.out_params)]
        rows = hasattr(kernel, "map_expr")
        getattr(on_the_host, f"kernel{i}")(
            ctypes.c_long(int(np.prod(shape[:-1] if rows else shape))), ctypes.c_long(shape[-1]),
            *(ctypes.c_void_p(a.ctypes.data) for a in [*given, *made]))
        for ours, theirs in zip(given[:3] if found is None else made, results, strict=True):
            assert ours.dtype == theirs.dtype, function.__name__
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5, err_msg=function.__name__)


@pytest.mark.parametrize("arch", [75, 90])
def test_nvrtc_compiles_every_kernel(kernels, arch):
    from cuda.pathfinder import find_nvidia_header_directory
    from cupy._core import core
    from cupy.cuda import compiler
    headers = find_nvidia_header_directory("cudart")
    try:
        compiler._get_nvrtc_version()
    except RuntimeError:
        headers = None
    if headers is None:
        pytest.skip("NVRTC or CUDA's headers are not installed")
    text = "#include <cupy/complex.cuh>\n#include <cupy/carray.cuh>\n" + sources(kernels, "__global__")
    options = (f"-arch=sm_{arch}", "-std=c++17", *core._get_cccl_include_options(), f"-I{core._get_header_dir_path()}",
               f"-I{headers}")
    binary, _ = compiler._NVRTCProgram(text, "kernels.cu", method="cubin").compile(options)
    assert all(f"kernel{i}".encode() in binary for i in range(len(kernels)))
