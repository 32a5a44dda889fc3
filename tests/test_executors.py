"""Runs in other processes give the bits of a run here."""

import os
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
from .conftest import needs_posix

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
    wild = replace(jobs()[0], recipe=replace(RECIPE, learning_rate=1e3))
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


def test_a_run_that_is_alone_leaves_a_core_to_the_batches(monkeypatch):
    monkeypatch.setattr(executors, "cpu_count", lambda only_physical_cores: 8)
    assert [executors.blas_threads(*run) for run in ((1, 784), (2, 784), (1, 64))] == [7, 1, 1]
    monkeypatch.setattr(executors, "cpu_count", lambda only_physical_cores: 1)
    assert executors.blas_threads(1, 784) == 1


@needs_posix
def test_a_pool_whose_process_dies_while_it_is_written_to_comes_to_its_end():
    """Tasks larger than a pipe holds, to a process that sleeps and is killed.  Python 3.11.2 needs our help with it."""
    with pytest.raises(BrokenExecutor), executors.processes(1) as (pool, _):
        asleep = pool.submit(time.sleep, 600)
        for _ in range(3):
            pool.submit(len, np.zeros(10**6))
        while not asleep.running():
            time.sleep(0.01)
        time.sleep(0.5)
        manager = pool._executor_manager_thread
        for process in pool._processes.values():
            process.kill()
        asleep.result()
    manager.join(30)
    assert not manager.is_alive()


class Deadly(experiment.Source):
    def load(self):
        os._exit(1)
