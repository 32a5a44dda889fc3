"""The rules of `slots` at work on a State: after an epoch of q(y|x) alone slots are merged, dropped or split."""

import math

import numpy as np

from .backend import namespace, to_host
from .batches import batches, epoch_size
from .layers import mlp, relu
from .models import log_q_y
from .slots import LEAST, ROWS, SCARCE, averages, bisect, confusability, crowded, rare, seats, split, update
from .state import Phase
from .trained import Trained

LABELLED = 1_000   # labelled examples that are looked up among the others
TOLERANT_FROM = 2  # epochs after which it shows whether new classes are rare


def adapt_slots(state, model, recipe, task):
    """Adapt the slots of each run to the classes found, as the recipe has it after so many epochs, in place."""
    if recipe.tolerance < 1 and state.epoch == TOLERANT_FROM:
        tolerate(state, model, recipe, task)
    if recipe.merges and recipe.merge_from <= state.epoch <= recipe.last_merge:
        merge_slots(state, model, recipe, task)


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
    layers, known = phase.layout.views(state.theta[:, phase.part])["q(y|x)"], len(task.labelled_classes)
    steps = [recipe.at(state.epoch - 1)] * math.ceil(ROWS / U)
    scarce = 0 < task.labelled.shape[1] <= SCARCE * task.unlabelled.shape[1]
    seen = [(batch.tx[:, :U], batch.t2x) for batch in batches(state.rngs, model, recipe, task, steps)]
    P = sum(confusability(*(log_q_y(layers, tx)[0] for tx in images)) / len(seen) for images in seen)
    for r, P_r in enumerate(to_host(P)):
        groups, state.slots[r] = update(
            state.slots[r], P_r, recipe, state.epoch, known=known, least=LEAST * np.min(model.prior),
            seated=labelled_seats(state, r, model, task) if recipe.merge_absent and scarce else None)
        mean, more = map(namespace(state.theta).asarray, averages(groups, model.K))
        for flat in (state.theta[:, phase.part], state.adam.m, state.adam.v):
            *_, W, b = phase.layout.views(flat)["q(y|x)"]
            W[r], b[r] = W[r] @ mean, b[r] @ mean
        layers[-1][r] += more
        if recipe.split_above and state.epoch == recipe.last_merge:
            split_slots(state, r, phase, crowded(groups, P_r, known, recipe.split_above), seen)


def labelled_seats(state, r, model, task):
    """The `seats` of labelled examples of run r, among some of the unlabelled ones."""
    xp, trained = namespace(state.theta), Trained.of(model, state.theta[r], state.slots[r], task)
    every, step = math.ceil(task.labelled.shape[1] / LABELLED), math.ceil(task.unlabelled.shape[1] / ROWS)
    x_l, x = (to_host(task.x[xp.asarray(rows)]) for rows in (task.labelled[r, ::every], task.unlabelled[r, ::step]))
    chosen = np.array(state.slots[r].alive)[trained.predict(x)]
    return seats(to_host(trained.inputs(x)), chosen, to_host(trained.inputs(x_l)), to_host(task.slots[r, ::every]),
                 (len(task.labelled_classes), model.K))


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
        w, bias = (xp.asarray(a / 2, dtype=W.dtype) for a in bisect(to_host(h)[inside], to_host(h2)[inside]))
        for flat in flats:  # the new slot begins as its copy
            *_, W_, b_ = (array[r] for array in phase.layout.views(flat)["q(y|x)"])
            W_[:, new], b_[:, new] = W_[:, slot], b_[:, slot]
        W[:, slot], b[:, slot] = W[:, slot] - w, b[:, slot] - bias - math.log(2)
        W[:, new], b[:, new] = W[:, new] + w, b[:, new] + bias - math.log(2)
        state.slots[r] = split(state.slots[r], slot, new, times, state.epoch)
