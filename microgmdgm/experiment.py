"""One experiment: train one model for several seeds, score it, keep the results in files.

    config.json       what was asked for, before anything runs
    metrics.jsonl     a line an epoch a run, as it happens
    model-….npz       each run's model, as soon as it is trained
    summary.json      every finished run, mean and standard deviation, beside the paper's Table 1
"""

import json
import os
import time
from pathlib import Path

import numpy as np

from .backend import namespace, to_host
from .batches import Task
from .data import slot_prior
from .evaluation import evaluate
from .models import Model, log_q_y
from .trained import ROWS, Trained
from .training import train

PAPER_TABLE_1 = {  # fractions: mean and SD over ten runs on MNIST
    "m2": {"accuracy_labelled_classes": (0.863, 0.022), "accuracy_unlabelled_classes": (0.634, 0.083),
           "accuracy": (0.743, 0.044)},
    "gm-dgm": {"accuracy_labelled_classes": (0.937, 0.019), "accuracy_unlabelled_classes": (0.874, 0.045),
               "accuracy": (0.907, 0.020)},
}
TITLES = {"m2": "M2", "gm-dgm": "GM-DGM", "mnist": "MNIST", "digits": "digits"}
FIGURES = ("accuracy", "accuracy_labelled_classes", "accuracy_unlabelled_classes", "accuracy_train_map",
           "accuracy_one_to_one", "nmi", "mutual_information", "slots_used", "bound", "seconds")


def write_json(path, content):
    """Write content whole or not at all."""
    partial = Path(path).with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def run(name, recipe, data, seeds, *, labelled_classes, labels_per_class, out, extra_classes=5, sizes=None,
        watch=lambda metrics: None, xp=np):
    """Train the model `name` once a seed, as one array program, and write its metrics and models
    into the folder `out`.     -> [(result, Trained), …]
    sizes: settings of Model, such as {"H": 200}; watch(metrics) is told of each epoch of each run.
    Raises ValueError for classes and counts that the data do not have, Diverged as `train` does."""
    began = time.perf_counter()
    rngs = [np.random.default_rng(seed) for seed in seeds]
    task = Task.prepare(data, labelled_classes, labels_per_class, rngs, recipe.minimum_sd, xp)
    model = Model(name, slot_prior(data.C, len(labelled_classes), extra_classes), len(task.pixels), **(sizes or {}))
    known = {"labelled_classes": labelled_classes, "prior": model.prior, "C": data.C}
    pixels = to_host(task.pixels)
    x_test = xp.asarray(data.x_test[:, pixels])

    for epoch, (state, terms) in enumerate(train(model, recipe, task, rngs), start=1):
        q = predict(state, x_test, data.white)
        for r, seed in enumerate(seeds):
            metrics = {"model": name, "seed": seed, "epoch": epoch, "joint": "L(x)" in terms,
                       "seconds": round(time.perf_counter() - began, 2),
                       **{term: float(value[r]) for term, value in terms.items()},
                       **evaluate(q[r], data.y_test, **known)}
            with open(out / "metrics.jsonl", "a") as file:
                file.write(json.dumps(metrics) + "\n")
            watch(metrics)
    seconds = time.perf_counter() - began

    results = []
    for theta, seed in zip(to_host(state.theta), seeds):
        trained = Trained(model, theta, pixels, data.x_train.shape[1], data.white,
                          tuple(labelled_classes), data.image_shape)
        trained.save(out / f"model-{name}-seed{seed}.npz")
        scores = evaluate(trained.predict_proba(data.x_test), data.y_test, **known,
                          q_train=trained.predict_proba(data.x_train), classes_train=data.y_train)
        bound = float(trained.bound(data.x_test).mean())
        results.append(({"seed": seed, **scores, "bound": bound, "seconds": round(seconds, 2)}, trained))
    return results


def predict(state, x, white):
    """q(y|x) of every run.     x (N,X) on the device -> (R,N,K) on the host"""
    xp = namespace(x)
    layers = state.layout.views(state.theta)["q(y|x)"]
    parts = [xp.exp(log_q_y(layers, xp.asarray(x[i:i + ROWS], dtype=state.theta.dtype) * (1 / white))[0])
             for i in range(0, len(x), ROWS)]
    return to_host(xp.concat(parts, axis=-2))


def summarise(runs):
    """{"runs": …, "mean": …, "sd": …} over the runs; a single run has no SD."""
    def over(statistic, least):
        columns = {figure: [run[figure] for run in runs if run[figure] is not None] for figure in FIGURES}
        return {figure: float(statistic(column)) if len(column) >= least else None
                for figure, column in columns.items()}
    return {"runs": runs, "mean": over(np.mean, 1), "sd": over(lambda column: np.std(column, ddof=1), 2)}


def table(dataset, models):
    """The paper's Table 1 beside ours, in percent.     models {name: summarise(…)} -> text"""
    rows = (("accuracy_labelled_classes", "labelled classes"),
            ("accuracy_unlabelled_classes", "never-labelled classes"), ("accuracy", "overall"),
            ("accuracy_train_map", "  map fitted on training data"), ("accuracy_one_to_one", "  one-to-one map"),
            ("nmi", "  normalised mutual information"))
    heads = [head for name in models for head in (f"{TITLES[name]}, paper", f"{TITLES[name]}, ours")]
    lines = [f"{'Accuracy, %: mean (SD)':<34}" + "".join(f"{head:>18}" for head in heads)]
    for figure, title in rows:
        cells = []
        for name, summary in models.items():
            paper = PAPER_TABLE_1[name].get(figure)
            cells.append(_cell(*paper) if paper else "")
            cells.append(_cell(summary["mean"][figure], summary["sd"][figure]))
        lines.append(f"{title:<34}" + "".join(f"{cell:>18}" for cell in cells))
    counts = ", ".join(f"{TITLES[name]} {len(summary['runs'])}" for name, summary in models.items())
    lines.append(f"Paper: MNIST, 10 runs each.  Ours: {TITLES.get(dataset, dataset)}, runs: {counts}, last epoch, test set.")
    return "\n".join(lines)


def _cell(mean, sd):
    if mean is None:
        return "–"
    return f"{100 * mean:.1f}" + (f" ({100 * sd:.1f})" if sd is not None else "")
