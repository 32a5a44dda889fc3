"""Runs on a Dask cluster give the bits of a run here."""

import time
from functools import partial

import numpy as np
import pytest

from microgmdgm import data, experiment
from microgmdgm.experiment import executors
from .test_executors import compute
from .test_run_mnist import QUICK, run

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[dask]'")


@pytest.fixture(scope="module")
def ours():
    return compute(executors.here)


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers, each a process, on the loopback interface."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
                                  dashboard_address=None, silence_logs="CRITICAL") as cluster:
        yield cluster


def test_a_dask_cluster_gives_the_bits_of_one_process(cluster, ours):
    assert compute(partial(executors.dask, cluster.scheduler_address)) == ours


def test_a_dask_worker_that_dies_has_its_run_done_again(cluster, ours):
    import psutil  # comes with distributed
    victims = [worker.pid for worker in cluster.workers.values()][:1]

    def kill(job):
        if victims:
            psutil.Process(victims.pop()).kill()
    assert compute(partial(executors.dask, cluster.scheduler_address), watch=kill) == ours
    assert not victims


def test_a_worker_without_the_data_says_so(cluster):
    cannot = experiment.Source("nowhere.npz")
    with pytest.raises(data.DataError, match="nowhere.npz cannot be read"):
        compute(partial(executors.dask, cluster.scheduler_address), source=cannot)


def test_the_command_on_a_cluster(cluster, tmp_path):
    here = run(*QUICK, "--runs", 2, "--jobs", 2, "--quiet", "--out", tmp_path / "here")
    there = run(*QUICK, "--runs", 2, "--dask", cluster.scheduler_address, "--quiet", "--out", tmp_path / "there")
    assert here.returncode == there.returncode == 0, there.stderr
    for seed in (0, 1):
        name = f"model-gm-dgm-seed{seed}.npz"
        assert np.array_equal(np.load(tmp_path / "here" / name)["theta"], np.load(tmp_path / "there" / name)["theta"])


@pytest.mark.parametrize("found, message", [
    (OSError("Stream is closed"), None),
    (ModuleNotFoundError("No module named 'microgmdgm'"), "cannot run microgmdgm: .*No module named"),
    ({"microgmdgm": "0.0"}, "the Dask worker a has .*0.0")])
def test_a_worker_of_another_kind_is_refused_and_one_that_died_is_not(found, message):
    class Client:
        @staticmethod
        def nthreads():
            return {"a": 1, "b": 1}

        @staticmethod
        def run(function, on_error):
            return {"a": found, "b": function()}
    if message is None:
        return executors._check_versions(Client, "tcp://here:1")
    with pytest.raises(ValueError, match=message):
        executors._check_versions(Client, "tcp://here:1")


def test_a_cluster_that_does_not_answer_gets_one_clear_line(tmp_path):
    done = run(*QUICK, "--dask", "tcp://127.0.0.1:9", "--out", tmp_path / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr.splitlines()[-1]


def test_a_cluster_that_goes_away_gets_one_clear_line_and_the_run_goes_on_elsewhere(tmp_path, ours):
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1",
                                  dashboard_address=None, silence_logs="CRITICAL") as cluster:
        def close(job):
            cluster.close(timeout=5)
            time.sleep(0.5)
        with pytest.raises(OSError, match="the Dask cluster at .* failed"):
            compute(partial(executors.dask, cluster.scheduler_address), watch=close)
