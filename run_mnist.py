#!/usr/bin/env python3
"""The experiment of Willetts, Roberts and Holmes (2018): python run_mnist.py"""

import argparse
import os
import platform
import shlex
import sys
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from tqdm import tqdm

from microgmdgm import __version__, backend, experiment, own, plots
from microgmdgm.data import ENVIRONMENT, DataError, hide_labels, load, slot_prior
from microgmdgm.recipes import RECIPES, recipe_for
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
    add("--model", choices=("gm-dgm", "m2", "both"), default="gm-dgm", help="which model to train")
    add("--recipe", choices=tuple(RECIPES), default="fast", help="how to train it; see README")
    add("--runs", type=int, default=1, metavar="N", help="how many runs")
    add("--seed", type=int, default=0, metavar="S", help="seed of the first run; the others follow, S+1, …")
    add("--epochs", type=int, metavar="E", help="epochs on the whole model (default: the recipe's: "
        + ", ".join(f"{recipe.epochs} for {name}" for name, recipe in RECIPES.items()) + ")", default=argparse.SUPPRESS)
    add("--dataset", metavar="{mnist,digits,FILE.npz}", default=argparse.SUPPRESS,
        help="an .npz is your own: x, y with -1 where there is no label, and, if you like, x_test, y_test, image_shape "
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
    add("--gpu", action="store_true", help="compute on the GPU, all runs at once")
    add("--out", metavar="DIR", help="folder for the results (default: results/<dataset>-<recipe>-<date and time>)",
        default=argparse.SUPPRESS)
    add("--quiet", action="store_true", help="print nothing but the table at the end")
    found = parser.parse_args(arguments)
    for name in ("epochs", "dataset", "data_dir", "labels_per_class", "extra_classes", "sum", "hidden_units",
                 "z_dimensions", "out"):
        setattr(found, name, getattr(found, name, None))
    for name, least in (("runs", 1), ("seed", 0), ("epochs", 1), ("labels_per_class", 1), ("extra_classes", 0),
                        ("new_classes", 0), ("hidden_layers", 1), ("hidden_units", 1), ("z_dimensions", 1),
                        ("samples", 1)):
        value = getattr(found, name)
        if value not in (None, "all") and value < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    return found


def find_data(found, say):
    """The data asked for.  Where none was and MNIST cannot be had, the digits, and says so."""
    try:
        return load(found.dataset or "mnist", found.data_dir, progressbar=sys.stderr.isatty() and not found.quiet)
    except DataError as error:
        if found.dataset or found.data_dir or os.environ.get(ENVIRONMENT):
            raise
        say(f"{error}\nMNIST cannot be had: this run is on scikit-learn's 8×8 digits instead.")
        return load("digits")


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
    changes = {"epochs": found.epochs, "sum_over_y": found.sum, "samples": found.samples}
    changes = {name: value for name, value in changes.items() if value is not None}
    return replace(recipe_for(found.recipe, len(data.x_train)), **changes)


def folder(found, data):
    """The folder for the results, made now.  Raises ValueError where it cannot be written or is not empty."""
    out = Path(found.out or f"results/{data.name}-{found.recipe}-{datetime.now():%Y-%m-%d-%H%M%S}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ValueError(f"--out {out} is not empty: name a new folder, so that no result is lost")
        (out / "metrics.jsonl").touch()
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror}") from None
    return out


class Progress:
    """A bar with the time left and the running figures; one plain line an epoch where nobody watches."""

    def __init__(self, recipe, runs, quiet):
        self.recipe, self.quiet, self.metrics = recipe, quiet, []
        work = runs * (recipe.classifier_epochs + 2 * recipe.epochs)  # an epoch on all of the model costs about twice
        self.bar = tqdm(total=work, disable=quiet or not sys.stderr.isatty(), smoothing=0.1, leave=False,
                        bar_format="{l_bar}{bar:20}| {elapsed}, {remaining} left{postfix}")

    def __call__(self, m):
        self.metrics.append(m)
        bound = f"bound {m['L(x)']:.1f}, " if m["joint"] else ""
        figures = f"{bound}accuracy {100 * m['accuracy']:.1f} %, {m['slots_used']} slots in use"
        of = self.recipe.classifier_epochs + self.recipe.epochs
        if self.bar.disable and not self.quiet:
            print(f"{m['model']}, seed {m['seed']}, epoch {m['epoch']} of {of}: {figures}, {m['seconds']:.0f} s",
                  file=sys.stderr, flush=True)
        self.bar.set_description(f"{m['model']}, seed {m['seed']}, epoch {m['epoch']}/{of}", refresh=False)
        self.bar.set_postfix_str(figures, refresh=False)
        self.bar.update(2 if m["joint"] else 1)


def draw(out, data, name, summary, models, metrics):
    """The pictures of one model: all its runs' curves, and the best run's Figure 2, samples and latent space."""
    best = max(range(len(models)), key=lambda i: summary["runs"][i]["accuracy"])
    result, trained = summary["runs"][best], models[best]
    choice = f"best of {len(models)} runs, seed {result['seed']}" if len(models) > 1 else f"seed {result['seed']}"
    title = f"{experiment.TITLES[name]} on {experiment.TITLES[data.name]}"
    where = f"{title}, {choice}"
    figures = {"confusion": plots.confusion(trained.predict(data.x_test), data.y_test, trained.labelled_classes,
                                            trained.model.K, data.C, f"{where}: accuracy {result['accuracy']:.3f}"),
               "curves": plots.learning_curves([m for m in metrics if m["model"] == name], title),
               "latent": plots.latent(trained, data.x_test, data.y_test, f"{where}: means of z, test data")}
    if data.image_shape:
        figures["samples"] = plots.samples(trained, f"{where}: samples of each slot")
    for kind, figure in figures.items():
        figure.savefig(out / f"{kind}-{name}.png", dpi=120)


def finish(out, data, found, recipe, results, metrics):
    """summary.json, the pictures and the table, for the runs that were finished."""
    models = {name: experiment.summarise([result for result, _ in runs]) for name, runs in results.items() if runs}
    summary = {"dataset": data.name, "recipe": found.recipe, "device": device(found),
               "settings": {**vars(found), "recipe": asdict(recipe)}, "paper": experiment.PAPER_TABLE_1,
               "models": models}
    experiment.write_json(out / "summary.json", summary)
    for name, model_summary in models.items():
        draw(out, data, name, model_summary, [trained for _, trained in results[name]], metrics)
        for run in model_summary["runs"]:
            if run["collapsed"]:
                print(f"{name}, seed {run['seed']}: COLLAPSED: y says almost nothing of x (I(x;y) = "
                      f"{run['mutual_information']:.2f} nats, {run['slots_used']} slots in use), so that its accuracy "
                      "is that of guessing", file=sys.stderr)
    if models:
        print(experiment.table(data.name, models))


def device(found):
    return backend.device_name(backend.gpu() if found.gpu else np)


def main(arguments=None):
    found = options(arguments)
    try:
        xp = backend.gpu() if found.gpu else np
        if own.holds(found.dataset):
            return own.run(found, folder)
        data = find_data(found, lambda text: print(text, file=sys.stderr))
        check(found, data)
        recipe = settings(found, data)
        out = folder(found, data)
    except (ValueError, Diverged) as error:
        print(f"run_mnist.py: error: {error}", file=sys.stderr)
        return 2
    experiment.write_json(out / "config.json", {
        "command": shlex.join(["python", "run_mnist.py", *(arguments if arguments is not None else sys.argv[1:])]),
        "options": vars(found), "recipe": asdict(recipe), "dataset": data.name, "device": device(found),
        "versions": {"microgmdgm": __version__, "python": platform.python_version(), "numpy": np.__version__}})

    names = ("m2", "gm-dgm") if found.model == "both" else (found.model,)
    seeds = [found.seed + r for r in range(found.runs)]
    sizes = {"Z": found.z_dimensions, "H": found.hidden_units, "hidden_layers": found.hidden_layers,
             "likelihood": found.likelihood}
    results, progress, code = {name: [] for name in names}, Progress(recipe, found.runs * len(names), found.quiet), 0
    try:
        for name in names:
            for group in [seeds] if found.gpu else [[seed] for seed in seeds]:
                results[name] += experiment.run(
                    name, recipe, data, group, labelled_classes=found.labelled_classes, labels_per_class=labels_of_each(found),
                    extra_classes=found.extra_classes, sizes=sizes, out=out, watch=progress, xp=xp)
    except KeyboardInterrupt:
        print(f"interrupted: what was finished is in {out}", file=sys.stderr)
        code = 130
    except Diverged as error:
        print(f"run_mnist.py: error: {error}", file=sys.stderr)
        code = 2
    progress.bar.close()
    finish(out, data, found, recipe, results, progress.metrics)
    print(f"results: {out}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
