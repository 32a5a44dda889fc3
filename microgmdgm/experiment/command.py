"""The command around the runs of run_mnist.py: data, folder, interruptions, and errors in one line."""

import os
import platform
import signal
import sys
from dataclasses import replace
from functools import partial

import numpy as np
from joblib import cpu_count

from .. import backend, machine
from ..data import ENVIRONMENT, DataError
from ..files import folder_name
from . import executors, report
from .folder import Folder
from .job import Source
from .progress import Progress
from .table1 import as_text, warnings_of


def say(text):
    print(text, file=sys.stderr)


def fail(message):
    """Print an error in one line.     -> the exit code, 2"""
    say(f"run_mnist.py: error: {' '.join(str(message).split())}")
    return 2


def interruptible():
    """Treat SIGTERM, which schedulers send, as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def find_data(asked):
    """The Source of the data, and the data.  Without --dataset and without MNIST it takes the digits, and says so.
    Raises DataError."""
    source = Source(asked.dataset or "mnist", asked.data_dir or os.environ.get(ENVIRONMENT) or None,
                    progressbar=sys.stderr.isatty() and not asked.quiet)
    try:
        return source, source.load()
    except DataError as error:
        if asked.dataset or source.folder:
            raise
        say(f"{error}\nMNIST cannot be had: this run is on scikit-learn's 8×8 digits instead.")
        asked.fallback = True
        return Source("digits"), Source("digits").load()


def new_folder(asked, data, job_of):
    """A new folder for the requested runs; job_of(asked, data, threads) gives their Job.
    Raises ValueError."""
    xp = backend.gpu() if asked.gpu else np
    models = ["m2", "gm-dgm"] if asked.model == "both" else [asked.model]
    together = 1 if asked.gpu else min(asked.jobs or cpu_count(only_physical_cores=True), asked.runs * len(models))
    threads = 1 if asked.dask else executors.blas_threads(together, data.x_train.shape[1])
    job = job_of(asked, data, threads)
    replace(job, model=models[0], seeds=(asked.seed,)).prepare(data)  # what cannot run is refused here
    return Folder.create(
        asked.out or folder_name(data.name, asked.recipe),
        {"command": asked.command, "fallback": asked.fallback, "dataset": asked.dataset or data.name,
         "data_dir": asked.data_dir, "classes": list(data.class_names),
         "models": models, "seeds": [asked.seed + r for r in range(asked.runs)],
         "together": together,
         "job": job.settings, "device": machine.device_name(xp),
         "versions": {**executors.versions(xp), "python": platform.python_version()}})


def old_folder(asked):
    """The folder to resume; `asked` gets the place of its data.  Raises ValueError."""
    folder = Folder.resume(asked.resume)
    asked.dataset, asked.data_dir = folder.config["dataset"], asked.data_dir or folder.config["data_dir"]
    asked.gpu = folder.config["job"]["gpu"]
    for name, ours in executors.versions(backend.gpu() if asked.gpu else np).items():
        if ours != (theirs := folder.config["versions"].get(name)):
            say(f"{name} was {theirs} and is {ours} now: the last digits may differ from an uninterrupted run's")
    return folder


def check_fingerprint(source, data, folder):
    """Raises ValueError if the data are not those with which the folder's runs began."""
    if data.fingerprint != (expected := folder.config["job"]["fingerprint"]):
        raise ValueError(f"the data {source.dataset} found here are others than those of {folder.path}: "
                         f"fingerprint {data.fingerprint}, not {expected}")


def place(asked, folder):
    """Where to compute: a context manager of executors."""
    if asked.dask:
        return partial(executors.dask, asked.dask)
    together = asked.jobs or folder.config["together"]
    return executors.here if together == 1 else partial(executors.processes, together)


def train(asked, folder, source):
    """Train every run of the folder that is not finished.
    -> the exit code: 0, 130 after an interruption, 2 after a failure; finished runs are kept"""
    progress, code = Progress(folder, asked.quiet), 0

    def record(job, state, metrics, results):
        folder.record(job, state, metrics, results)
        progress(metrics)
    try:
        folder.tidy()
        diverged = executors.compute(folder.unfinished, source, place(asked, folder), folder.state_of, record)
        progress.bar.close()
        for job, error in diverged.items():
            code = fail(f"{job.name}: {error}")
        return code
    except KeyboardInterrupt:
        progress.bar.close()
        say(f"interrupted: go on with --resume {folder.path}")
        return 130
    except (OSError, ValueError) as error:
        progress.bar.close()
        return fail(f"{error}; what was finished is kept: go on with --resume {folder.path}")
    except MemoryError:
        progress.bar.close()
        return fail("there is too little memory: try fewer --jobs or, with --gpu, which trains all runs at once, "
                    "fewer --runs")


def show_again(asked, folder):
    """Print the table of a folder whose runs are all finished, and write its report anew.  The data are looked for
    only where a picture of them is missing.     -> the exit code"""
    data = None
    if not report.is_drawn(folder):
        try:
            source, found = find_data(asked)
            check_fingerprint(source, found, folder)
            data = found
        except ValueError as error:
            say(f"{error}; pictures that need the data stay as they are")
    return show(folder, data)


def show(folder, data):
    """Print the table of the finished runs and write the report; without data (None) the pictures that need them
    stay as they are.     -> the exit code"""
    try:
        folder.tidy()
        models = folder.summary()["models"]
        if models:
            for warning in warnings_of(models):
                say(warning)
            print(as_text(folder.data_name, models), flush=True)
            say(f"drawing {folder.path / 'report.html'}")
            report.write(folder, data)
            say(f"report: {folder.path / 'report.html'}")
        return 0
    except KeyboardInterrupt:
        say(f"interrupted: the runs are kept; draw the report with --resume {folder.path}")
        return 130
    except OSError as error:
        return fail(f"{error}; the runs are kept: make room and draw the report with --resume {folder.path}")
