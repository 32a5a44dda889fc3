"""The fast recipe elsewhere, and taken apart: each row a command of run_mnist.py, each figure a mean over seeds.

    python -m tests.experiments [regimes splits others ablation schedules] [--jobs N] [--seeds N] [--out DIR]

writes NAME.json, in lessons/results/experiments if nothing else is said, with every run of every row as soon as it
is finished, and prints the tables of all that are there; runs that a JSON holds already are not run again.  Regimes,
splits and others are scored on the test set.  Ablation and schedules are not: they are on the last 10,000 training
images, by which settings are chosen, and at half of the recipe's epochs.  Others takes from this folder what has no
mirror to name, each an .npz with x_train, y_train, x_test, y_test and image_shape, of bytes with light strokes: usps,
7,291 and 2,007 images of 16×16; kannada, the test images of Kannada-MNIST (Prabhu, 2019), 8,000 of them at random for
training; dig, its 10,240 of other writers, and kmnist8k, the test images of KMNIST, in the same way; bangla, devanagari
and telugu, 5,000, 2,500 and 2,500 training images of 32×32 of CMATERdb 3 and its test images, inverted; hoda, 8,000 of
the "remaining samples" of Hoda's Persian digits, the larger side drawn to 20 pixels in the middle of 28×28, and 4,000 of
its test images; semeion, 1,200 and 393 images of 16×16; notmnist, the test images of notMNIST, 8,000 of them for training.
"""

import argparse
import json
import shlex
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from joblib import cpu_count

import run_mnist
from microgmdgm import machine
from microgmdgm.experiment import Source, command, executors, options
from microgmdgm.files import write_json
from tests.real_cases import cell


@dataclass(frozen=True)
class Part(Source):
    """A part of the training images: the first N of a random order, or of every class but 0 1 2 8 9 a share."""
    images: int | None = None
    share: float = 1.0

    def load(self):
        data, rng = super().load(), np.random.default_rng(0)
        order = rng.permutation(len(data.x_train))
        order = order[np.isin(data.y_train[order], (0, 1, 2, 8, 9)) | (rng.random(len(order)) < self.share)]
        rows = np.sort(order[:self.images])
        return replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])


PARTS = {  # title of a row: what it leaves out
    "MNIST, 2,000 images": {"images": 2_000}, "MNIST, 8,000 images": {"images": 8_000},
    "MNIST, never-labelled digits at 50 %": {"share": 0.5}, "… at 25 %": {"share": 0.25}, "… at 10 %": {"share": 0.1}}
FASHION = "--dataset fashion-mnist --labels-per-class 120"  # 2 % of a class
USPS = "--dataset usps.npz --labels-per-class 20"
SCRIPTS = {"Kannada": "kannada", "Kannada, other writers": "dig", "Bangla": "bangla", "Devanagari": "devanagari",
           "Telugu": "telugu", "Kuzushiji, old Japanese letters": "kmnist8k", "Persian": "hoda", "Semeion": "semeion",
           "letters A to J of many typefaces": "notmnist"}
NO_LABELS = "--labelled-classes --extra-classes 10"
ALL = "0 1 2 3 4 5 6 7 8 9"
HALF = "--dataset mnist-validation --classifier-epochs 15 --epochs 4 --set first_epochs=4"  # as version 0.2 had it
SCHEDULES = {  # of maps and weights, beside the recipe's
    "with strong balance to the end": f"{HALF} beta=8 first_beta=1",
    "with much smoothness from the start": f"{HALF} first_smoothness=1",
    "with constant weights": f"{HALF} first_epochs=0 maps=1 smoothness=1 beta=8",
    "with maps of one size": f"{HALF} first_maps=1"}
OTHERS = {"labelled 3 4 5 6 7": "--labelled-classes 3 4 5 6 7", "labelled 0 1 2": "--labelled-classes 0 1 2"}
LABELS = {**OTHERS, "10 labels a class": "--labels-per-class 10"}


def final(epochs):
    """The four joint epochs of HALF, and then so many more on Eq. 2 alone."""
    total = 4 + epochs
    return f"gamma_held={0.7 * 4 / total:.3f} gamma_gone={0.85 * 4 / total:.3f} --epochs {total}"


