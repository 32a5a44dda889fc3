"""What the generative half is worth to q(y|x) where it has no random maps to learn from.

    python -m tests.worth [--seeds 5] [--out lessons/results/worth.json]

Tables, with never-labelled classes whose number is told, and digits as images that no map changes, with two labels of
every class.  Each way to train sees the same rows and labels; every third row is held out and scored one to one.  What
the JSON holds already is not run again.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from microgmdgm import data
from microgmdgm.files import write_json
from microgmdgm.recipes import for_slots, recipe_for
from microgmdgm.sklearn import SemiUnsupervisedClassifier
from tests.real_cases import CASES, cell, load, scores

TOGETHER = {"held": 0.0, "q_rate": 1.0, "gamma_held": 1.0, "gamma_gone": 1.0}  # all networks learn, with invariance
WAYS = {  # title: the model, and what it changes in the recipe
    "q(y|x) alone": ("gm-dgm", {"held": 1.0}),
    "GM-DGM": ("gm-dgm", {}),
    "M2": ("m2", {}),
    "GM-DGM, q(y|x) learns from the bound": ("gm-dgm", TOGETHER),
    "M2, q(y|x) learns from the bound": ("m2", TOGETHER),
    "the same epochs without the bound's gradient": ("gm-dgm", {**TOGETHER, "q_from_bound": False})}
TASKS = {  # title: the case, its never-labelled classes, and labels of each other class
    "digits as a table, 3 4 5 6 7 hidden": ("table", (3, 4, 5, 6, 7), 10),
    "wine, 0 hidden": ("wine", (0,), 10), "wine, 1 hidden": ("wine", (1,), 10), "wine, 2 hidden": ("wine", (2,), 10),
    "breast cancer, 0 hidden": ("cancer", (0,), 20), "breast cancer, 1 hidden": ("cancer", (1,), 20),
    "digits, 2 labels, no maps": ("digits", (), 2)}


def estimator(way, case, hidden, classes, seed):
    """What trains in this way; the recipe is that of the data, and of so many slots, without maps of images."""
    (model, changes), shape = WAYS[way], CASES[case].get("image_shape")
    recipe = replace(for_slots(recipe_for("fast", shape), classes, classes - len(hidden), 0), **changes)
    return SemiUnsupervisedClassifier(len(hidden), model=model, recipe=recipe, image_shape=shape, random_state=seed,
                                      augment="auto" if shape is None else False)


def run(seeds, path):
    """Every way on every task with every seed, each kept in the JSON at once."""
    found = json.loads(path.read_text()) if path.exists() else {}
    for task, (case, hidden, labels) in TASKS.items():
        split = load(case)
        classes = int(split[1].max()) + 1
        for way in WAYS:
            runs = found.setdefault(task, {}).setdefault(way, [])
            for seed in set(seeds) - {kept["seed"] for kept in runs}:
                known = [c for c in range(classes) if c not in hidden]
                rows, _ = data.hide_labels(split[1], known, labels, np.random.default_rng(seed))
                given = np.full(len(split[1]), -1)
                given[rows] = split[1][rows]
                model = estimator(way, case, hidden, classes, seed)
                figures = scores(model, "told", split, given, hidden)
                runs.append({"seed": seed, "accuracy_one_to_one": figures["accuracy_one_to_one"],
                             "seconds": figures["seconds"]})
                print(task, way, runs[-1], flush=True)
                write_json(path, found)
    return found


def table(found):
    """In Markdown, a column a way: mean (SD) over the seeds, in percent."""
    lines = ["| | " + " | ".join(way.replace("|", r"\|") for way in WAYS) + " |", "|---" * (1 + len(WAYS)) + "|"]
    return "\n".join(lines + [f"| {task} | " + " | ".join(cell([kept["accuracy_one_to_one"] for kept in runs[way]])
                                                          for way in WAYS) + " |" for task, runs in found.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("lessons/results/worth.json"), metavar="FILE")
    asked = parser.parse_args()
    print(table(run(range(asked.seeds), asked.out)))


if __name__ == "__main__":
    main()
