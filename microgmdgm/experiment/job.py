"""One experiment: a model trained once a seed, scored, epoch by epoch.

A Job holds everything that determines the numbers.  An epoch takes a State to the next one and
needs nothing else, so it can be computed here, in another process or on another machine, and
continue after an interruption as if there had been none.
"""

import copy
import json
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ..backend import gpu, namespace, to_host
from ..data import load
from ..evaluation import evaluate
from ..generative import measures, reader
from ..machine import keep_freed_memory
from ..models import log_q_y
from ..recipes import Recipe
from ..settings import COUNT, FEW, LAYERS, LIKELIHOOD, MODEL, ORDINAL, SEED, SIZE, SLOTS, SWITCH, enforce, named
from ..signs import signs
from ..state import State
from ..trained import ROWS
from ..training import prepare, run_epoch

NAME = MODEL | "classifier" | ""  # the last until a folder names it

READ = 20_000  # training examples that the reader of samples learns from


@dataclass(frozen=True)
class Job:
    """The model `model` once a seed, all seeds as one array program."""
    model: NAME
    seeds: tuple
    recipe: Recipe
    labelled_classes: tuple
    labels_per_class: COUNT | None          # None: all
    extra_classes: SLOTS = 5
    Z: SIZE = 100
    H: SIZE = 500
    hidden_layers: LAYERS = 2
    likelihood: LIKELIHOOD = "bernoulli"
    fingerprint: str = ""                   # of the data
    threads: FEW | None = None              # of BLAS, on which the last bits depend; None: BLAS decides
    gpu: SWITCH = False

    def __post_init__(self):
        """Raises ValueError where a setting is not of its kind."""
        enforce(self)
        for name, kind in (("seeds", SEED), ("labelled_classes", ORDINAL)):
            object.__setattr__(self, name, tuple(named(name, kind, each) for each in getattr(self, name)))

    @property
    def name(self):
        first, last = self.seeds[0], self.seeds[-1]
        return f"{self.model}-seed{first}" if first == last else f"{self.model}-seeds{first}-{last}"

    def prepare(self, data, xp=np):
        """What `training.prepare` gives.  Raises ValueError for settings that no model has or that do not fit the
        data."""
        return prepare(self.model, self.recipe, data, self.seeds, labelled_classes=self.labelled_classes,
                       labels_per_class=self.labels_per_class, extra_classes=self.extra_classes, xp=xp, Z=self.Z,
                       H=self.H, hidden_layers=self.hidden_layers, likelihood=self.likelihood)

    @property
    def classifier(self):
        """What the classifier epochs depend on: q(y|x) is the same for both models."""
        return replace(self, model="classifier")

    @property
    def settings(self):
        """All fields, in types that JSON keeps."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_settings(cls, found):
        """The Job with these settings.  Raises TypeError or ValueError if they do not describe one."""
        return cls(**{**found, "recipe": Recipe(**found["recipe"])})


class Trainer:
    """A Job with its data, ready to train."""

    def __init__(self, job, data):
        """Raises ValueError for classes and counts that the data do not have."""
        keep_freed_memory()
        self.job, self.data, self.xp = job, data, gpu() if job.gpu else np
        self.model, self.task, self.rngs = job.prepare(data, self.xp)
        self.x_test = self.xp.asarray(data.x_test[:, to_host(self.task.pixels)])

    def start(self, classifier=None):
        """The State before the first epoch; or before the first joint one, of a q(y|x) that was trained for the
        other model, whose State has θ of q(y|x) alone."""
        state = State.start(self.model, copy.deepcopy(self.rngs), self.xp)
        if classifier is None:
            return state
        state.theta[:, self.model.layout.span("q(y|x)")] = classifier.theta
        return replace(classifier, theta=state.theta)

    def epoch(self, state):
        """One more epoch, in place.     -> the metrics of each seed.  Raises Diverged."""
        began = time.perf_counter()
        terms = run_epoch(state, self.model, self.job.recipe, self.task)
        q = self.predict(state.theta)
        state.seconds += time.perf_counter() - began
        return [{"model": self.model.name, "seed": seed, "epoch": state.epoch, "joint": "L(x)" in terms,
                 "seconds": round(state.seconds, 2), **{term: float(value[r]) for term, value in terms.items()},
                 **self.evaluate(q[r][:, slots.alive], np.array(slots.prior)[slots.alive])}
                for r, (seed, slots) in enumerate(zip(self.job.seeds, state.slots))]

    @cached_property
    def reader(self):
        """A classifier that saw true labels, to read samples with."""
        return reader(self.data.x_train[:READ] / self.data.white, self.data.y_train[:READ])

    def finish(self, state):
        """-> [(result, Trained), …], one of each seed."""
        trained = state.trained(self.model, self.task)
        learnt = [each.predict_proba(self.data.x_train) for each in trained]
        return [({"seed": seed,
                  **self.evaluate(each.predict_proba(self.data.x_test), each.model.prior, q_train=q),
                  "signs": self.signs(r, q, each.model.prior),
                  "merges": each.merges, "splits": each.splits, "closest": each.closest,
                  "bound": float(each.bound(self.data.x_test).mean()),
                  **measures(each, self.reader, self.data),
                  "seconds": round(state.seconds, 2)},
                 replace(each, theta=to_host(each.theta)))
                for r, (seed, each, q) in enumerate(zip(self.job.seeds, trained, learnt))]

    def signs(self, r, q, prior):
        """What seems to be wrong with run r, without a truth.     q (N,K) of the training examples, prior (K,)"""
        known, slots = self.job.labelled_classes, np.full(len(q), -1)
        slots[to_host(self.task.labelled[r])] = to_host(self.task.slots[r])
        return signs(q, prior, [self.data.class_names[c] for c in known], classes=self.data.C,
                     new=1 - len(known) / self.data.C, slots=slots)

    def evaluate(self, q, prior, q_train=None):
        """The protocol's figures of q(y|x) (N,K) on the test data; classes are found where slots merge."""
        found = evaluate(q, self.data.y_test, labelled_classes=self.job.labelled_classes, prior=prior,
                         C=self.data.C, q_train=q_train, classes_train=self.data.y_train)
        return {**found, "classes_found": found["slots_used"] if self.job.recipe.merges else None}

    def predict(self, theta):
        """q(y|x) of every run on the test data, on the host.     θ (R,P) -> (R,N,K)"""
        xp, x = namespace(theta), self.x_test
        layers = self.model.layout.views(theta)["q(y|x)"]
        parts = [xp.exp(log_q_y(layers, xp.asarray(x[i:i + ROWS], dtype=theta.dtype) * (1 / self.data.white))[0])
                 for i in range(0, len(x), ROWS)]
        return to_host(xp.concat(parts, axis=-2))


