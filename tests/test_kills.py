"""SIGKILL at any moment, from the first import to the last picture; what goes on ends with the bits of a whole run.

`pytest tests/test_kills.py --kills 25` kills 25 runs of each kind.  By default one is killed where test_checkpoint.py
kills none: on data of one's own, and the worker of a Dask cluster.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from .test_checkpoint import outcome
from .test_own import content, write
from .test_run_mnist import SCRIPT

TINY = ("--epochs", 1, "--classifier-epochs", 2, "--hidden-units", 20, "--z-dimensions", 5, "--quiet")
DIGITS = ("--dataset", "digits", "--set", "minimum_epoch=5000", *TINY)
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")


def start(*arguments):
    return subprocess.Popen([sys.executable, SCRIPT, *map(str, arguments)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def ended(process):
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors


@pytest.fixture
def kills(request, pytestconfig):
    return random.Random(request.node.name), pytestconfig.getoption("--kills")


@pytest.mark.parametrize("kind", ["digits", "table", "own"])
def test_a_killed_run_ends_with_the_same_bits(kind, kills, tmp_path):
    rng, N = kills
    if N == 1 and kind != "own":
        pytest.skip("test_checkpoint.py kills some of these; --kills N kills N here")
    command, found = {
        "digits": (DIGITS, outcome),
        "table": ((*DIGITS, "--table1", "--runs", 2, "--jobs", 2), outcome),
        "own": (("--dataset", write(tmp_path / "trees.npz"), "--new-classes", 1, *TINY), content)}[kind]
    began = time.perf_counter()
    ended(start(*command, "--out", tmp_path / "whole"))
    lasts, expected = time.perf_counter() - began, found(tmp_path / "whole")
    for _ in range(N):
        out, again = tmp_path / "out", (*command, "--out", tmp_path / "out")
        running = start(*again)
        time.sleep(rng.uniform(0, lasts))
        running.kill()
        running.communicate()
        if any((out / name).exists() for name in ("config.json", "own.json")):
            again = ("--resume", out, "--quiet")
        else:
            shutil.rmtree(out, ignore_errors=True)  # it had not begun
        ended(start(*again))
        assert found(out) == expected
        assert not list(out.glob("*.partial")) and not list(out.glob("checkpoint*"))
        shutil.rmtree(out)


def test_a_killed_dask_worker_changes_no_bit(kills, tmp_path):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[dask]'")
    rng, N = kills
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
                                  dashboard_address=None, silence_logs="CRITICAL") as cluster:
        command = (*DIGITS, "--runs", 2, "--dask", cluster.scheduler_address)
        began = time.perf_counter()
        ended(start(*command, "--out", tmp_path / "whole"))
        lasts, expected = time.perf_counter() - began, outcome(tmp_path / "whole")
        for _ in range(N):
            running = start(*command, "--out", tmp_path / "out")
            time.sleep(rng.uniform(0, lasts))
            os.kill(rng.choice(list(cluster.workers.values())).pid, signal.SIGKILL)
            ended(running)
            assert outcome(tmp_path / "out") == expected
            shutil.rmtree(tmp_path / "out")
