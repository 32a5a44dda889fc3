"""Your own data on the command line: python run_mnist.py --dataset data.npz, or table.csv

data.npz holds x (N,width) and y (N,), labels of any kind with −1 where there is none; it may hold x_test,
with y_test, a truth that the report is held against, and image_shape (h, w).  A table is read by `tables`.

    predictions.csv       a line a row of x: its label, how probable that is, H(q(y|x)) in nats, and whether the
                          class is known, new, or a guess, as the row is unfamiliar: like nothing in x
    predictions-test.csv  the same of x_test, where there is one
    own.json              what was asked for, before anything runs
    checkpoint.npz        the last epoch, as long as the run is not finished: --resume goes on from it
    metrics.jsonl         the terms of the objective, a line an epoch
    model.npz             for SemiUnsupervisedClassifier.load
    report.html           the open-set report: of x_test where there is one, else of x
    openset.json, .png    the same as data, and its figures
    summary.json          settings and scores
"""

import csv
import html
import io
import json
import shlex
import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..data import DataError, image_shape_in, read_npz
from ..evaluation import entropies
from ..experiment import options
from ..files import check_format, folder_name, new_folder, whole, write_json
from ..pages import document, drawn, pairs, picture, table
from ..sklearn import SemiUnsupervisedClassifier
from ..sklearn.labels import unlabelled
from . import analysis, figures, tables

FORMAT = 1
CONFIG = "own.json"
NAMES = ("x", "y", "x_test", "y_test", "image_shape")
ELSEWHERE = ("table1", "runs", "labelled_classes", "labels_per_class", "set", "jobs", "dask", "resume", "data_dir",
             "fallback")  # options that only the paper's experiment has

SCORES = ("accuracy", "accuracy_labelled_rows", "accuracy_unlabelled_classes", "precision_new", "recall_new",
          "auroc_new", "nmi")  # what the report shows if there is a truth


@dataclass(frozen=True)
class Own:
    """The content of a file of one's own."""
    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    image_shape: tuple | None
    feature_names: list | None = None


def holds(path):
    """Is path a .csv, or an .npz with x and y, and not one with x_train, y_train, x_test, y_test; or the folder of a
    run on such data?  Raises DataError."""
    path = str(path or "")
    if path and (Path(path) / CONFIG).is_file():
        return True
    return path.endswith(".csv") or (path.endswith(".npz") and "x_train" not in read_npz(path))


def read(path, label=None):
    """The arrays in an .npz of one's own, or in a table with a column named `label`.  Raises DataError if one is
    missing or unknown; the estimator checks their contents."""
    if str(path).endswith(".csv"):
        x, y, names = tables.read(path, label or "label")
        return Own(Path(path).stem, x, y, None, None, None, names)
    if label:
        raise DataError(f"--label-column is for a table: {path} has the labels in y")
    arrays = read_npz(path)
    missing = [name for name in ("x", "y") if name not in arrays]
    missing += ["x_test"] if "y_test" in arrays and "x_test" not in arrays else []
    if missing:
        raise DataError(f"{path} must hold x (N,width), y (N,) and, with y_test, x_test, "
                        f"but lacks {', '.join(missing)}")
    if surplus := set(arrays) - set(NAMES):
        raise DataError(f"{path} may hold {', '.join(NAMES)}, but also holds {', '.join(sorted(surplus))}")
    x, test = arrays["x"], arrays.get("x_test", arrays["x"])
    if x.ndim != 2 or test.shape[1:] != x.shape[1:] or not len(test):
        raise DataError(f"{path}: x and x_test must be (N,width), N > 0, not {x.shape} and {test.shape}")
    if not all(array.dtype.kind in "uifb" and np.isfinite(array).all() for array in (x, test)):
        raise DataError(f"{path}: x and x_test must hold finite numbers: fill or drop what is NaN, infinite or text")
    if "y_test" in arrays and arrays["y_test"].shape != arrays["x_test"].shape[:1]:
        raise DataError(f"{path}: y_test must have a label for each of the {len(arrays['x_test'])} rows of x_test, not "
                        f"shape {arrays['y_test'].shape}")
    if "y_test" in arrays and (arrays["y_test"].dtype.kind in "OUS") != (arrays["y"].dtype.kind in "OUS"):
        raise DataError(f"{path}: y and y_test must both hold numbers or both texts, not {arrays['y'].dtype} and "
                        f"{arrays['y_test'].dtype}")
    return Own(Path(path).stem, x, arrays["y"], arrays.get("x_test"), arrays.get("y_test"),
               image_shape_in(arrays, x.shape[1], path))