@dataclass(frozen=True)
class Source:
    """Where a process finds the data: their name, and a folder that may hold them."""
    dataset: str
    folder: str | None = None
    progressbar: bool = field(default=False, compare=False)

    def load(self):
        """The Data, cached for the next call.  Raises DataError if they are not available."""
        return _load(self)

    def elsewhere(self):
        """The Source for another machine, which may lack the folder but have the data in its cache."""
        return self if self.folder and Path(self.folder).is_dir() else replace(self, folder=None)


@lru_cache(maxsize=1)
def _load(source):
    return load(source.dataset, source.folder, source.progressbar)


@lru_cache(maxsize=2)
def _trainer(job, source):
    data = source.elsewhere().load()
    if data.fingerprint != job.fingerprint:
        raise ValueError(f"the data {source.dataset} found there are others than those of this run: "
                         f"their fingerprint is {data.fingerprint}, not {job.fingerprint}")
    return Trainer(job, data)


def advance(job, source, state):
    """One more epoch of a job, from a State in host memory, None at first.
    -> that State after it, the metrics of each seed, and [(result, Trained), …] after the last epoch, else None
    Raises Diverged, DataError and ValueError."""
    from threadpoolctl import threadpool_limits
    with threadpool_limits(job.threads):
        trainer = _trainer(job, source)
        # copied, since the memory layout of what another process sent may change the last bits
        state = trainer.start() if state is None else copy.deepcopy(state).moved(trainer.xp.asarray)
        R, q, last = len(job.seeds), trainer.model.layout.span("q(y|x)").stop, job.recipe.total_epochs
        if state.theta.shape == (R, q) and state.epoch == job.recipe.classifier_epochs:
            state = trainer.start(state)
        try:
            state.check(trainer.model, job.recipe, R)
        except ValueError as error:
            raise ValueError(f"the checkpoint of {job.name} does not fit its model: {error}") from None
        metrics = trainer.epoch(state) if state.epoch < last else []
        results = trainer.finish(state) if state.epoch == last else None
        return state.moved(to_host), metrics, results


def run(model, recipe, data, seeds, *, labelled_classes, labels_per_class, watch=lambda metrics: None, **settings):
    """Train the model "gm-dgm" or "m2" once a seed.     -> [(result, Trained), …]
    settings: extra_classes, Z, H, hidden_layers, likelihood, gpu, as in Job; watch(metrics) is called with the
    metrics of each epoch of each run.  Raises ValueError for classes and counts that the data do not have,
    Diverged as `train` does."""
    trainer = Trainer(Job(model, tuple(seeds), recipe, tuple(labelled_classes), labels_per_class, **settings), data)
    state = trainer.start()
    while state.epoch < recipe.total_epochs:
        for metrics in trainer.epoch(state):
            watch(metrics)
    return trainer.finish(state)
