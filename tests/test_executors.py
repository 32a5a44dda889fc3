"""Runs in other processes and on a Dask cluster give the bits of a run here."""

import os
import signal
import time
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from microgmdgm import data, experiment, recipes
from microgmdgm.experiment import executors
from microgmdgm.training import Diverged
from .test_run_mnist import QUICK, run

RECIPE = replace(recipes.FAST_SMALL, classifier_epochs=2, epochs=1, minimum_epoch=1500)


def jobs(**changes):
    base = experiment.Job("gm-dgm", (0,), RECIPE, (0, 1, 2), 10, Z=4, H=12, threads=1,
                          fingerprint=data.digits().fingerprint)
    return [replace(base, seeds=(seed,), **changes) for seed in range(3)]


def compute(place, jobs=None, watch=lambda job: None, source=experiment.Source("digits")):
    """θ and the metrics of each job."""
    kept = {}

    def record(job, state, metrics, results):
        kept.setdefault(job, []).append([{**m, "seconds": 0} for m in metrics])
        if results:
            kept[job].append(results[0][1].theta.tobytes())
        watch(job)
    diverged = executors.compute(jobs or globals()["jobs"](), source, place, lambda job: None, record)
    return kept, diverged


@pytest.fixture(scope="module")
def ours():
    return compute(executors.here)


def test_processes_give_the_bits_of_one_process(ours):
    assert compute(partial(executors.processes, 2)) == ours
    assert len(ours[0]) == 3 and all(len(kept) == RECIPE.total_epochs + 1 for kept in ours[0].values())


def test_a_run_that_diverges_leaves_the_others_alone(ours):
    wild = replace(jobs()[0], recipe=replace(RECIPE, classifier_rate=1e30))
    for place in (executors.here, partial(executors.processes, 2)):
        kept, diverged = compute(place, [wild, *jobs()[1:]])
        assert isinstance(diverged.pop(wild), Diverged) and not diverged
        assert {job: kept[job] for job in jobs()[1:]} == {job: ours[0][job] for job in jobs()[1:]}


def test_other_data_than_those_asked_for_are_refused():
    with pytest.raises(ValueError, match="data digits found there are others than those of this run"):
        compute(executors.here, [replace(jobs()[0], fingerprint="0" * 16)])


def test_a_pool_that_breaks_as_it_is_handed_a_run_loses_none(ours):
    pools = []

    class Broken(executors.Here):
        def submit(self, function, /, *arguments):
            raise BrokenExecutor

    @contextmanager
    def place():
        pools.append(Broken() if not pools else executors.Here())
        yield pools[-1], 1
    assert compute(place) == ours and len(pools) == 2


def test_processes_that_always_die_end_it(monkeypatch):
    with pytest.raises(OSError, match="3 times a process died"):
        compute(partial(executors.processes, 1), source=Deadly("digits", "."))


class Deadly(experiment.Source):
    def load(self):
        os.kill(os.getpid(), signal.SIGKILL)


distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[dask]'")


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers, each a process, on the loopback interface."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1",
                                  dashboard_address=None, silence_logs="CRITICAL") as cluster:
        yield cluster


def test_a_dask_cluster_gives_the_bits_of_one_process(cluster, ours):
    assert compute(partial(executors.dask, cluster.scheduler_address)) == ours


def test_a_dask_worker_that_dies_has_its_run_done_again(cluster, ours):
    victims = [worker.pid for worker in cluster.workers.values()][:1]

    def kill(job):
        if victims:
            os.kill(victims.pop(), signal.SIGKILL)
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