EXPERIMENTS = {  # title of each row: the arguments of run_mnist.py
    "regimes": {"seeds": 10, "rows": {
        "semi-unsupervised, 10 labels a class": "--labels-per-class 10",
        "semi-supervised, 10 labels a class": f"--labelled-classes {ALL} --labels-per-class 10",
        "unsupervised, 20 slots": NO_LABELS,
        "unsupervised, 10 slots": "--labelled-classes --extra-classes 0"}},
    "splits": {"seeds": 1, "rows": {
        **OTHERS,
        "labelled 0 1 2 3 4 5 6 7": "--labelled-classes 0 1 2 3 4 5 6 7",
        "20 labels a class": "--labels-per-class 20",
        "20 slots to begin with": "--extra-classes 10",
        "30 slots to begin with": "--extra-classes 20"}},
    "others": {"seeds": 1, "rows": {
        "MNIST, 2,000 images": "--labels-per-class 50",
        "MNIST, 8,000 images": "--labels-per-class 50",
        "MNIST, never-labelled digits at 50 %": "",
        "… at 25 %": "",
        "… at 10 %": "",
        "USPS": USPS,
        "USPS, unsupervised, 20 slots": f"{USPS} {NO_LABELS}",
        "Fashion-MNIST, labelled 0 1 2 3 4": f"{FASHION} --labelled-classes 0 1 2 3 4",
        "Fashion-MNIST, unsupervised, 20 slots": f"{FASHION} {NO_LABELS}",
        **{title: f"--dataset {name}.npz --labels-per-class 50" for title, name in SCRIPTS.items()},
        "Bangla, labelled 3 4 5 6 7": "--dataset bangla.npz --labels-per-class 50 --labelled-classes 3 4 5 6 7",
        "Telugu, labelled 5 6 7 8 9": "--dataset telugu.npz --labels-per-class 50 --labelled-classes 5 6 7 8 9",
        **{f"{title}, unsupervised, 20 slots": f"--dataset {SCRIPTS[title]}.npz {NO_LABELS}"
           for title in ("Kannada", "Bangla", "Telugu")}}},
    "ablation": {"seeds": 5, "rows": {
        "the recipe": HALF,
        "with all of its epochs": f"{HALF} first_epochs=8 --classifier-epochs 30 --epochs 8",
        "without random maps": f"{HALF} maps=0",
        "without consistency": f"{HALF} consistency=0",
        "without smoothness": f"{HALF} smoothness=0",
        "without balance": f"{HALF} beta=0",
        **SCHEDULES,
        "with weak balance from the start": f"{HALF} first_beta=1",
        "with a third of the weight of the labels": f"{HALF} alpha=10",
        "with constant learning rates": f"{HALF} classifier_decay_from=1 decay_from=1",
        "without epochs of q(y|x) alone": f"{HALF} --classifier-epochs 0",
        "with all pixels": f"{HALF} minimum_sd=0",
        "the paper's objective alone": f"{HALF} gamma=0 maps=0",
        "… and random maps": f"{HALF} gamma=0",
        "… and consistency under random maps": f"{HALF} smoothness=0 beta=0",
        "… and smoothness": f"{HALF} maps=0 consistency=0 beta=0",
        "… and balance": f"{HALF} maps=0 consistency=0 smoothness=0",
        "… and balance and smoothness": f"{HALF} maps=0 consistency=0",
        "q(y|x) learns nothing from the bound": f"{HALF} q_from_bound=false",
        "M2": f"{HALF} --model m2",
        "no last epochs on Eq. 2 alone": f"{HALF} gamma_held=1 gamma_gone=1",
        "20 more epochs on Eq. 2 alone": f"{HALF} {final(20)}",
        "20 more epochs on Eq. 2 alone, M2": f"{HALF} {final(20)} --model m2"}},
    "schedules": {"seeds": 5, "rows": {
        f"{labels}, {change}": f"{arguments} {options}"
        for change, arguments in {"the recipe": HALF, **SCHEDULES}.items() for labels, options in LABELS.items()}},
}


def jobs_of(arguments, seeds, **part):
    """The source of the data, or of a part of them, and a Job for each seed.  Raises ValueError, DataError."""
    asked = options.parse(shlex.split(arguments))
    source, data = command.find_data(asked)
    if part:
        source = Part(source.dataset, source.folder, **part)
        data = source.load()
    job = run_mnist.job_of(asked, data, threads=1)
    return source, [replace(job, model=asked.model, seeds=(seed,)) for seed in seeds]


