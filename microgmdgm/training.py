"""The training loop, in plain sight.

Bounds are maximised: Adam ascends.  θ (R,P) trains R runs, each with its own seed and its own
labels, as one array program; on a GPU that costs little more than one run.
"""

import copy
from dataclasses import replace
from functools import partial

import numpy as np

from . import marginal, objectives
from .adam import Adam
from .backend import constant, namespace, to_host
from .batches import Task, batches, epoch_size
from .data import slot_prior
from .invariance import adversarial
from .machine import OFTEN, drop_tiny, keep_freed_memory
from .merging import adapt_slots
from .models import Model
from .slots import GONE
from .state import Phase, State


class Diverged(ArithmeticError):
    """The objective has become NaN or infinite."""


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
            "alpha": recipe.alpha, "gamma": step.gamma, "weights": step.weights,
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
    if steps[0].gamma:
        adapt_slots(state, model, recipe, task)
    return means


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
        return partial(objective, model, batch=batch, choose=choose, kl_weight=step.kl_weight)
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
        state = copy.deepcopy(state).moved(namespace(task.x).asarray)
        state.check(model, recipe, len(rngs))
    while state.epoch < recipe.total_epochs:
        yield state, run_epoch(state, model, recipe, task)


def prepare(model, recipe, data, seeds, *, labelled_classes, labels_per_class, extra_classes=5, prior=None,
            xp=np, **sizes):
    """What `train` needs to train the model "gm-dgm" or "m2" once a seed.     -> Model, Task, generators
    The slots are the labelled classes, the data's other classes and extra ones, and p(y) is that of `slot_prior`
    or the given prior; a seed is a number or a Generator; sizes are Z, H, hidden_layers and likelihood of `Model`.
    Raises ValueError for classes and counts that the data do not have."""
    known = len(labelled_classes)
    if len({*labelled_classes}) < known:
        raise ValueError(f"labelled_classes name a class twice: {[*labelled_classes]}")
    if prior is not None and (len(prior) < known or min(prior) <= GONE):
        raise ValueError(f"prior must have a probability above {GONE:g} for each slot, at least the {known} of "
                         f"labelled classes, not {repr(prior)[:60]}")
    rngs = [np.random.default_rng(seed) for seed in seeds]
    task = Task.prepare(data, labelled_classes, labels_per_class, rngs, recipe.minimum_sd, xp)
    prior = slot_prior(data.C, known, extra_classes) if prior is None else prior
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
        watch(last.epoch, terms, last.trained(model, task))
        keep(last)
    return last.moved(to_host).trained(model, task)
