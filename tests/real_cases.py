"""Real data with classes that nobody labelled, by this model and by what one would use otherwise.

    python -m tests.real_cases [digits table wine cancer satimage …] [--seeds 5] [--out lessons/results/real-cases]

writes one JSON a case, with every seed, and prints the table of all that are there; what is in a
JSON already is not run again.  Every third row is held out; all methods see the same rows and the same
labels.  Some are told how many classes there are, the others find it.  Each slot or cluster stands for
the class most common in it on the *training* rows, or, one to one, for a class of its own; what is scored
are the held-out rows.  Settings were chosen on training rows alone.  A table of OpenML's is read from NAME.npz (x, y)
in this folder, where that is.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from microgmdgm import __version__, data
from microgmdgm.evaluation import accuracies, contingency, majority_map, one_to_one_accuracy
from microgmdgm.files import read_arrays, write_json
from microgmdgm.sklearn import SemiUnsupervisedClassifier


def openml(name, version=1):
    """What loads x, y of a table that has this name on OpenML, from NAME.npz, scikit-learn's cache or from there.  It
    raises DataError if the table is in none of them."""
    def load(return_X_y):
        if (own := Path(f"{name}.npz")).exists():
            arrays = read_arrays(own)
            return arrays["x"].astype(float), np.unique(arrays["y"], return_inverse=True)[1]
        try:
            x, y = datasets.fetch_openml(name, version=version, as_frame=False, return_X_y=return_X_y)
        except (OSError, ValueError) as error:  # no network, or no such table
            raise data.DataError(f"{name} is neither in {datasets.get_data_home()} nor can it be had from OpenML "
                                 f"({str(error).splitlines()[0]}): run this once where there is a network") from None
        return x.astype(float), np.unique(y, return_inverse=True)[1]
    return load


DIGITS = {"load": datasets.load_digits, "hidden": [(3, 4, 5, 6, 7)], "labels": 10}
CASES = {  # the never-labelled classes, one experiment a tuple; labels of each other class
    "digits": {**DIGITS, "title": "digits, images", "image_shape": (8, 8)},
    "table": {**DIGITS, "title": "digits, as a table"},
    "iris": {"title": "iris", "load": datasets.load_iris, "hidden": [(0,), (1,), (2,)], "labels": 10},
    "wine": {"title": "wine", "load": datasets.load_wine, "hidden": [(0,), (1,), (2,)], "labels": 10},
    "cancer": {"title": "breast cancer", "load": datasets.load_breast_cancer, "hidden": [(0,), (1,)], "labels": 20},
    "satimage": {"title": "satellite images", "load": openml("satimage"), "hidden": [(2, 5)], "labels": 20},
    "pendigits": {"title": "pen digits", "load": openml("pendigits"), "hidden": [(3, 4, 5, 6, 7)], "labels": 10},
    "letter": {"title": "letters", "load": openml("letter"), "hidden": [(20, 21, 22, 23, 24, 25)], "labels": 20},
    "mnist": {"title": "MNIST", "hidden": [(8, 9)], "labels": 100, "image_shape": (28, 28)},
}
METHODS = {"ours": "GM-DGM, finds how many", "told": "GM-DGM, told how many", "sweep": "GM-DGM, most I(x;y)/log K",
           "k-means": "k-means, told", "mixture": "Gaussian mixture, told", "bic": "Gaussian mixture, least BIC",
           "hdbscan": "HDBSCAN", "spreading": "LabelSpreading", "self-training": "SelfTraining, logistic regression"}
OURS = ("ours", "told", "sweep")
FIGURES = {"classes_found": "classes found", "accuracy_one_to_one": "one to one", "accuracy": "overall",
           "accuracy_labelled_classes": "known classes", "accuracy_unlabelled_classes": "never-labelled classes",
           "nmi": "NMI", "auroc_new": "known or new, AUROC", "auroc_bound": "by the bound, AUROC"}
MOST_NEW = 6  # new classes that the sweep tries


class Bic(BaseEstimator):
    """The Gaussian mixture of least BIC, of 1 … 20 components."""

    def __init__(self, **settings):
        self.settings = settings

    def fit(self, x, y=None):
        self.best_ = min((GaussianMixture(K, **self.settings).fit(x) for K in range(1, 21)), key=lambda m: m.bic(x))
        return self

    def predict(self, x):
        return self.best_.predict(x)


class Density(BaseEstimator):
    """HDBSCAN with its own settings; what it calls noise is a cluster, and a new row goes with the nearest one."""

    def fit(self, x, y=None):
        clusters = HDBSCAN(copy=True).fit(x).labels_
        self.nearest_ = KNeighborsClassifier(1).fit(x, clusters)
        return self

    def predict(self, x):
        return self.nearest_.predict(x)


class Sweep(BaseEstimator):
    """Our model with 1 … MOST_NEW new classes; the one whose y says the most of x, for its number of slots, is kept."""

    def __init__(self, **settings):
        self.settings = settings

    def fit(self, x, y):
        fits = [SemiUnsupervisedClassifier(new, **self.settings).fit(x, y) for new in range(1, MOST_NEW + 1)]
        self.best_ = max(fits, key=lambda m: m.monitor_["mutual_information"] / np.log(len(m.classes_)))
        return self

    def predict(self, x):
        return self.best_.predict(x)

    def predict_proba(self, x):
        return self.best_.predict_proba(x)


def load(case):
    """x, y of the training rows and of the held-out ones."""
    if case == "mnist":
        mnist = data.load("mnist")
        return mnist.x_train, mnist.y_train, mnist.x_test, mnist.y_test
    x, y = CASES[case]["load"](return_X_y=True)
    test = np.arange(len(x)) % 3 == 2
    return x[~test], y[~test], x[test], y[test]


def methods(case, C, n_new, seed):
    """The estimators; those of scikit-learn see standardised columns, and MNIST in 50 principal components."""
    settings = CASES[case]
    wide = case == "mnist"
    scale = (lambda: PCA(50, random_state=seed)) if wide else StandardScaler
    gaussians = {"covariance_type": "full" if case in ("wine", "cancer", "mnist") else "diag", "reg_covar": 1e-2,
                 "random_state": seed}
    own = {"random_state": seed, "image_shape": settings.get("image_shape")}
    found = {
        "ours": SemiUnsupervisedClassifier("auto", **own),
        "told": SemiUnsupervisedClassifier(n_new, **own),
        "sweep": Sweep(**own),
        "k-means": make_pipeline(scale(), KMeans(C, n_init=10, random_state=seed)),
        "mixture": make_pipeline(scale(), GaussianMixture(C, n_init=3, **gaussians)),
        "bic": make_pipeline(scale(), Bic(**gaussians)),
        "hdbscan": make_pipeline(scale(), Density()),
        "spreading": make_pipeline(scale(), LabelSpreading(kernel="knn", n_neighbors=7, max_iter=100)),
        "self-training": make_pipeline(scale(), SelfTrainingClassifier(LogisticRegression(max_iter=1000))),
    }
    if C - n_new < 2:  # these two need at least two known classes
        del found["spreading"], found["self-training"]
    if case in ("digits", "table", "satimage", "pendigits", "letter", "mnist"):  # six take long
        del found["sweep"]
    if wide:  # HDBSCAN compares every row with every other one
        del found["hdbscan"]
    return found


def scores(model, method, split, given, hidden):
    """Fit on the given labels, −1 elsewhere, and score the held-out rows."""
    x, y, x_test, y_test = split
    C = int(y.max()) + 1
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LabelSpreading divides by the zero mass of rows that no label reaches
        model.fit(x, given)
    seconds = time.perf_counter() - began
    slots, slots_test = (np.unique(np.concatenate([model.predict(x), model.predict(x_test)]), return_inverse=True)[1]
                         [part] for part in (slice(None, len(x)), slice(len(x), None)))
    K = int(max(slots.max(), slots_test.max())) + 1
    slot_map = majority_map(contingency(slots, y, K, C))
    known = [c for c in range(C) if c not in hidden]
    counts = contingency(slots_test, y_test, K, C)
    result = accuracies(counts, slot_map, known)
    result["accuracy_one_to_one"] = one_to_one_accuracy(counts)
    result["classes_found"] = None if method in ("spreading", "self-training") else len(np.unique(slots))
    result["nmi"] = float(normalized_mutual_info_score(y_test, slots_test))
    result["auroc_new"], new = None, np.isin(y_test, hidden)
    if hidden and method in (*OURS, "spreading", "self-training"):
        q = np.nan_to_num(model.predict_proba(x_test))
        newness = q[:, len(known):].sum(axis=1) if method in OURS else -q.max(axis=1)
        result["auroc_new"] = float(roc_auc_score(new, newness))
    if method == "ours":
        result["auroc_bound"] = float(roc_auc_score(new, -model.score_samples(x_test)))
    return {**result, "seconds": round(seconds, 1)}


def run(case, seeds, path):
    """Every method on every choice of never-labelled classes and every seed, each kept in the JSON at once."""
    settings, split = CASES[case], load(case)
    y = split[1]
    C, runs = int(y.max()) + 1, json.loads(path.read_text())["runs"] if path.exists() else []
    done = {(r["method"], tuple(r["hidden"]), r["seed"]) for r in runs}
    for hidden in settings["hidden"]:
        for seed in seeds:
            known = [c for c in range(C) if c not in hidden]
            rows, _ = data.hide_labels(y, known, settings["labels"], np.random.default_rng(seed))
            given = np.full(len(y), -1)
            given[rows] = y[rows]
            for method, model in methods(case, C, len(hidden), seed).items():
                if (method, hidden, seed) in done:
                    continue
                runs.append({"method": method, "hidden": hidden, "seed": seed,
                             **scores(model, method, split, given, hidden)})
                print(case, runs[-1], flush=True)
                write_json(path, {
                    "case": settings["title"], "labels": settings["labels"], "classes": C, "runs": runs,
                    "training_rows": len(y), "held_out_rows": len(split[3]),
                    "versions": {"microgmdgm": __version__, "scikit-learn": sklearn.__version__,
                                 "numpy": np.__version__}})


def table(results):
    """Mean (SD over seeds) in percent of each figure, a row a case and hidden classes and method, in Markdown."""
    lines = ["| data, never labelled | method | " + " | ".join(FIGURES.values()) + " |",
             "|---|---|" + "---|" * len(FIGURES)]
    for result in results:
        for hidden in sorted({tuple(run["hidden"]) for run in result["runs"]}):
            for method, name in METHODS.items():
                runs = [r for r in result["runs"] if r["method"] == method and tuple(r["hidden"]) == hidden]
                if not runs:
                    continue
                cells = [cell([r.get(figure) for r in runs], 1 if figure == "classes_found" else 100) for figure in FIGURES]
                title = f"{result['case']}, {' '.join(map(str, hidden))}" if method == "ours" else ""
                lines.append(f"| {title} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(values, unit=100):
    if None in values or not values:
        return "–"
    return f"{unit * np.mean(values):.1f}" + (f" ({unit * np.std(values, ddof=1):.1f})" if len(values) > 1 else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; none: only print the table")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("lessons/results/real-cases"), metavar="DIR")
    found = parser.parse_args()
    if unknown := set(found.cases) - set(CASES):
        parser.error(f"unknown case {unknown.pop()}: choose from {', '.join(CASES)}")
    found.out.mkdir(parents=True, exist_ok=True)
    for case in found.cases:
        try:
            run(case, range(found.seeds), found.out / f"{case}.json")
        except data.DataError as error:
            parser.error(str(error))
    files = [found.out / f"{case}.json" for case in CASES]
    print(table([json.loads(path.read_text()) for path in files if path.exists()]))


if __name__ == "__main__":
    main()
