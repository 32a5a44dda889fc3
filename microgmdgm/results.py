"""The folder of an experiment: what was asked for, every epoch, every run, and what an interruption leaves.

    config.json           what was asked for, before anything runs
    metrics.jsonl         a line an epoch a run, as it happens
    checkpoint-….npz      the last epoch of each unfinished run
    model-….npz           each run's model, as soon as it is trained
    summary.json          every finished run, mean and standard deviation, beside the paper's Table 1
"""

import json
import time
from pathlib import Path

import numpy as np

from . import checkpoint
from .experiment import Job
from .files import whole, write_json
from .trained import load

FORMAT = 1
PAPER_TABLE_1 = {  # fractions: mean and SD over ten runs on MNIST
    "m2": {"accuracy_labelled_classes": (0.863, 0.022), "accuracy_unlabelled_classes": (0.634, 0.083),
           "accuracy": (0.743, 0.044)},
    "gm-dgm": {"accuracy_labelled_classes": (0.937, 0.019), "accuracy_unlabelled_classes": (0.874, 0.045),
               "accuracy": (0.907, 0.020)},
}
TITLES = {"m2": "M2", "gm-dgm": "GM-DGM", "mnist": "MNIST",
          "mnist-validation": "MNIST (validation)", "digits": "digits"}
ROWS = (  # figure of a run, title of its row
    (None, "The paper's protocol: slots named by test labels"),
    ("accuracy_labelled_classes", "labelled classes"),
    ("accuracy_unlabelled_classes", "never-labelled classes"),
    ("accuracy", "overall"),
    (None, "Clean protocol: slots named by training labels"),
    ("train_map_accuracy_labelled_classes", "labelled classes"),
    ("train_map_accuracy_unlabelled_classes", "never-labelled classes"),
    ("train_map_accuracy", "overall"),
    (None, "Without naming slots"),
    ("accuracy_one_to_one", "best one-to-one map"),
    ("nmi", "normalised mutual information"),
)
FIGURES = (*(figure for figure, _ in ROWS if figure),
           "conditional_entropy", "marginal_entropy", "mutual_information", "slots_used", "bound", "seconds")


