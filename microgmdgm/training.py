"""The training loop, in plain sight.

Bounds are maximised: Adam ascends.  θ (R,P) trains R runs, each with its own seed and its own
labels, as one array program; on a GPU that costs little more than one run.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from . import marginal, objectives
from .adam import Adam
from .backend import constant, namespace, to_host
from .batches import Task, batches, epoch_size
from .data import slot_prior
from .invariance import adversarial
from .layers import mlp, relu
from .machine import OFTEN, drop_tiny, keep_freed_memory
from .models import Model, log_q_y
from .parameters import Layout
from .slots import LEAST, ROWS, Slots, averages, confusability, crowded, halves, rare, split, update
from .trained import Trained


class Diverged(ArithmeticError):
    """The objective has become NaN or infinite."""


@dataclass
class State:
    """Everything that an epoch changes: θ (R,P), Adam's moments, the generators and slots of each run; epochs and
    seconds done."""
    theta: object
    adam: Adam
    rngs: list
    slots: list
    epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, model, rngs, xp=np):
        theta = xp.asarray(np.stack([model.layout.initial(rng.spawn(1)[0]) for rng in rngs]))
        return cls(theta, Adam.like(theta), rngs, [Slots(list(model.prior), []) for _ in rngs])

    def check(self, model, recipe, runs):
        """Raises ValueError if it does not fit so many runs of the model under the recipe."""
        P, last = model.layout.size, Phase.at(model, recipe, self.epoch - 1).layout.size  # of what was trained last
        if not 0 <= self.epoch <= recipe.total_epochs or self.adam.t < 0:
            raise ValueError(f"its epoch must be from 0 to {recipe.total_epochs}, not {self.epoch}")
        if any(len(slots.prior) != model.K for slots in self.slots):
            raise ValueError(f"its runs must have {model.K} slots, not {[len(slots.prior) for slots in self.slots]}")
        if self.theta.shape != (runs, P) or self.epoch and self.adam.m.shape != (runs, last):
            raise ValueError(f"θ must be {(runs, P)} and Adam's moments {(runs, last)}, not {self.theta.shape} and "
                             f"{self.adam.m.shape}")

    def moved(self, move):
        """The State with its arrays moved, by to_host or the asarray of a library."""
        return replace(self, theta=move(self.theta), adam=Adam(move(self.adam.m), move(self.adam.v), self.adam.t))

    def trained(self, model, task):
        """-> [Trained, …], one per run, with the slots that are left."""
        return [Trained.of(model, self.theta[r], slots, task) for r, slots in enumerate(self.slots)]


@dataclass(frozen=True)
class Phase:
    """Epochs from `begin` on that train one part of θ by one objective."""
    begin: int
    objective: object       # objectives.classifier, held or joint
    layout: Layout          # of what the objective sees
    part: slice             # where that lies in θ
    shares: tuple           # ((slice, share), …): which parts of that are trained, at what share of the rate

    @classmethod
    def at(cls, model, recipe, epoch):
        """First q(y|x) alone, then the other networks while q(y|x) is held, then the whole model with q(y|x) slow: its
        gradient is by then a thirtieth of what it was, which Adam would scale up to steps of full size."""
        q, every = model.layout.span("q(y|x)"), slice(None)
        others = slice(q.stop, None)
        if epoch < recipe.classifier_epochs:
            return cls(0, objectives.classifier, Layout({"q(y|x)": model.layout.networks["q(y|x)"]}), q, ((every, 1),))
        if epoch < recipe.held_until:
            return cls(recipe.classifier_epochs, objectives.held, model.layout, every, ((others, 1),))
        return cls(recipe.held_until, objectives.joint, model.layout, every, ((q, recipe.q_rate), (others, 1)))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # `check_finite` reports it, once
def run_epoch(state, model, recipe, task):
    """One epoch of steps, in place; each phase begins with a fresh Adam.
    -> {term: its mean over the steps (R,)}, on the host; they are read once an epoch, since a read waits for the GPU.
    Raises Diverged."""
    xp, phase = namespace(state.theta), Phase.at(model, recipe, state.epoch)
    theta, now = state.theta[:, phase.part], replace(model, prior=tuple(tuple(each.prior) for each in state.slots))
    if state.epoch == recipe.classifier_epochs and recipe.warm_start:
        warm_start(state.theta, model, task)
    if state.epoch == phase.begin:
        state.adam = Adam.like(theta)
    tolerance = constant(tuple(each.tolerance for each in state.slots), xp, theta.dtype)[:, None, None]
    decay = phase.layout.kernels(theta) * (0.5 / task.x.shape[0]) if recipe.weight_prior else None
    steps, totals = schedule(recipe, task, state.epoch), {}
    for i, (step, batch) in enumerate(zip(steps, batches(state.rngs, model, recipe, task, steps))):
        objective = objective_of(phase.objective, now, recipe, task, step, batch, tolerance)
        terms, pullback = objectives.value_and_pullback(objective, phase.layout, theta, decay=decay, weights={
            "alpha": recipe.alpha if batch.labels.shape[-1] else 0.0, "gamma": step.gamma, "weights": step.weights,
            "labelled": labelled_share(task) if recipe.labelled_share else 1.0, "dream": recipe.dream})
        gradient = pullback(xp.ones_like(terms["objective"]))
        if recipe.clip:
            gradient = xp.clip(gradient, -recipe.clip, recipe.clip)
        risen = min(1.0, (state.adam.t + 1) / recipe.rate_warm_up) if step.joint and recipe.rate_warm_up else 1.0
        state.adam.ascend(theta, gradient, risen * step.rate, phase.shares)
        if state.adam.t % OFTEN == 0:
            for flat in (theta, state.adam.m, state.adam.v):
                drop_tiny(flat)
        for name, value in terms.items():
            totals[name] = totals.get(name, 0) + value
        if xp is np:
            check_finite(terms["objective"], f"epoch {state.epoch + 1}, step {i + 1}")
    means = dict(zip(totals, to_host(xp.stack([*totals.values()]) / len(steps))))
    check_finite(means["objective"], f"epoch {state.epoch + 1}")
    state.epoch += 1
    if steps[0].gamma and recipe.tolerance < 1 and state.epoch == recipe.tolerant_from:
        tolerate(state, model, recipe, task)
    if steps[0].gamma and 0 < recipe.merge_from <= state.epoch <= recipe.last_merge:
        merge_slots(state, model, recipe, task)
    return means


def tolerate(state, model, recipe, task):
    """From now on let balance tolerate what rare new classes need, in the runs that have them."""
    some = task.unlabelled[:, ::math.ceil(task.unlabelled.shape[1] / ROWS)]
    for rows, slots, trained in zip(some, state.slots, state.trained(model, task)):
        x = to_host(task.x[namespace(state.theta).asarray(rows)])
        if rare(trained.predict(x), slots.prior, len(task.labelled_classes)):
            slots.tolerance = recipe.tolerance


def merge_slots(state, model, recipe, task):
    """Merge the slots of each run that are parts of one class and, the last time, split those that two classes seem to
    share, in place, in q(y|x): nothing else is trained yet."""
    phase, U = Phase.at(model, recipe, state.epoch - 1), epoch_size(recipe, task)[0]
    layers, P, seen = phase.layout.views(state.theta[:, phase.part])["q(y|x)"], 0, []
    steps, known = [recipe.at(state.epoch - 1)] * math.ceil(ROWS / U), len(task.labelled_classes)
    for batch in batches(state.rngs, model, recipe, task, steps):
        seen.append((batch.tx[:, :U], batch.t2x))
        log_q, log_q2 = (log_q_y(layers, tx)[0] for tx in seen[-1])
        P = P + confusability(log_q, log_q2) / len(steps)
    for r, P_r in enumerate(to_host(P)):
        groups, state.slots[r] = update(
            state.slots[r], P_r, known=known, least=LEAST * np.min(model.prior),
            threshold=recipe.merge_threshold(state.epoch), merge_known=recipe.merge_known, guide=recipe.merge_guide,
            even=recipe.even, epoch=state.epoch)
        mean, more = map(namespace(state.theta).asarray, averages(groups, model.K))
        for flat in (state.theta[:, phase.part], state.adam.m, state.adam.v):
            *_, W, b = phase.layout.views(flat)["q(y|x)"]
            W[r], b[r] = W[r] @ mean, b[r] @ mean
        layers[-1][r] += more
        if recipe.split_above and state.epoch == recipe.last_merge:
            split_slots(state, r, phase, crowded(groups, P_r, known, recipe.split_above), seen)


def split_slots(state, r, phase, slots, seen):
    """Split crowded slots [(slot, how many times the median), …] of run r, as long as a place is free, in place.
    seen [(tx, t′x), …], both (R,U,X)"""
    if not slots:
        return
    flats = state.theta[:, phase.part], state.adam.m, state.adam.v
    *hidden, W, b = (array[r] for array in phase.layout.views(flats[0])["q(y|x)"])
    xp = namespace(W)
    h, h2 = (xp.concat([relu(mlp(hidden, tx[r])[0])[0] for tx in images]) for images in zip(*seen))
    free = [k for k in range(W.shape[-1]) if k not in state.slots[r].alive]
    for (slot, times), new in zip(slots, free):
        inside = to_host(xp.argmax(h @ W + b, axis=-1)) == slot
        if not inside.any():
            continue
        w, bias = (xp.asarray(a / 2, dtype=W.dtype) for a in halves(to_host(h)[inside], to_host(h2)[inside]))
        for flat in flats:  # the new slot begins as its copy
            *_, W_, b_ = (array[r] for array in phase.layout.views(flat)["q(y|x)"])
            W_[:, new], b_[:, new] = W_[:, slot], b_[:, slot]
        W[:, slot], b[:, slot] = W[:, slot] - w, b[:, slot] - bias - math.log(2)
        W[:, new], b[:, new] = W[:, new] + w, b[:, new] + bias - math.log(2)
        state.slots[r] = split(state.slots[r], slot, new, times, state.epoch)


def labelled_share(task):
    """Labelled examples per unlabelled one, which is the weight of the mean of L(x,y) in the sums of Eq. 2; 1 if all
    are labelled."""
    return task.labelled.shape[1] / task.unlabelled.shape[1] if task.unlabelled.shape[1] else 1.0


def warm_start(theta, model, task):
    """Start q(z|x,y) with the first layer of q(y|x), whose features help it too, and p(x|z) at the mean of x (and its
    variance) for every z, by its output biases.     θ (R,P), in place"""
    params, xp = model.layout.views(theta), namespace(theta)
    W, b, *_ = params["q(y|x)"]
    Wx, _, bx, *_ = params["q(z|x,y)"]
    Wx[...], bx[...] = W, b
    if model.likelihood == "bernoulli":
        N = task.x.shape[0]
        mean = (N * task.mean + 0.5) / (N + 1)  # half a count more, so that none is 0
        bias = np.log(mean / (1 - mean))
    else:
        bias = np.concatenate([task.mean, 2 * np.log(task.sd + 1 / task.white)])
    params["p(x|z)" if model.name == "gm-dgm" else "p(x|y,z)"][-1][...] = xp.asarray(bias, dtype=theta.dtype)


def schedule(recipe, task, epoch):
    """The Step of each minibatch of the epoch after `epoch` others; γ = 0 if no example is unlabelled."""
    U, _, n = epoch_size(recipe, task, epoch >= recipe.classifier_epochs)
    steps = [recipe.at(epoch, i / n) for i in range(n)]
    return steps if U else [replace(step, gamma=0.0) for step in steps]


def objective_of(objective, model, recipe, task, step, batch, tolerance):
    """An objective on one batch: params -> terms and their pullback.     tolerance (R,1,1), of balance"""
    choose = partial(marginal.pairs, sum_over_y=step.sum_over_y, u=batch.u, labels=batch.labels, eps=batch.eps,
                     top=recipe.top, samples=recipe.samples)

    def perturb(layers, log_q, tx):
        r = adversarial(layers, log_q, x=tx, d=batch.d, length=recipe.adversarial_length * task.length)
        return r, log_q
    if objective is objectives.held:
        return partial(objective, model, batch=batch, choose=choose, kl_weight=step.kl_weight, dreamt=recipe.dreamt)
    return partial(objective, model, batch=batch, choose=choose, perturb=perturb, tolerance=tolerance,
                   q_from_bound=recipe.q_from_bound)


def check_finite(values, place):
    """Raises Diverged, with the place and what to try, if an objective (R,) is NaN or infinite."""
    if not np.isfinite(values).all():
        raise Diverged(f"the bound became {values[~np.isfinite(values)][0]} in {place}: "
                       "try a smaller learning rate, gradient clipping, or fewer hidden layers")


def train(model, recipe, task, rngs, state=None):
    """Train one run per generator in rngs, from the start or from a State in host memory; yields (state, terms) after
    each epoch: first the classifier epochs, on q(y|x) alone, then those on the whole model.
    Raises Diverged when the objective becomes NaN or infinite, ValueError for the State of another model."""
    keep_freed_memory()
    if state is None:
        state = State.start(model, rngs, namespace(task.x))
    else:
        state = state.moved(namespace(task.x).asarray)
        state.check(model, recipe, len(rngs))
    while state.epoch < recipe.total_epochs:
        yield state, run_epoch(state, model, recipe, task)


def prepare(model, recipe, data, seeds, *, labelled_classes, labels_per_class, extra_classes=5, prior=None,
            xp=np, **sizes):
    """What `train` needs to train the model "gm-dgm" or "m2" once a seed.     -> Model, Task, generators
    The slots are the labelled classes, the data's other classes and extra ones, and p(y) is that of `slot_prior`
    or the given prior; a seed is a number or a Generator; sizes are Z, H, hidden_layers and likelihood of `Model`.
    Raises ValueError for classes and counts that the data do not have."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    task = Task.prepare(data, labelled_classes, labels_per_class, rngs, recipe.minimum_sd, xp)
    prior = slot_prior(data.C, len(labelled_classes), extra_classes) if prior is None else prior
    return Model(model, prior, len(task.pixels), output_sd=recipe.output_sd, **sizes), task, rngs


def fit(model, recipe, data, seeds=(0,), *, watch=lambda epoch, terms, models: None, start=None,
        keep=lambda state: None, **settings):
    """Train the model "gm-dgm" or "m2" once a seed.     -> [Trained, …]
    settings: labelled_classes, labels_per_class and the other arguments of `prepare`.  After each epoch it calls
    watch(epoch, terms, models), with the means of the terms by run, {name: (R,)}, and the present models, and then
    keep(state), with everything that the epoch changed; given as `start`, in host memory, a later call continues there.
    Raises ValueError as `prepare`, Diverged as `train`."""
    model, task, rngs = prepare(model, recipe, data, seeds, **settings)
    last = start
    for last, terms in train(model, recipe, task, rngs, start):
        watch(last.epoch, terms, replace(last, theta=last.theta.copy()).trained(model, task))
        keep(last)
    return last.moved(to_host).trained(model, task)
