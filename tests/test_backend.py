"""Which kernels OpenBLAS takes, and starting anew with others."""

import subprocess
import sys

import pytest
import threadpoolctl

from microgmdgm import backend

AVX512 = "fpu avx2 avx512f avx512cd avx512bw avx512dq avx512vl"


@pytest.mark.parametrize("architecture, flags, chosen, better", [
    ("Haswell", AVX512, None, {"OPENBLAS_CORETYPE": "SkylakeX"}),
    ("Zen", AVX512, None, {"OPENBLAS_CORETYPE": "SkylakeX"}),
    ("Haswell", AVX512, "Haswell", {}),          # the user has chosen
    ("SkylakeX", AVX512, None, {}),              # nothing to better
    ("Haswell", "fpu avx2 avx512f", None, {}),   # not all that the kernels need
    ("Haswell", "", None, {})])                  # not Linux
def test_better_kernels(architecture, flags, chosen, better, monkeypatch):
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [{"architecture": architecture}, {}])
    monkeypatch.setattr(backend, "_cpuinfo", {"flags": flags}.get)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if chosen:
        monkeypatch.setenv("OPENBLAS_CORETYPE", chosen)
    assert backend.better_kernels() == better


def test_a_program_starts_anew_with_its_arguments():
    program = ("import os, sys; from microgmdgm import backend\n"
               "if 'MICROGMDGM_TEST' not in os.environ: backend.restart_with({'MICROGMDGM_TEST': 'set'})\n"
               "print(os.environ['MICROGMDGM_TEST'], sys.argv[1:])")
    found = subprocess.run([sys.executable, "-c", program, "--runs", "a b"], capture_output=True, text=True)
    assert found.stdout == "set ['--runs', 'a b']\n", found.stderr