class Folder:
    """Keeps what the runs of `config` give.  Only one process writes to it."""

    def __init__(self, path, config):
        self.path, self.config = Path(path), config
        self.metrics, self.states = [], {}
        self.spent, self.began = 0.0, time.perf_counter()  # seconds before an interruption; since then
        self.runs = {model: [] for model in config["models"]}

    @classmethod
    def create(cls, path, config):
        """A new folder.  Raises ValueError where it cannot be written or is not empty."""
        path = new_path(path)
        write_json(path / "config.json", {"format": FORMAT, **config})
        return cls(path, config)

    @classmethod
    def resume(cls, path):
        """The folder of an interrupted experiment, as it was after the last checkpoints.
        Raises ValueError where it holds none, or a file in it is damaged; nothing is changed then."""
        path = Path(path)
        config = _read_json(path / "config.json", "the config.json of an experiment")
        if config.get("format") != FORMAT:
            raise ValueError(f"{path / 'config.json'} has format {config.get('format')}, but this version "
                             f"reads format {FORMAT}")
        try:
            folder = cls(path, config)
            jobs = folder.jobs
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path / 'config.json'} does not say what was asked for: {error!r}") from None
        if (path / "summary.json").exists():
            summary = _read_json(path / "summary.json", "a summary of runs")
            try:
                for model in folder.runs:
                    folder.runs[model] = [run for run in summary["models"].get(model, {"runs": []})["runs"]
                                          if (path / f"model-{model}-seed{run['seed']}.npz").exists()]
                folder.spent = float(summary.get("seconds", 0))
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise ValueError(f"{path / 'summary.json'} is not a summary of runs: {error!r}") from None
        for job in jobs:
            if not folder.finished(job) and folder._checkpoint(job).exists():
                folder.states[job] = checkpoint.load(folder._checkpoint(job), job.settings)
        folder._tidy()
        return folder

    @property
    def jobs(self):
        """A job a run; on a GPU a job a model, all seeds at once."""
        seeds, job = self.config["seeds"], self.config["job"]
        groups = [seeds] if job["gpu"] else [[seed] for seed in seeds]
        return [Job.from_settings({**job, "model": model, "seeds": group})
                for model in self.config["models"] for group in groups]

    def finished(self, job):
        return set(job.seeds) <= {run["seed"] for run in self.runs[job.model]}

    def state_of(self, job):
        """The State that the job goes on from, None where it has yet to start."""
        return self.states.pop(job, None)

    def record(self, job, state, metrics, results):
        """Keep one more epoch of a job and, after the last, its results.  Raises OSError where the disk
        is full; the last checkpoint and all results are then as they were."""
        with open(self.path / "metrics.jsonl", "a") as file:
            file.writelines(json.dumps(m) + "\n" for m in metrics)
        self.metrics += metrics
        if results is None:
            checkpoint.save(self._checkpoint(job), state, job.settings)
            return
        for result, trained in results:
            trained.save(self.path / f"model-{job.model}-seed{result['seed']}.npz")
        others = [run for run in self.runs[job.model] if run["seed"] not in job.seeds]
        self.runs[job.model] = sorted(others + [result for result, _ in results], key=lambda run: run["seed"])
        write_json(self.path / "summary.json", self.summary())
        self._checkpoint(job).unlink(missing_ok=True)

    def summary(self):
        return {"dataset": self.config["dataset"], "device": self.config["device"],
                "command": self.config["command"], "versions": self.config["versions"], "job": self.config["job"],
                "paper": PAPER_TABLE_1, "seconds": round(self.spent + time.perf_counter() - self.began, 1),
                "models": {model: summarise(runs) for model, runs in self.runs.items() if runs}}

    def best(self, model):
        """The run with the highest accuracy, and its model."""
        result = max(self.runs[model], key=lambda run: run["accuracy"])
        return result, load(self.path / f"model-{model}-seed{result['seed']}.npz")

    def close(self):
        """Put the lines of metrics.jsonl in order: with several processes they come as they happen."""
        self._write_metrics()

    def _checkpoint(self, job):
        return self.path / f"checkpoint-{job.name}.npz"

    def _tidy(self):
        """Remove what a killed process left half done: torn files, epochs after the last checkpoint."""
        for torn in self.path.glob("*.partial"):
            torn.unlink()
        done = {(job.model, seed): job.recipe.total_epochs if self.finished(job) else
                self.states[job].epoch if job in self.states else 0 for job in self.jobs for seed in job.seeds}
        log, kept = self.path / "metrics.jsonl", {}
        for line in log.read_text().splitlines() if log.exists() else ():
            try:
                m = json.loads(line)
                if m["epoch"] <= done[m["model"], m["seed"]]:
                    kept[m["model"], m["seed"], m["epoch"]] = m
            except (ValueError, KeyError, TypeError):  # the line was torn
                continue
        self.metrics = list(kept.values())
        self._write_metrics()
        for job in self.jobs:
            if self.finished(job):
                self._checkpoint(job).unlink(missing_ok=True)

    def _write_metrics(self):
        self.metrics.sort(key=lambda m: (self.config["models"].index(m["model"]), m["seed"], m["epoch"]))
        with whole(self.path / "metrics.jsonl") as file:
            file.writelines((json.dumps(m) + "\n").encode() for m in self.metrics)


