"""Table 1 of the paper beside ours: mean and standard deviation over runs, and every run."""

import numpy as np

from ..data import SETS

PAPER_TABLE_1 = {  # fractions: mean and SD over ten runs on MNIST
    "m2": {"accuracy_labelled_classes": (0.863, 0.022), "accuracy_unlabelled_classes": (0.634, 0.083),
           "accuracy": (0.743, 0.044)},
    "gm-dgm": {"accuracy_labelled_classes": (0.937, 0.019), "accuracy_unlabelled_classes": (0.874, 0.045),
               "accuracy": (0.907, 0.020)},
}
TITLES = {"m2": "M2", "gm-dgm": "GM-DGM", "digits": "digits", **{name: known.title for name, known in SETS.items()},
          **{f"{name}-validation": f"{known.title} (validation)" for name, known in SETS.items()}}
TABLE_ROWS = (  # figure of a run, title of its row
    (None, "One slot a class: the best one-to-one map"),
    ("accuracy_one_to_one_labelled_classes", "labelled classes"),
    ("accuracy_one_to_one_unlabelled_classes", "never-labelled classes"),
    ("accuracy_one_to_one", "overall"),
    ("classes_found", "classes found"),
    (None, "The paper's protocol: slots named by test labels"),
    ("accuracy_labelled_classes", "labelled classes"),
    ("accuracy_unlabelled_classes", "never-labelled classes"),
    ("accuracy", "overall"),
    (None, "Clean protocol: slots named by training labels"),
    ("train_map_accuracy_labelled_classes", "labelled classes"),
    ("train_map_accuracy_unlabelled_classes", "never-labelled classes"),
    ("train_map_accuracy", "overall"),
    (None, "Without naming slots"),
    ("nmi", "normalised mutual information"),
    ("calibration_error", "calibration error of q(y|x)"),
    (None, "The generative model"),
    ("samples_read", "samples read as their slot's class"),
    ("sample_precision", "precision of samples"),
    ("sample_recall", "recall of samples"),
    ("log_p_x", "log p(x), nats"),
)
NUMBERS = ("classes_found", "log_p_x")  # all other figures are fractions
FIGURES = (*(figure for figure, _ in TABLE_ROWS if figure),
           "conditional_entropy", "marginal_entropy", "mutual_information", "slots_used", "bound", "seconds")


def summarise(runs):
    """{"runs": …, "mean": …, "sd": …} over the runs; a single run has no SD."""
    def over(statistic, least):
        columns = {figure: [run[figure] for run in runs if run.get(figure) is not None] for figure in FIGURES}
        return {figure: float(statistic(column)) if len(column) >= least else None
                for figure, column in columns.items()}
    return {"runs": runs, "mean": over(np.mean, 1), "sd": over(lambda column: np.std(column, ddof=1), 2)}


def table_1(models, dataset="mnist"):
    """Our Table 1 in percent and, for MNIST, the paper's beside it.     models {name: summarise(…)}
    -> heads of the columns, [(title, cells or None for a heading), …]"""
    beside = dataset.startswith("mnist")  # the paper has no figures of other data
    heads = [f"{TITLES[name]}, {whose}" for name in models for whose in (("paper", "ours") if beside else ("ours",))]
    rows = []
    for figure, title in TABLE_ROWS:
        cells = []
        for name, summary in models.items():
            if beside:
                cells.append(percent(*PAPER_TABLE_1[name].get(figure, (None, None)), absent=""))
            if figure:
                cells.append(shown(figure, summary["mean"].get(figure), summary["sd"].get(figure)))
        rows.append((title, cells if figure else None))
    collapsed = [f"{sum(run['collapsed'] for run in summary['runs'])} of {len(summary['runs'])}"
                 for summary in models.values()]
    rows.append(("collapsed runs", [cell for count in collapsed for cell in (["", count] if beside else [count])]))
    return heads, rows