def classifier(asked, own):
    """The estimator that the options of the command ask for.  Raises ValueError for those that do not apply."""
    for name, given in (("labelled-classes", asked.labelled_classes != [0, 1, 2, 8, 9]),
                        ("labels-per-class", asked.labels_per_class is not None)):
        if given:
            raise ValueError(f"--{name} is for data with every label: in {own.name} y says which rows have one")
    for name in ("set", "jobs", "dask"):
        if getattr(asked, name):
            raise ValueError(f"--{name} is for the paper's experiment, not for data of one's own: leave it out")
    if asked.model == "both" or asked.runs != 1:
        raise ValueError("one's own data are for one model and one run: choose --model gm-dgm or m2, and --runs 1")
    return SemiUnsupervisedClassifier(
        asked.new_classes, extra_classes=asked.extra_classes or 0, model=asked.model, recipe=asked.recipe,
        likelihood=asked.likelihood, image_shape=own.image_shape, hidden_units=asked.hidden_units or "auto",
        hidden_layers=asked.hidden_layers, z_dimensions=asked.z_dimensions or "auto", epochs=asked.epochs,
        classifier_epochs=asked.classifier_epochs,
        sum_over_y=asked.sum, samples=asked.samples, random_state=asked.seed, device="gpu" if asked.gpu else "cpu",
        verbose=int(not asked.quiet))


def run(asked):
    """Train on the data that the options name, or resume the run in the folder of --resume, and write all files
    into its folder.  Raises ValueError, OSError, MemoryError, Diverged.     -> the exit code"""
    out = Path(asked.resume) if asked.resume else None
    asked = again(out, asked) if out else asked
    own = read(asked.dataset, asked.label_column)
    model = classifier(asked, own)
    fresh, made = out is None, []
    if fresh:
        out = Path(asked.out or folder_name(own.name, asked.recipe))
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        new_folder(out)
        write_json(out / CONFIG, {"format": FORMAT, "command": asked.command})
    try:
        if (out / "model.npz").exists():
            model = SemiUnsupervisedClassifier.load(out / "model.npz")
        else:
            model = _fit(model, own, out / "checkpoint.npz")
            model.save(out / "model.npz")
        _write(out, asked, own, model)
    except KeyboardInterrupt:
        print(f"interrupted: go on with --resume {out}", file=sys.stderr)
        return 130
    except OSError as error:
        raise OSError(f"{error}; make room and go on with --resume {out}") from None
    except ValueError:
        if fresh and not (out / "checkpoint.npz").exists():  # nothing was learnt, so nothing is kept
            (out / CONFIG).unlink()
            for folder in made:
                folder.rmdir()
        raise
    for left in (out / "checkpoint.npz", *out.glob("*.partial")):
        left.unlink(missing_ok=True)
    return 0


def again(out, now):
    """The options of the run in a folder, parsed from its command, with the present --quiet.  Raises ValueError."""
    try:
        found = json.loads((out / CONFIG).read_text(encoding="utf-8"))
        asked = options.parse(shlex.split(found["command"])[2:])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{out / CONFIG} does not say what was asked for: {error}") from None
    check_format(out / CONFIG, found, FORMAT)
    if not asked.dataset or asked.resume:
        raise ValueError(f"{out / CONFIG} does not say which data were learnt from")
    asked.quiet = now.quiet
    return asked


def _write(out, asked, own, model):
    """Write all results of a trained model."""
    with whole(out / "metrics.jsonl") as file:
        file.writelines((json.dumps({"epoch": epoch, **terms}) + "\n").encode()
                        for epoch, terms in enumerate(model.history_, start=1))
    write_predictions(out / "predictions.csv", model, own.x)
    rows, truth = own.x, None
    if own.x_test is not None:
        write_predictions(out / "predictions-test.csv", model, own.x_test)
        rows, truth = own.x_test, own.y_test
        if truth is not None:
            told = ~unlabelled(truth)
            rows, truth = (rows[told], truth[told]) if told.any() else (rows, None)
    print(write_report(out, asked, own, model, rows, truth))
    print(f"report: {out / 'report.html'}", file=sys.stderr)


