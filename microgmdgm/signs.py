"""Signs that a run went wrong, as far as they show without a truth: in q(y|x), in the labels, in the bound."""

import math

import numpy as np

from .evaluation import monitor

SCARCE = 0.25   # new slots are scarce if they hold less than this share of what was expected
UNSURE = 0.5    # a row is unsure if its most probable slot has less than this,
MANY = 0.2      # and more than this share of all rows is many
STEADY = 0.9    # the bound has not slowed down if its last quarter rises by more than this share of the mean rise


def signs(q, prior, names, *, classes=0, new=None, slots=None):
    """What seems to be wrong, a sentence each; none for a sound run.
    q (N,K): q(y|x) of the rows that were learnt from; prior (K,); names of the known classes, whose slots come first;
    classes: how many there are at least, known and new; new: the share of new ones that p(y) began with, for merging
    slots fits p(y) to what it finds (None: that of prior); slots (N,): those that labels give, −1 without a label."""
    found, known, chosen = monitor(q, prior), len(names), q.argmax(axis=1)
    used, new = found["slots_used"], sum(prior[known:]) if new is None else new
    if found["collapsed"]:
        return [f"y has collapsed: it says almost nothing of x (I(x;y) = {found['mutual_information']:.2f} nats, "
                f"{used} of {len(prior)} slots in use), which the bound does not show. More labels or the fast recipe "
                "help."]
    told = []
    if used < classes:
        told.append(f"Only {used} slots are in use, but there are {classes} classes: some share a slot. Try more "
                    "slots, or more labels.")
    if known and (share := (chosen >= known).mean()) < SCARCE * new:
        told.append(f"Only {100 * share:.1f} % of the rows lie in new slots, where {100 * new:.0f} % were expected: "
                    "known slots may have swallowed a new class. Try more slots, or more labels.")
    for k, name in enumerate(names if slots is not None else ()):
        lie = np.bincount(chosen[slots == k], minlength=len(prior))
        i = int(lie.argmax())
        if i != k and 2 * lie[i] > lie.sum():
            where = f"the slot of {names[i]}" if i < known else "a new slot"
            told.append(f"Most rows with the label {name} lie in {where}: are these one class, or labels wrong? Else "
                        "try more labels, or more epochs.")
    if (unsure := (q.max(axis=1) < UNSURE).mean()) > MANY:
        told.append(f"q(y|x) is unsure of {100 * unsure:.0f} % of the rows: their most probable slot has less than "
                    f"{UNSURE}. Try fewer slots, more labels, or more epochs.")
    return told


def rising(history, warm_up):
    """Whether the bound rises at the end as fast as before, in a sentence.  A rate that falls to 0 slows it, too.
    history: the terms of each epoch; those in which the KL of z warms up, or at least the first, do not count.
    -> [sentence], or []"""
    bounds = np.array([terms["L(x)"] for terms in history if "L(x)" in terms][max(math.ceil(warm_up), 1):])
    rises = np.diff(bounds)
    if len(rises) < 3 or 2 * rises.sum() <= np.abs(rises).sum():  # too few to say, or mostly noise
        return []
    last = rises[-(len(rises) // 4 or 1):].mean()
    return [f"The bound rises at the end as fast as before, by {last:.2g} nats an epoch: try more epochs."
            ] if last > STEADY * rises.mean() else []
