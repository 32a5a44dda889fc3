"""How the time and the memory of training grow: python -m tests.benchmarks.growth --help"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from microgmdgm import data, recipes, training
from microgmdgm.files import whole, write_json
from microgmdgm.machine import device_name
from microgmdgm.pages import png
from .contenders import threads
from .worker import Worker, peak_memory

SIZES = {"rows": (10**4, 10**5, 10**6), "slots": (10, 100, 1000), "columns": (10**2, 10**3, 10**4)}
USUAL = {"rows": 10**4, "slots": 15, "columns": 784}
LABELS = {"rows": "N, rows in a memory-mapped file", "slots": "K, slots", "columns": "X, columns"}
PHASES = {"alone": "an epoch of q(y|x) alone", "joint": "an epoch of the other networks"}
LABELLED = 5  # classes
RECIPE = replace(recipes.FAST_TABLE, classifier_epochs=1, epochs=1, held=1.0, merge_from=0, minimum_epoch=1)


def write_bytes(path, rows, columns):
    """A file of rows × columns random bytes."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        for start in range(0, rows, 1000):
            file.write(rng.bytes(min(1000, rows - start) * columns))


def epochs(path, rows, slots, columns):
    """Train on a file of bytes by the recipe for tables.     -> seconds of an epoch of each phase; peak memory in MB"""
    x = np.memmap(path, np.uint8, "r", shape=(rows, columns))
    found = data.Data("bytes", x, np.arange(rows) % slots, None, None, None)
    model, task, rngs = training.prepare("gm-dgm", RECIPE, found, [0], labelled_classes=range(LABELLED),
                                         labels_per_class=10, extra_classes=0)
    clock = [time.perf_counter()]
    for _ in training.train(model, RECIPE, task, rngs):
        clock.append(time.perf_counter())
    return dict(zip(PHASES, np.diff(clock).round(3).tolist()), peak_mb=peak_memory())


def measure(sizes, folder, say=print):
    """-> a list of points, each {"against", "at", "alone", "joint", "peak_mb"}"""
    points = []
    for against, values in sizes.items():
        for value in values:
            size, path = {**USUAL, against: value}, folder / "bytes"
            write_bytes(path, size["rows"], size["columns"])
            with Worker(threads(1)) as ask:
                points.append({"against": against, "at": value, **ask(epochs, path, *size.values())})
            path.unlink()
            say(points[-1])
    return points


def figure_of(points):
    """Seconds an epoch, and peak memory, against each size.     -> Figure"""
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    panels = figure.subplots(2, len(LABELS), sharex="col", sharey="row")
    for (time_panel, memory), (against, label) in zip(panels.T, LABELS.items()):
        found = [point for point in points if point["against"] == against]
        at = [point["at"] for point in found]
        for (phase, name), colour, line in zip(PHASES.items(), ("#0072B2", "#D55E00"), ("-", "--")):
            time_panel.loglog(at, [point[phase] for point in found], color=colour, linestyle=line, marker=".", label=name)
        memory.loglog(at, [point["peak_mb"] for point in found], color="#444444", marker=".")
        memory.set_xlabel(label)
    panels[0, 0].set_ylabel("seconds")
    panels[1, 0].set_ylabel("peak memory of the process, MB")
    panels[0, 0].legend(fontsize=8)
    for panel in panels.flat:
        panel.grid(alpha=0.3)
    return figure


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description="Time and memory of training "
                                     "against the number of rows, slots and columns, on one thread.  Run it on a quiet "
                                     "machine; it needs a gigabyte in the folder for temporary files.")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write FILE, a .json, and the figure beside it, .png")
    found = parser.parse_args()
    if found.out and (found.out.suffix != ".json" or not found.out.parent.is_dir()):
        parser.error(f"--out takes the path of a .json in a folder that exists, not {found.out}")
    with tempfile.TemporaryDirectory() as folder:
        points = measure(SIZES, Path(folder))
    if found.out:
        write_json(found.out, {"command": " ".join(["python -m tests.benchmarks.growth", *sys.argv[1:]]),
                               "device": device_name(), "numpy": np.__version__, "usual": USUAL, "points": points})
        with whole(found.out.with_suffix(".png")) as file:
            file.write(png(figure_of(points)))


if __name__ == "__main__":
    main()