def new_path(path):
    """The folder, made now.  Raises ValueError where it cannot be written or is not empty."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ValueError(f"--out {path} is not empty: name a new folder, or go on with --resume {path}")
        with whole(path / "config.json"):
            pass
        (path / "config.json").unlink()  # it can be written to
    except OSError as error:
        raise ValueError(f"--out {path} cannot be written: {error.strerror}") from None
    return path


def _read_json(path, kind):
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no dict")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not {kind}: {getattr(error, 'strerror', None) or error}") from None
    return content


def summarise(runs):
    """{"runs": …, "mean": …, "sd": …} over the runs; a single run has no SD."""
    def over(statistic, least):
        columns = {figure: [run[figure] for run in runs if run.get(figure) is not None] for figure in FIGURES}
        return {figure: float(statistic(column)) if len(column) >= least else None
                for figure, column in columns.items()}
    return {"runs": runs, "mean": over(np.mean, 1), "sd": over(lambda column: np.std(column, ddof=1), 2)}


def table_1(models):
    """The paper's Table 1 beside ours, in percent.     models {name: summarise(…)}
    -> heads of the columns, [(title, cells or None for a heading), …]"""
    heads = [f"{TITLES[name]}, {whose}" for name in models for whose in ("paper", "ours")]
    rows = []
    for figure, title in ROWS:
        cells = [cell for name, summary in models.items()
                 for cell in (_cell(*PAPER_TABLE_1[name].get(figure, (None, None)), absent=""),
                              _cell(summary["mean"][figure], summary["sd"][figure]))] if figure else None
        rows.append((title, cells))
    collapsed = [f"{sum(run['collapsed'] for run in summary['runs'])} of {len(summary['runs'])}"
                 for summary in models.values()]
    rows.append(("collapsed runs", [cell for count in collapsed for cell in ("", count)]))
    return heads, rows


def seed_rows(models):
    """Every run: -> heads, [cells, …]"""
    heads = ["run", "overall", "labelled", "never", "clean", "1-to-1", "NMI", "I(x;y)", "slots", "bound", "seconds"]
    rows = []
    for name, summary in models.items():
        for run in summary["runs"]:
            percent = [_cell(run[figure], None) for figure in (
                "accuracy", "accuracy_labelled_classes", "accuracy_unlabelled_classes", "train_map_accuracy",
                "accuracy_one_to_one", "nmi")]
            rows.append([f"{TITLES[name]} {run['seed']}" + (" COLLAPSED" if run["collapsed"] else ""), *percent,
                         f"{run['mutual_information']:.2f}", f"{run['slots_used']}", f"{run['bound']:.1f}",
                         f"{run['seconds']:.0f}"])
    return heads, rows


def as_text(dataset, models):
    """Table 1 and every run's row, for a terminal."""
    heads, rows = table_1(models)
    lines = [f"{'Percent: mean (SD)':<36}" + "".join(f"{head:>16}" for head in heads)]
    for title, cells in rows:
        lines.append(title if cells is None else f"  {title:<34}" + "".join(f"{cell:>16}" for cell in cells))
    counts = ", ".join(f"{TITLES[name]} {len(summary['runs'])}" for name, summary in models.items())
    lines.append(f"Paper: MNIST, 10 runs each.  Ours: {TITLES.get(dataset, dataset)}, runs: {counts}, "
                 "last epoch, held-out data.")
    heads, rows = seed_rows(models)
    lines += ["", f"{heads[0]:<20}" + "".join(f"{head:>9}" for head in heads[1:])]
    lines += [f"{cells[0]:<20}" + "".join(f"{cell:>9}" for cell in cells[1:]) for cells in rows]
    return "\n".join(lines)


def warnings(models):
    """What must be said of runs that collapsed, a line a run."""
    return [f"{TITLES[name]}, seed {run['seed']}: COLLAPSED: y says almost nothing of x (I(x;y) = "
            f"{run['mutual_information']:.2f} nats, {run['slots_used']} slots in use), so that its accuracy is that "
            "of guessing; the bound does not show it.  It counts in the mean.  More labels or the fast recipe help"
            for name, summary in models.items() for run in summary["runs"] if run["collapsed"]]


def _cell(mean, sd, absent="–"):
    if mean is None:
        return absent
    return f"{100 * mean:.1f}" + (f" ({100 * sd:.1f})" if sd is not None else "")
