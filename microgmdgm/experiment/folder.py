"""The folder of an experiment: the request, every epoch, every run, and what an interruption leaves.

    config.json           the request, before anything runs
    metrics.jsonl         a line an epoch a run, as it happens
    checkpoint-….npz      the last epoch of each unfinished run; q(y|x) trained alone, for the other model
    model-….npz           each run's model, as soon as it is trained
    summary.json          every finished run, mean and standard deviation, beside the paper's Table 1
"""

import json
import time
from dataclasses import replace
from pathlib import Path

from .. import checkpoint
from ..files import check_format, new_folder, whole, write_json
from ..signs import rising
from ..trained import load
from .job import Job
from .table1 import PAPER_TABLE_1, as_text, summarise, warnings_of

FORMAT = 1
CONFIG = {"command": str, "dataset": str, "data_dir": str | None, "models": list, "seeds": list, "together": int,
          "job": dict, "device": str, "versions": dict}


class Folder:
    """Keeps the results of the runs of `config`.  Only one process writes to it."""

    def __init__(self, path, config):
        self.path, self.config = Path(path), config
        self.metrics, self.states = [], {}
        self.spent, self.began = 0.0, time.perf_counter()  # seconds before an interruption; since then
        self.runs = {model: [] for model in config["models"]}

    @classmethod
    def create(cls, path, config):
        """A new folder.  Raises ValueError if it is not empty or cannot be written."""
        path = new_folder(path)
        write_json(path / "config.json", {"format": FORMAT, **config})
        return cls(path, config)

    @classmethod
    def resume(cls, path):
        """The folder of an interrupted experiment, in its state after the last checkpoints.
        Raises ValueError if it holds none, or a file in it is damaged; then nothing is changed."""
        path = Path(path)
        config = _read_json(path / "config.json", "the config.json of an experiment")
        check_format(path / "config.json", config, FORMAT)
        try:
            unfit = [name for name, kind in CONFIG.items() if not isinstance(config[name], kind) or config[name] == []]
            if unfit:
                raise ValueError(f"{', '.join(unfit)} cannot be read")
            folder = cls(path, config)
            jobs, _ = folder.jobs, config["classes"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path / 'config.json'} does not say what was asked for: {error!r}") from None
        if (path / "summary.json").exists():
            summary = _read_json(path / "summary.json", "a summary of runs")
            try:
                for model in folder.runs:
                    folder.runs[model] = [run for run in summary["models"].get(model, {"runs": []})["runs"]
                                          if run["seed"] in config["seeds"]
                                          and (path / f"model-{model}-seed{run['seed']}.npz").exists()]
                folder.spent = float(summary.get("seconds", 0))
                models = folder.summary()["models"]
                as_text("", models), warnings_of(models)  # they have all that the table needs
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise ValueError(f"{path / 'summary.json'} is not a summary of runs: {error!r}") from None
        for job in jobs:
            for begun in (job, job.classifier):
                if not folder.finished(job) and job not in folder.states and folder._checkpoint(begun).exists():
                    folder.states[job] = checkpoint.load(folder._checkpoint(begun), begun.settings)
        folder._read_metrics()
        return folder

    @property
    def jobs(self):
        """A job a run; on a GPU a job a model, all seeds at once."""
        seeds, job = self.config["seeds"], self.config["job"]
        groups = [seeds] if job["gpu"] else [[seed] for seed in seeds]
        return [Job.from_settings({**job, "model": model, "seeds": group})
                for model in self.config["models"] for group in groups]

    @property
    def unfinished(self):
        """The jobs that are not finished."""
        return [job for job in self.jobs if not self.finished(job)]

    @property
    def data_name(self):
        """The name of the data, as `data.load` gives it."""
        return Path(self.config["dataset"]).stem

    def finished(self, job):
        return set(job.seeds) <= {run["seed"] for run in self.runs[job.model]}

    def state_of(self, job):
        """The State to continue the job from; None if it has yet to start."""
        return self.states.pop(job, None)

    def record(self, job, state, metrics, results):
        """Keep one more epoch of a job and, after the last, its results.  Raises OSError where the disk
        is full; the last checkpoint and all results are then as they were."""
        metrics = self._shared(job, state.epoch) + metrics
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(m) + "\n" for m in metrics)
        self.metrics += metrics
        if results is None:
            checkpoint.save(self._checkpoint(job), state, job.settings)
            if state.epoch == job.recipe.classifier_epochs and len(self.runs) > 1:
                self._share(job, state)
            return
        for result, trained in results:
            history = [m for m in self.metrics if (m["model"], m["seed"]) == (job.model, result["seed"])]
            result["signs"] += rising(history, job.recipe.kl_warm_up)
            trained.save(self.path / f"model-{job.model}-seed{result['seed']}.npz")
        others = [run for run in self.runs[job.model] if run["seed"] not in job.seeds]
        self.runs[job.model] = sorted(others + [result for result, _ in results], key=lambda run: run["seed"])
        write_json(self.path / "summary.json", self.summary())
        self._remove_checkpoints(job)

    def _share(self, job, state):
        """Keep q(y|x) for the other model's job of the same seeds, in case that has not begun."""
        theta = state.theta[:, :state.adam.m.shape[1]]  # Adam has moments of what is trained
        checkpoint.save(self._checkpoint(job.classifier), replace(state, theta=theta), job.classifier.settings)
        for model in self.runs.keys() - {job.model}:
            self.states.setdefault(replace(job, model=model), replace(state, theta=theta))

    def _shared(self, job, epoch):
        """The lines of the classifier epochs of a job that began with those of the other model."""
        if epoch <= job.recipe.classifier_epochs or any(m["model"] == job.model and m["seed"] in job.seeds
                                                        for m in self.metrics):
            return []
        return [{**m, "model": job.model} for m in self.metrics if not m["joint"] and m["seed"] in job.seeds]

    def _remove_checkpoints(self, job):
        """Of a job that is finished, and what both models share where all are."""
        self._checkpoint(job).unlink(missing_ok=True)
        if all(self.finished(replace(job, model=model)) for model in self.runs):
            self._checkpoint(job.classifier).unlink(missing_ok=True)

    def summary(self):
        return {"dataset": self.config["dataset"], "device": self.config["device"],
                "command": self.config["command"], "versions": self.config["versions"], "job": self.config["job"],
                "paper": PAPER_TABLE_1, "seconds": round(self.spent + time.perf_counter() - self.began, 1),
                "models": {model: summarise(runs) for model, runs in self.runs.items() if runs}}

    def best(self, model):
        """The run with the highest bound, a choice that needs no truth, and its model."""
        result = max(self.runs[model], key=lambda run: run["bound"])
        return result, load(self.path / f"model-{model}-seed{result['seed']}.npz")

    def tidy(self):
        """Remove what a killed process left unfinished: torn files and lines, epochs after the last checkpoint.  Sort
        the lines of metrics.jsonl, which several processes write as they finish epochs."""
        for torn in self.path.glob("*.partial"):
            torn.unlink()
        for job in self.jobs:
            if self.finished(job):
                self._remove_checkpoints(job)
        self.metrics.sort(key=lambda m: (self.config["models"].index(m["model"]), m["seed"], m["epoch"]))
        if (log := self.path / "metrics.jsonl").exists():
            with whole(log) as file:
                file.writelines((json.dumps(m) + "\n").encode() for m in self.metrics)

    def _checkpoint(self, job):
        return self.path / f"checkpoint-{job.name}.npz"

    def _read_metrics(self):
        """Set metrics, without torn lines and epochs after the last checkpoint."""
        done = {(job.model, seed): job.recipe.total_epochs if self.finished(job) else
                self.states[job].epoch if job in self.states else 0 for job in self.jobs for seed in job.seeds}
        log, kept = self.path / "metrics.jsonl", {}
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        for line in text.splitlines():
            try:
                m = json.loads(line)
                if m["epoch"] <= done[m["model"], m["seed"]] and isinstance(m["joint"], bool):
                    kept[m["model"], m["seed"], m["epoch"]] = m
            except (ValueError, KeyError, TypeError):
                continue
        self.metrics = list(kept.values())


def _read_json(path, kind):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no dict")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not {kind}: {getattr(error, 'strerror', None) or error}") from None
    return content
