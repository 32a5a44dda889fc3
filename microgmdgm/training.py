"""The training loop, in plain sight.

Bounds are maximised: Adam ascends.  θ (R,P) trains R runs, each with its own seed and its own
labels, as one array program; on a GPU that costs little more than one run.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import marginal
from .adam import Adam
from .backend import keep_freed_memory, namespace, to_host
from .batches import batches, epoch_size
from .invariance import adversarial, invariance
from .models import at, log_q_y, objective
from .parameters import Layout, add


class Diverged(ArithmeticError):
    """The bound has become NaN or infinite."""


def value_and_pullback(model, layout, theta, batch, *, alpha, gamma, weights, choose, perturb, decay=None,
                       q_from_bound=True):
    """What is maximised: Eq. 2, less γ times what `invariance` adds, with its weights (c, s, β), less
    ½ Σ decay θ², the prior on the weights.  Without q_from_bound q(y|x) learns nothing from L(x).
    θ (…,P), decay (P,) -> {term: (…)}, of which "objective" is the sum, and its pullback to θ
    choose(log q) gives the pairs of the sum over y (None leaves the bound out, for q(y|x) alone);
    perturb(layers, log q, tx) gives the adversarial r and its target."""
    xp = namespace(theta)
    params = layout.views(theta)
    layers = params["q(y|x)"]
    N, L = batch.tx.shape[-2], batch.labels.shape[-1]
    U = N - L
    seen = batch.tx if not gamma else xp.concat([batch.tx, batch.t2x], axis=-2)
    log_q, q_pullback = log_q_y(layers, seen, wrt="W")
    log_q_u, log_q_x = log_q[..., :U, :], log_q[..., :N, :]

    terms = {}
    if choose:
        (terms["L(x)"], terms["L(x,y)"], terms["log q(y|x)"]), eq2_pullback = objective(
            model, params, log_q_x, x=batch.x, labels=batch.labels, pairs=choose(log_q_u))
        value = terms["L(x)"] + terms["L(x,y)"] + alpha * terms["log q(y|x)"]
    else:
        log_q_l, label_pullback = at(log_q_x[..., U:, :], batch.labels)
        terms["log q(y|x)"] = xp.sum(log_q_l, axis=-1) / max(L, 1)
        value = alpha * terms["log q(y|x)"]
    if gamma:
        tx_u = batch.tx[..., :U, :]
        r, target = perturb(layers, log_q_u, tx_u)
        log_q_r, r_pullback = log_q_y(layers, tx_u + r, wrt="W")
        added, invariance_pullback = invariance(log_q_u, log_q[..., N:, :], log_q_r, target=target, prior=model.prior)
        terms |= zip(("consistency", "smoothness", "balance"), added)
        value = value - gamma * sum(weight * term for weight, term in zip(weights, added))
    if decay is not None:
        value = value - 0.5 * xp.sum(decay * theta * theta, axis=-1)
    terms["objective"] = value

    def pullback(d):
        if choose:
            dparams, dlog_q_x = eq2_pullback((d, d, alpha * d))
            if not q_from_bound:
                dlog_q_x = xp.concat([xp.zeros_like(log_q_u), dlog_q_x[..., U:, :]], axis=-2)
        else:
            dparams, dlog_q_l = {}, label_pullback(alpha * d[..., None] / max(L, 1))
            dlog_q_x = xp.concat([xp.zeros_like(log_q_u), dlog_q_l], axis=-2)
        if gamma:
            dq, dq2, dq_r = invariance_pullback([-gamma * weight * d for weight in weights])
            dlog_q_x = xp.concat([dlog_q_x[..., :U, :] + dq, dlog_q_x[..., U:, :], dq2], axis=-2)
            dparams = add(dparams, {"q(y|x)": r_pullback(dq_r)[0]})
        dparams = add(dparams, {"q(y|x)": q_pullback(dlog_q_x)[0]})
        dtheta = layout.flatten(dparams, like=theta)
        return dtheta if decay is None else dtheta - d[..., None] * decay * theta
    return terms, pullback


@dataclass
class State:
    """Everything that an epoch changes: θ (R,P), Adam's moments, the generators; epochs and seconds done."""
    theta: object
    adam: Adam
    rngs: list
    epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, model, rngs, xp=np):
        theta = xp.asarray(np.stack([model.layout.initial(rng) for rng in rngs]))
        return cls(theta, Adam.like(theta), rngs)

    def moved(self, move):
        """The same with its arrays put elsewhere, by to_host or the asarray of a library."""
        return replace(self, theta=move(self.theta), adam=Adam(move(self.adam.m), move(self.adam.v), self.adam.t))


