"""What the generative half is for, by the models of a finished Table 1 on MNIST: what is like nothing seen, and z.

    python run_mnist.py --table1 --out runs/table1
    python -m tests.uses runs/table1 [--out lessons/results/uses.json]

Others are Fashion-MNIST and test images turned by a quarter or with their halves swapped.  The AUROC is the probability
that a test image of MNIST scores higher than another one, by the bound L(x), by the largest q(y|x), and by familiarity,
which is made from every 15th training image; of each, unfamiliar is the share below what 99 % of those have.  Class from
z: five nearest neighbours among the means of z of 10,000 training images.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

import microgmdgm
from microgmdgm import data
from microgmdgm.experiment.table1 import TITLES
from microgmdgm.files import write_json
from microgmdgm.generative import Familiarity, auroc, traits
from tests.real_cases import cell

TEST = 2_000  # images of each kind
SCORES = {"familiarity": "familiarity", "bound": "bound", "largest_q": r"largest q(y\|x)"}
MODELS = ("gm-dgm", "m2")


def others(mnist, fashion):
    """{kind: images (n,784)} that are no digits of MNIST."""
    x = mnist.x_test[:TEST].reshape(-1, 28, 28)
    kinds = {"Fashion-MNIST": fashion.x_test[:TEST], "turned by a quarter": np.rot90(x, axes=(1, 2)),
             "halves swapped": np.roll(x, 14, axis=1)}
    return {kind: images.reshape(len(images), -1) for kind, images in kinds.items()}


def measured(trained, mnist, kinds):
    """The figures of one model.     -> dict"""
    familiarity = Familiarity(traits(trained, mnist.x_train[::15]))

    def scores(x):
        return {"familiarity": familiarity(traits(trained, x)), "bound": trained.bound(x),
                "largest_q": trained.predict_proba(x).max(axis=1)}
    here, there = scores(mnist.x_test[:TEST]), {kind: scores(x) for kind, x in kinds.items()}
    near = KNeighborsClassifier(5).fit(trained.encode(mnist.x_train[:10_000]), mnist.y_train[:10_000])
    return {"class_from_z": near.score(trained.encode(mnist.x_test), mnist.y_test),
            "unfamiliar": {kind: (s["familiarity"] < familiarity.least).mean() for kind, s in ({"MNIST": here} | there).items()},
            "auroc": {kind: {score: auroc(here[score], s[score]) for score in SCORES} for kind, s in there.items()}}


def table(found):
    """In Markdown, a column a model: mean (SD) over its runs."""
    runs = [found["models"][model] for model in MODELS]
    lines = ["| | " + " | ".join(TITLES[model] for model in MODELS) + " |", "|---" * (1 + len(MODELS)) + "|"]

    def line(title, figure):
        lines.append(f"| {title} | " + " | ".join(cell([figure(run) for run in each]) for each in runs) + " |")
    for kind in runs[0][0]["auroc"]:
        for score, name in SCORES.items():
            line(f"{kind}: AUROC by {name}", lambda run, kind=kind, score=score: run["auroc"][kind][score])
    for kind in runs[0][0]["unfamiliar"]:
        line(f"{kind}: unfamiliar", lambda run, kind=kind: run["unfamiliar"][kind])
    line("class read from z", lambda run: run["class_from_z"])
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a finished Table 1")
    parser.add_argument("--out", type=Path, default=Path("lessons/results/uses.json"), metavar="FILE")
    asked = parser.parse_args()
    mnist, fashion = (data.load(name, None) for name in ("mnist", "fashion-mnist"))
    kinds, found = others(mnist, fashion), {"models": {}}
    for name in MODELS:
        found["models"][name] = [{"seed": run["seed"], **measured(
            microgmdgm.load(asked.folder / f"model-{name}-seed{run['seed']}.npz"), mnist, kinds)}
            for run in json.loads((asked.folder / "summary.json").read_text())["models"][name]["runs"]]
    write_json(asked.out, found)
    print(table(found))


if __name__ == "__main__":
    main()