def run(name, seeds, processes, path):
    """Every row with every seed; each run is kept in the JSON as soon as it is finished."""
    rows = EXPERIMENTS[name]["rows"]
    result = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    result |= {"device": machine.device_name(), "versions": executors.versions(), "threads": 1}
    todo, rows_of, curves = {}, {}, {}
    for title, arguments in rows.items():
        row = result["rows"].setdefault(title, {"arguments": arguments, "runs": []})
        if row["arguments"] != arguments:
            raise ValueError(f"{path} holds the row {title!r} with other arguments, {row['arguments']}: remove it there")
        done = {kept["seed"] for kept in row["runs"]}
        source, jobs = jobs_of(arguments, [seed for seed in seeds if seed not in done], **PARTS.get(title, {}))
        for job in jobs:
            rows_of[job], curves[job] = row, []
            todo.setdefault(source, []).append(job)

    def record(job, state, metrics, results):
        curves[job] += [{figure: m[figure] for figure in ("epoch", "accuracy", "balance", "L(x)") if figure in m}
                        for m in metrics]
        if results is not None:
            row = rows_of[job]
            row["runs"] = sorted([*row["runs"], {**results[0][0], "curve": curves[job]}], key=lambda kept: kept["seed"])
            print(f"{name}, {next(title for title in rows if result['rows'][title] is row)}, seed {job.seeds[0]}: "
                  f"{100 * results[0][0]['accuracy']:.2f} % after {state.seconds:.0f} s", file=sys.stderr, flush=True)
            write_json(path, result)
    for source, jobs in todo.items():
        diverged = executors.compute(jobs, source, partial(executors.processes, processes), lambda job: None, record)
        for job, error in diverged.items():
            raise ArithmeticError(f"{job.name}: {error}")


COLUMNS = {"accuracy": "overall", "accuracy_unlabelled_classes": "never-labelled classes",
           "accuracy_one_to_one": "best one-to-one map"}


def settings(arguments):
    """What a row changes, as Markdown."""
    text = arguments.removeprefix(HALF).strip()
    return f"`{text}`" if text else ""


def table(result, **more):
    """A row an experiment, in percent: mean (SD over seeds), in Markdown; more are columns of {title of row: text}."""
    heads = ["", "settings", *more, *COLUMNS.values(), "lowest run", "slots used", "bound, nats"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for title, row in result["rows"].items():
        runs = row["runs"]
        if runs:
            slots, bound = (np.mean([kept[name] for kept in runs]) for name in ("slots_used", "bound"))
            lines.append("| " + " | ".join([
                title.replace("|", r"\|"), settings(row["arguments"]),
                *(texts.get(title, "") for texts in more.values()),
                *(cell([kept[figure] for kept in runs]) for figure in COLUMNS),
                f"{100 * min(kept['accuracy'] for kept in runs):.1f}", f"{slots:.0f}", f"{bound:.1f}"]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(EXPERIMENTS)}; none: only print the tables")
    parser.add_argument("--seeds", type=int, metavar="N", help="runs of each row (default: "
                        + ", ".join(f"{e['seeds']} for {name}" for name, e in EXPERIMENTS.items()) + ")")
    parser.add_argument("--jobs", type=int, default=cpu_count(only_physical_cores=True), metavar="N",
                        help="runs at a time, each on one BLAS thread (default: as many as cores)")
    parser.add_argument("--out", type=Path, default=Path("lessons/results/experiments"), metavar="DIR")
    found = parser.parse_args()
    if unknown := set(found.names) - set(EXPERIMENTS):
        parser.error(f"unknown experiment {unknown.pop()}: choose from {', '.join(EXPERIMENTS)}")
    found.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in found.names:
            run(name, range(found.seeds or EXPERIMENTS[name]["seeds"]), found.jobs, found.out / f"{name}.json")
    except (ValueError, OSError, ArithmeticError) as error:
        parser.error(str(error))
    for name in EXPERIMENTS:
        if (path := found.out / f"{name}.json").exists():
            print(f"\n{name}\n\n{table(json.loads(path.read_text()))}")


if __name__ == "__main__":
    main()
