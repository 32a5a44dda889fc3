#!/usr/bin/env python3
"""The experiment of Willetts, Roberts and Holmes (2018): python run_mnist.py"""

import argparse
import os
import platform
import shlex
import signal
import sys
from dataclasses import replace
from datetime import datetime
from functools import partial

import numpy as np
from joblib import cpu_count
from tqdm import tqdm

from microgmdgm import backend, executors, own, report, results
from microgmdgm.data import ENVIRONMENT, DataError, hide_labels, slot_prior
from microgmdgm.experiment import Job, Source
from microgmdgm.recipes import RECIPES, changed, recipe_for
from microgmdgm.training import Diverged


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, and exit code 2."""
        self.exit(2, f"run_mnist.py: error: {message} (see --help)\n")


def count(text):
    """A whole number, or "all"."""
    return text if text == "all" else int(text)


def options(arguments):
    parser = Parser(description="Train GM-DGM or M2 where some classes have a few labels and others none, "
                                "score it by the paper's protocol, and set the paper's Table 1 beside it.",
                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--table1", action="store_true", help="the paper's Table 1: --model both --runs 10")
    add("--model", choices=("gm-dgm", "m2", "both"), help="which model to train (default: gm-dgm)",
        default=argparse.SUPPRESS)
    add("--recipe", choices=tuple(RECIPES), default="fast", help="how to train it; see README")
    add("--runs", type=int, metavar="N", help="how many runs of each model (default: 1)", default=argparse.SUPPRESS)
    add("--seed", type=int, default=0, metavar="S", help="seed of the first run; the others follow, S+1, …")
    add("--epochs", type=int, metavar="E", help="epochs on the whole model (default: the recipe's: "
        + ", ".join(f"{recipe.epochs} for {name}" for name, recipe in RECIPES.items()) + ")", default=argparse.SUPPRESS)
    add("--classifier-epochs", type=int, metavar="E", help="epochs before these, on q(y|x) alone (default: the "
        "recipe's)", default=argparse.SUPPRESS)
    add("--dataset", metavar="{mnist,mnist-validation,digits,FILE.npz}", default=argparse.SUPPRESS,
        help="mnist-validation scores the last 10,000 training images, not the test set; an .npz is your own: x, y "
        "with -1 where there is no label, and, if you like, x_test, y_test, image_shape "
        "(default: mnist, or scikit-learn's digits where MNIST is neither here nor can be downloaded)")
    add("--new-classes", type=int, metavar="N", default=1, help="how many classes of your own data have no label")
    add("--data-dir", metavar="DIR", help="folder with the four files of MNIST (default: the one that MICROGMDGM_DATA "
        "names, or else a download into the user's cache)", default=argparse.SUPPRESS)
    add("--labelled-classes", type=int, nargs="*", metavar="C", default=[0, 1, 2, 8, 9],
        help="classes that have labels; none: unsupervised, all: semi-supervised")
    add("--labels-per-class", type=count, metavar="N", default=argparse.SUPPRESS,
        help="labels of each of them, or all (default: 100, or 10 on digits)")
    add("--extra-classes", type=int, metavar="N", default=argparse.SUPPRESS,
        help="slots of y beyond the true number of classes (default: 5, or 0 where all classes are labelled)")
    add("--sum", choices=("exact", "sparse"), help="the sum over y (default: the recipe's)", default=argparse.SUPPRESS)
    add("--likelihood", choices=("auto", "bernoulli", "gaussian"), default="auto",
        help="p(x|z); auto: by what your own data hold, bernoulli for images")
    add("--hidden-layers", type=int, default=2, metavar="N", help="hidden layers of each network")
    add("--hidden-units", type=int, metavar="N", default=argparse.SUPPRESS,
        help="units of each hidden layer (default: 500, or 200 on digits)")
    add("--z-dimensions", type=int, metavar="N", default=argparse.SUPPRESS,
        help="dimensions of z (default: 100, or 10 for a table of your own)")
    add("--samples", type=int, default=1, metavar="N", help="samples of z for each pair of an example and a class")
    add("--set", nargs="+", action="extend", metavar="NAME=VALUE", default=[],
        help="other settings of the recipe, such as alpha=1; recipes.py has them all")
    add("--gpu", action="store_true", help="compute on the GPU, all runs of a model at once")
    add("--jobs", type=int, metavar="N", help="runs at a time, each in a process of one BLAS thread (default: as many "
        "as cores, never more than runs); 1: one run at a time, on all cores", default=argparse.SUPPRESS)
    add("--dask", metavar="ADDRESS", help="compute on a Dask cluster, such as tcp://host:8786",
        default=argparse.SUPPRESS)
    add("--out", metavar="DIR", help="folder for the results (default: results/<dataset>-<recipe>-<date and time>)",
        default=argparse.SUPPRESS)
    add("--resume", metavar="DIR", help="go on with the interrupted runs in DIR, with their settings: finished ones "
        "are not run again; beside it only --data-dir, --jobs, --dask and --quiet", default=argparse.SUPPRESS)
    add("--quiet", action="store_true", help="print nothing but the table at the end")
    found = parser.parse_args(arguments)
    given = {name for name, value in vars(found).items() if value != parser.get_default(name)}
    foreign = sorted(given - {"resume", "data_dir", "jobs", "dask", "quiet"})
    if "resume" in given and foreign:
        parser.error(f"--resume takes its settings from its folder: leave out --{foreign[0].replace('_', '-')}")
    if found.gpu and given & {"jobs", "dask"}:
        parser.error("--gpu computes all runs at once: leave out --jobs and --dask")
    if given >= {"jobs", "dask"}:
        parser.error("--dask uses all workers of its cluster: leave out --jobs")
    defaults = {"model": "both" if found.table1 else "gm-dgm", "runs": 10 if found.table1 else 1}
    for name in ("model", "runs", "epochs", "classifier_epochs", "dataset", "data_dir", "labels_per_class",
                 "extra_classes", "sum", "hidden_units", "z_dimensions", "jobs", "dask", "out", "resume"):
        setattr(found, name, getattr(found, name, defaults.get(name)))
    for name, least in (("runs", 1), ("seed", 0), ("epochs", 1), ("classifier_epochs", 0), ("labels_per_class", 1),
                        ("extra_classes", 0), ("new_classes", 0), ("hidden_layers", 1), ("hidden_units", 1),
                        ("z_dimensions", 1), ("samples", 1), ("jobs", 1)):
        value = getattr(found, name)
        if value not in (None, "all") and value < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    return found


def find_data(found, say):
    """Where the data asked for are, and they.  Where none were and MNIST cannot be had, the digits, and says so."""
    source = Source(found.dataset or "mnist", found.data_dir or os.environ.get(ENVIRONMENT) or None,
                    progressbar=sys.stderr.isatty() and not found.quiet)
    try:
        return source, source.load()
    except DataError as error:
        if found.dataset or source.folder:
            raise
        say(f"{error}\nMNIST cannot be had: this run is on scikit-learn's 8×8 digits instead.")
        return Source("digits"), Source("digits").load()


def check(found, data):
    """The settings that depend on the data, checked and filled in.  Raises ValueError."""
    classes = found.labelled_classes
    unknown = [c for c in classes if not 0 <= c < data.C]
    if unknown:
        raise ValueError(f"--labelled-classes must be classes of {data.name}, 0 to {data.C - 1}, not {unknown[0]}")
    if len(set(classes)) < len(classes):
        raise ValueError(f"--labelled-classes names a class twice: {' '.join(map(str, classes))}")
    if found.labels_per_class is None:
        found.labels_per_class = 10 if data.name == "digits" else 100
    if found.hidden_units is None:
        found.hidden_units = 200 if data.name == "digits" else 500
    if found.extra_classes is None:
        found.extra_classes = 0 if len(classes) == data.C else 5
    found.z_dimensions = found.z_dimensions or 100
    found.likelihood = "bernoulli" if found.likelihood == "auto" else found.likelihood
    hide_labels(data.y_train, classes, labels_of_each(found), np.random.default_rng(found.seed))  # are there enough?
    slot_prior(data.C, len(classes), found.extra_classes)


def labels_of_each(found):
    """The number of labels of each labelled class, None for all."""
    return None if found.labels_per_class == "all" else found.labels_per_class


def settings(found, data):
    """The recipe with what the command line changes in it."""
    changes = {"epochs": found.epochs, "classifier_epochs": found.classifier_epochs, "sum_over_y": found.sum,
               "samples": found.samples}
    changes = {name: value for name, value in changes.items() if value is not None}
    recipe = recipe_for(found.recipe, len(data.x_train), found.extra_classes)
    return changed(replace(recipe, **changes), found.set)


def job_of(found, data, threads):
    """The Job of what was asked for; its model and seeds are yet to be named.  Raises ValueError."""
    check(found, data)
    return Job("", (), settings(found, data), tuple(found.labelled_classes), labels_of_each(found), found.extra_classes,
               found.z_dimensions, found.hidden_units, found.hidden_layers, found.likelihood, data.fingerprint,
               threads=threads, gpu=found.gpu)


def folder_name(found, dataset):
    return found.out or f"results/{dataset}-{found.recipe}-{datetime.now():%Y-%m-%d-%H%M%S}"


def new_folder(found, data):
    """The folder for the results of what was asked for, made now.  Raises ValueError."""
    xp = backend.gpu() if found.gpu else np
    models = ["m2", "gm-dgm"] if found.model == "both" else [found.model]
    together = 1 if found.gpu else min(found.jobs or cpu_count(only_physical_cores=True), found.runs * len(models))
    job = job_of(found, data, threads=1 if together > 1 or found.dask else None)
    return results.Folder.create(
        folder_name(found, data.name),
        {"command": found.command, "dataset": found.dataset or data.name, "data_dir": found.data_dir,
         "models": models, "seeds": [found.seed + r for r in range(found.runs)], "together": together,
         "job": job.settings, "device": backend.device_name(xp),
         "versions": {**executors.versions(), "python": platform.python_version()}})


def old_folder(found, say):
    """The folder to go on with; its settings, in `found`.  Raises ValueError."""
    folder = results.Folder.resume(found.resume)
    found.dataset, found.data_dir = folder.config["dataset"], found.data_dir or folder.config["data_dir"]
    found.gpu = folder.config["job"]["gpu"]
    for name, ours in executors.versions().items():
        if ours != (theirs := folder.config["versions"][name]):
            say(f"{name} was {theirs} and is {ours} now: the last digits may differ from an uninterrupted run's")
    return folder


def place(found, folder):
    """Where to compute: a context manager of executors."""
    if found.dask:
        return partial(executors.dask, found.dask)
    together = found.jobs or folder.config["together"]
    return executors.here if together == 1 else partial(executors.processes, together)


class Progress:
    """A bar for all runs with the time left and the latest figures; one plain line an epoch where nobody watches."""

    def __init__(self, folder, quiet):
        recipe = folder.jobs[0].recipe
        self.folder, self.quiet, self.runs = folder, quiet, len(folder.config["models"]) * len(folder.config["seeds"])
        self.last = recipe.total_epochs
        work = self.runs * (recipe.classifier_epochs + 2 * recipe.epochs)  # on all of the model it costs about twice
        self.bar = tqdm(total=work, initial=sum(map(self._work, folder.metrics)), smoothing=0.1, leave=False,
                        disable=quiet or not sys.stderr.isatty(),
                        bar_format="{l_bar}{bar:20}| {elapsed}, {remaining} left{postfix}")

    @staticmethod
    def _work(m):
        return 2 if m["joint"] else 1

    def __call__(self, metrics):
        for m in metrics:
            bound = f"bound {m['L(x)']:.1f}, " if m["joint"] else ""
            figures = f"{bound}accuracy {100 * m['accuracy']:.1f} %, {m['slots_used']} slots in use"
            place = f"{m['model']}, seed {m['seed']}, epoch {m['epoch']} of {self.last}"
            if self.bar.disable and not self.quiet:
                print(f"{place}: {figures}, {m['seconds']:.0f} s", file=sys.stderr, flush=True)
            done = sum(len(runs) for runs in self.folder.runs.values())
            self.bar.set_description(f"{done} of {self.runs} runs" if self.runs > 1 else "", refresh=False)
            self.bar.set_postfix_str(f"{place}: {figures}", refresh=False)
            self.bar.update(self._work(m))


def fail(message):
    print(f"run_mnist.py: error: {message}", file=sys.stderr)
    return 2


def main(arguments=None):
    found = options(arguments)
    found.command = shlex.join(["python", "run_mnist.py", *(sys.argv[1:] if arguments is None else arguments)])

    def say(text):
        print(text, file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's "stop" is a Ctrl-C
    try:
        if own.holds(found.dataset):
            return own.run(found, lambda found, own: results.new_path(folder_name(found, own.name)))
        folder = old_folder(found, say) if found.resume else None
        source, data = find_data(found, say)
        folder = folder or new_folder(found, data)
        if data.fingerprint != folder.config["job"]["fingerprint"]:
            raise ValueError(f"the data {source.dataset} found here are others than those of {folder.path}: "
                             f"fingerprint {data.fingerprint}, not {folder.config['job']['fingerprint']}")
    except (ValueError, OSError, Diverged) as error:
        return fail(error)

    progress, code = Progress(folder, found.quiet), 0

    def record(job, state, metrics, results):
        folder.record(job, state, metrics, results)
        progress(metrics)
    try:
        unfinished = [job for job in folder.jobs if not folder.finished(job)]
        diverged = executors.compute(unfinished, source, place(found, folder), folder.state_of, record)
        progress.bar.close()
        for job, error in diverged.items():
            code = fail(f"{job.name}: {error}")
    except KeyboardInterrupt:
        progress.bar.close()
        say(f"interrupted: go on with --resume {folder.path}")
        code = 130
    except (OSError, ValueError) as error:
        progress.bar.close()
        code = fail(f"{error}; what was finished is kept: go on with --resume {folder.path}")
    except MemoryError:
        progress.bar.close()
        code = fail("there is too little memory: try fewer --jobs or, with --gpu, which trains all runs at once, "
                    "fewer --runs")
    try:
        folder.close()
        models = folder.summary()["models"]
        if models:
            report.write(folder, data)
            for warning in results.warnings(models):
                say(warning)
            print(results.as_text(data.name, models))
            say(f"report: {folder.path / 'report.html'}")
    except OSError as error:
        code = fail(f"{error}; the runs are kept: make room and draw the report with --resume {folder.path}")
    return code


if __name__ == "__main__":
    sys.exit(main())