def write_report(out, asked, own, model, rows, truth):
    """Write the open-set report of rows (N,width), their truth (N,) or None, as data, figures and a page.
    -> the Report.  Raises OSError."""
    report = analysis.report(model, rows, truth, feature_names=own.feature_names)
    write_json(out / "openset.json", report.as_dict())
    images = {}
    for name, draw in figures.figures(report, rows, own.image_shape).items():
        if image := drawn(f"openset-{name}.png", draw):
            images[name] = image
            with whole(out / f"openset-{name}.png") as file:
                file.write(image)
    settings = {name: value for name, value in vars(asked).items() if name not in ELSEWHERE}
    summary = {
        "dataset": own.name, "settings": settings, "columns": str(model.columns_), "epochs": model.n_iter_,
        "monitor": model.monitor_, "report_on": "x" if own.x_test is None else "x_test", **report.whole,
        "accuracy_labelled_rows": None if truth is None else known_accuracy(model, rows, truth)}
    write_json(out / "summary.json", summary)
    with whole(out / "report.html") as file:
        file.write(page(own, model, report, summary, images).encode())
    return report


def page(own, model, report, summary, images):
    """report.html: what lies in each slot, which slots may be one class, and how sure all of it is.     -> text"""
    overall, known = report.whole, ", ".join(map(str, model.known_classes_))
    parts = [
        f"<h1>{html.escape(own.name)}: what was found</h1>",
        f"<p>{overall['rows']} rows of {html.escape(summary['report_on'])}; classes with labels: "
        f"{html.escape(known) or 'none'}; slots for new ones: {len(model.new_classes_)}.</p>",
        f"<p><strong>{100 * (1 - overall['share_new']):.1f} % of the rows are found in known classes, "
        f"{100 * overall['share_new']:.1f} % in new ones; {100 * overall['share_unsure']:.1f} % are unsure, their most "
        f"probable slot below {analysis.UNSURE}.</strong></p>",
        '<p class="soft">A slot is a value of y that the model learnt: each known class has one, the others are for '
        "new classes. A row is in its most probable slot; confidence is the mean of that probability, entropy that of "
        "H(q(y|x)), 0 where q is certain. The overlap of two slots is 0 where no row could be in both, and 1 where no "
        f"row tells them apart. I(x;y) is how many nats y says of x: {overall['mutual_information']:.2f} of at most "
        f"{np.log(len(report.slots)):.2f} here; y has collapsed where that is almost nothing.</p>"]
    parts += [f'<p class="warn">{html.escape(hint)}</p>' for hint in report.hints]
    parts += ["<h2>Slots</h2>", table(["slot", "rows", "confidence", "entropy, nats", "nearest known class (overlap)",
                                       *(["true classes"] if report.classes else [])],
                                      [slot.cells[:5 + bool(report.classes)] for slot in report.slots],
                                      words=bool(report.classes))]
    parts += [picture(image, f"open-set report, {name}", large=len(report.slots) > 8)
              for name, image in images.items()]
    scores = {name.replace("_", " "): f"{summary[name]:.3f}" for name in SCORES if summary.get(name) is not None}
    if scores:
        parts += ["<h2>Against the truth</h2>", pairs(scores)]
    command = summary["settings"]["command"]
    parts += ["<h2>How it was made</h2>", f"<pre>{html.escape(command)}</pre>",
              pairs({"columns": summary["columns"], **{name: value for name, value in summary["settings"].items()
                                                       if value not in (None, False, []) and name != "command"}})]
    return document(f"{own.name}: report", parts)


def _fit(model, own, path):
    """Train, with a checkpoint at path; progress and warnings go to standard error, one line each."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)  # the report says it
        model.fit(own.x, own.y, checkpoint=path)
    for warning in said:
        print(f"warning: {warning.message}", file=sys.stderr)
    return model


def known_accuracy(model, x, truth):
    """The accuracy over the rows of classes that have labels, by their own names; None without such rows."""
    rows = np.isin(truth, model.known_classes_)
    return float(model.score(x[rows], truth[rows])) if rows.any() else None


def write_predictions(path, model, x):
    """row,label,probability,entropy,known_or_new, one line per row of x, completely or not at all."""
    q = model.predict_proba(x)
    found, entropy, unfamiliar = q.argmax(axis=1), entropies(q), model.unfamiliar(x)
    with whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        lines = csv.writer(text)
        lines.writerow(["row", "label", "probability", "entropy", "known_or_new"])
        kinds = np.where(unfamiliar, "unfamiliar", np.where(found < len(model.known_classes_), "known", "new"))
        for row, slot in enumerate(found):
            lines.writerow([row, model.classes_[slot], f"{q[row, slot]:.6f}", f"{entropy[row]:.6f}", kinds[row]])
        text.detach()
