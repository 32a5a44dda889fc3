"""Where epochs are computed: in this process, in several, on a Dask cluster.

All are executors of concurrent.futures, so `compute` treats them alike.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager

import numpy as np
from joblib import cpu_count

from .. import __version__
from ..training import Diverged
from .job import advance

ATTEMPTS = 3  # at an epoch, by processes that die one after the other
WIDE = 200    # columns of x from which several BLAS threads pay: with 64 two were slower than one, with 444 quicker


def blas_threads(together, columns):
    """How many BLAS threads a run gets.  The runs that train together share the cores, one each.  A run that is alone
    gets all cores but one, which draws the batches: threads of BLAS wait for the slowest by spinning, and where there
    is none to spare the whole run waits for whatever else the machine does."""
    return 1 if together > 1 or columns < WIDE else max(cpu_count(only_physical_cores=True) - 1, 1)


class Here(Executor):
    """Computes at once, in this process and thread."""

    def submit(self, function, /, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def here():
    yield Here(), 1


@contextmanager
def processes(N):
    """N processes on this machine.  They ignore Ctrl-C and exit when this one does, however it ends."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    atexit.register(writer.close)  # not before: a pool would wait forever for the rest of a result
    pool = ProcessPoolExecutor(N, context, initializer=_end_with_parent, initargs=(reader,))
    try:
        yield pool, N
    finally:
        if sys.version_info < (3, 11, 5):  # would wait for ever to write to a process that died: CPython issue 94777
            pool._call_queue._reader.close()
        pool.shutdown(wait=False, cancel_futures=True)  # the epochs that are under way are finished, for nothing


def _end_with_parent(alive):
    """Exit with the parent.  `alive` is the end of a pipe that nobody writes to; it closes when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        try:
            alive.recv()
        except EOFError:
            os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def dask(address):
    """The workers of the Dask cluster whose scheduler is at `address`.  Dask itself reruns the
    work of a worker that dies.  Raises ValueError if there is no such cluster, or it lacks this version."""
    try:
        from distributed import Client, KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
    except ImportError:
        raise ValueError("--dask needs distributed, which is not installed: in the project's folder, "
                         "pip install -e '.[dask]'") from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {address}, as in --dask tcp://host:8786: {error}") from None
    with client:
        _check_versions(client, address)
        try:
            yield client.get_executor(pure=False), sum(client.nthreads().values())
        except (KilledWorker, FutureCancelledError, CommClosedError, CancelledError) as error:
            raise OSError(f"the Dask cluster at {address} failed: {type(error).__name__}: {error}") from None


def _check_versions(client, address):
    if not client.nthreads():
        raise ValueError(f"the Dask cluster at {address} has no workers: start some, dask worker {address}")
    for worker, found in client.run(versions, on_error="return").items():
        if isinstance(found, OSError):  # it has died; another may take its place
            continue
        if isinstance(found, Exception):
            raise ValueError(f"Dask's workers cannot run microgmdgm: install it there too ({found})")
        if found != versions():
            raise ValueError(f"the Dask worker {worker} has {found}, but here are {versions()}: install the same there")


def versions(xp=np):
    """The versions on which the last bits of a run depend that xp computes."""
    return {"microgmdgm": __version__, "numpy": np.__version__, xp.__name__: xp.__version__}


def compute(jobs, source, place, state_of, record):
    """Train all jobs, as many at a time as `place` (here(), processes(N), dask(address)) holds.
    state_of(job) gives the State to start from; record(job, state, metrics, results) is called after each epoch.
    -> {job: Diverged} for the jobs that diverged.  Raises what `advance` and `record` raise."""
    waiting, states, diverged, failures = deque(jobs), {}, {}, 0
    while waiting:
        with place() as (executor, width):
            running = {}
            try:
                for job, outcome in _epochs(executor, width, waiting, running, states, source, state_of):
                    if isinstance(outcome, Diverged):
                        diverged[job] = outcome
                        continue
                    failures = 0
                    states[job], metrics, results = outcome
                    record(job, *outcome)
                    if results is None:
                        waiting.appendleft(job)
                    else:
                        del states[job]
            except BrokenExecutor as error:  # a process was killed, and took its pool with it
                failures += 1
                if failures == ATTEMPTS:
                    raise OSError(f"{ATTEMPTS} times a process died before it had done an epoch, perhaps for lack of "
                                  "memory: try fewer --jobs") from error
                waiting.extendleft(running.values())
    return diverged


def _epochs(executor, width, waiting, running, states, source, state_of):
    """Hand out epochs of the waiting jobs until none is left; yields (job, the result of `advance`, or Diverged).
    A job stays in `waiting` until the executor has taken it, and in `running` until its epoch is done."""
    while waiting or running:
        while waiting and len(running) < width:
            job = waiting[0]
            if job not in states:
                states[job] = state_of(job)
            running[executor.submit(advance, job, source, states[job])] = job
            waiting.popleft()
        for future in wait(running, return_when="FIRST_COMPLETED").done:
            try:
                outcome = future.result()
            except Diverged as error:
                outcome = error
            yield running.pop(future), outcome