def check_finite(values, place):
    """Raises Diverged, with the place and what to try, where an objective (R,) is NaN or infinite."""
    if not np.isfinite(values).all():
        raise Diverged(f"the bound became {values[~np.isfinite(values)][0]} in {place}: "
                       "try a smaller learning rate, gradient clipping, or fewer hidden layers")


def run_epoch(state, model, recipe, task):
    """One epoch of steps, in place.  The first ones train q(y|x) alone, the others the whole model;
    each of these phases begins with a fresh Adam.     -> {term: its mean over the steps (R,)}, on the host:
    a GPU is asked once an epoch, for each answer costs a wait.  Raises Diverged."""
    xp = namespace(state.theta)
    U, L, steps = epoch_size(recipe, task)
    N = task.x.shape[0]
    epoch, joint = state.epoch, recipe.joint_at(state.epoch)
    begun, epochs = (recipe.classifier_epochs, recipe.epochs) if joint else (0, recipe.classifier_epochs)
    layout, theta = model.layout, state.theta
    if not joint:
        layout, theta = Layout({"q(y|x)": layout.networks["q(y|x)"]}), theta[:, layout.span("q(y|x)")]
    if epoch in (0, recipe.classifier_epochs):
        state.adam = Adam.like(theta)
    decay = layout.kernels(theta) * (0.5 / N) if recipe.weight_prior else None
    sum_over_y = recipe.sum_at(epoch)
    progress = [(epoch - begun + step / steps) / epochs for step in range(steps)]
    gammas = [recipe.gamma_at(done if joint else 0.0) if U else 0.0 for done in progress]
    totals = {}
    for step, batch in enumerate(batches(state.rngs, model, recipe, task, epoch, gammas)):

        def choose(log_q):
            pairs = marginal.exact(log_q) if sum_over_y == "exact" else marginal.sparse(log_q, batch.u, recipe.top)
            if sum_over_y == "sparse" and xp is np:
                pairs = marginal.compact(pairs)
            pairs = marginal.with_labelled(pairs, batch.labels, U, recipe.samples)
            return replace(pairs, eps=batch.eps[..., :pairs.y.shape[-1], :])

        def perturb(layers, log_q, tx):
            r = adversarial(layers, log_q, x=tx, d=batch.d, length=recipe.adversarial_length * task.length)
            return r, log_q
        terms, pullback = value_and_pullback(
            model, layout, theta, batch, alpha=recipe.alpha if L else 0.0, gamma=gammas[step],
            weights=recipe.weights_at(epoch), choose=choose if joint else None, perturb=perturb, decay=decay,
            q_from_bound=recipe.q_from_bound)
        gradient = pullback(xp.ones_like(terms["objective"]))
        if recipe.clip:
            gradient = xp.clip(gradient, -recipe.clip, recipe.clip)
        state.adam.ascend(theta, gradient, recipe.rate_at(progress[step], joint))
        for name, value in terms.items():
            totals[name] = totals.get(name, 0) + value
        if xp is np:
            check_finite(terms["objective"], f"epoch {epoch + 1}, step {step + 1}")
    means = dict(zip(totals, to_host(xp.stack([*totals.values()]) / steps)))
    check_finite(means["objective"], f"epoch {epoch + 1}")
    state.epoch += 1
    return means


def train(model, recipe, task, rngs):
    """Train one run a generator in rngs; yields (state, terms) after each epoch: first the
    classifier epochs, on q(y|x) alone, then those on the whole model.
    Raises Diverged when the objective becomes NaN or infinite."""
    keep_freed_memory()
    state = State.start(model, rngs, namespace(task.x))
    while state.epoch < recipe.total_epochs:
        yield state, run_epoch(state, model, recipe, task)