def in_words(models):
    """What the table says, a sentence a model.     models {name: summarise(…)} -> [text, …]"""
    sentences = []
    for name, summary in models.items():
        mean, runs = summary["mean"], len(summary["runs"])
        found, new = mean["classes_found"], mean["accuracy_one_to_one_unlabelled_classes"]
        sentences.append(
            TITLES[name] + (f" finds {found:.4g} classes and" if found else "") + ", with one slot a class,"
            + f" gives {100 * mean['accuracy_one_to_one']:.1f} % of the test examples their class"
            + (f", and {100 * new:.1f} % of those whose class was never labelled" if new is not None else "")
            + (f", in the mean of {runs} runs" if runs > 1 else "")
            + f"; where several slots may stand for one class it is {100 * mean['accuracy']:.1f} %.")
    return sentences


def seed_rows(models):
    """Every run: -> heads, [cells, …]"""
    heads = ["run", "1-to-1", "labelled", "never", "classes", "many-to-1", "clean", "NMI", "I(x;y)", "slots", "bound",
             "seconds"]
    rows = []
    for name, summary in models.items():
        for run in summary["runs"]:
            figures = [shown(figure, run[figure]) for figure in (
                "accuracy_one_to_one", "accuracy_one_to_one_labelled_classes", "accuracy_one_to_one_unlabelled_classes",
                "classes_found", "accuracy", "train_map_accuracy", "nmi")]
            rows.append([f"{TITLES[name]} {run['seed']}" + (" COLLAPSED" if run["collapsed"] else ""), *figures,
                         f"{run['mutual_information']:.2f}", f"{run['slots_used']}", f"{run['bound']:.1f}",
                         f"{run['seconds']:.0f}"])
    return heads, rows


def merge_rows(models):
    """What each run merged and split, and how sure it is.     -> heads, [cells, …]"""
    rows = [[f"{TITLES[name]} {run['seed']}", f"{run['closest']:.2f}",
             ", ".join(f"{slot} into {into} ({c:.2f})" for _, slot, into, c in run["merges"]),
             ", ".join(f"{slot}, with {new} ({times:.1f})" for _, slot, new, times in run.get("splits", ())) or "–"]
            for name, summary in models.items() for run in summary["runs"] if run["merges"]]
    return ["run", "largest c left", "slots merged (c)", "slots split (times the median slot)"], rows


def as_text(dataset, models):
    """Table 1 and every run's row, for a terminal."""
    heads, rows = table_1(models, dataset)
    lines = [f"{'Percent: mean (SD)':<36}" + "".join(f"{head:>16}" for head in heads)]
    for title, cells in rows:
        lines.append(title if cells is None else f"  {title:<34}" + "".join(f"{cell:>16}" for cell in cells))
    counts = ", ".join(f"{TITLES[name]} {len(summary['runs'])}" for name, summary in models.items())
    paper = "Paper: MNIST, 10 runs each.  " if dataset.startswith("mnist") else ""
    lines.append(f"{paper}Ours: {TITLES.get(dataset, dataset)}, runs: {counts}, last epoch, held-out data.")
    heads, rows = seed_rows(models)
    lines += ["", f"{heads[0]:<20}" + "".join(f"{head:>9}" for head in heads[1:])]
    lines += [f"{cells[0]:<20}" + "".join(f"{cell:>9}" for cell in cells[1:]) for cells in rows]
    return "\n".join(lines)


def warnings_of(models):
    """A line for each sign that a run went wrong, which counts in the mean even so."""
    return [f"{TITLES[name]}, seed {run['seed']}: {sign}"
            for name, summary in models.items() for run in summary["runs"] for sign in run.get("signs", ())]


def shown(figure, mean, sd=None):
    """A figure in percent, if it is a fraction, with its SD in brackets."""
    return percent(mean, sd, unit=1 if figure in NUMBERS else 100)


def percent(mean, sd=None, absent="–", unit=100):
    """A fraction in percent, with its SD in brackets."""
    if mean is None:
        return absent
    return f"{unit * mean:.1f}" + (f" ({unit * sd:.1f})" if sd is not None else "")
