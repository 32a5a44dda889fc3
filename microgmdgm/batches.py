"""Minibatches: which examples, under which maps, and with what noise.

All random numbers of a step are drawn here, in one place, by a Generator for each run, so that a run
does not depend on which others it is trained with; the rest of the package takes noise as an
argument.  Every array has a leading run axis.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .augmentation import affine, affine_maps
from .backend import generator, namespace
from .data import hide_labels

BLOCK = 2**20  # elements of x that are looked at at once


@dataclass
class Task:
    """What there is to learn from: x (N,X), on the device, or what gives its rows as arrays; x / white is what
    the model sees; for each run the rows that keep their label, (R,L), and their slots (R,L), on the device;
    and all other rows (R,U), on the host."""
    x: object
    white: float
    image_shape: tuple | None
    pixels: object          # the columns of x that the model sees
    labelled: object
    slots: object
    unlabelled: np.ndarray
    length: float           # the mean length of x

    @classmethod
    def prepare(cls, data, labelled_classes, labels_per_class, rngs, minimum_sd, xp=np):
        """Hide the labels of `data`, run by run, and leave out the pixels whose standard deviation,
        in [0, 1], is at most minimum_sd.  Raises ValueError where there are too few labels or no pixel is left."""
        x = data.x_train
        hidden = [hide_labels(data.y_train, labelled_classes, labels_per_class, rng) for rng in rngs]
        labelled, slots = (np.stack(arrays) for arrays in zip(*hidden))
        unlabelled = np.stack([np.setdiff1d(np.arange(len(x)), rows) for rows in labelled])
        sd = standard_deviations(x) / data.white
        pixels = np.flatnonzero(sd > minimum_sd)
        if not len(pixels):
            raise ValueError(f"the largest standard deviation of a pixel or column is {sd.max(initial=0):.2g} of the full "
                             f"range, and all up to {minimum_sd:g} are left out: is x constant, or minimum_sd too large?")
        length = sum(np.linalg.norm(block[:, pixels], axis=1).sum() for block in blocks(x)) / len(x) / data.white
        return cls(x if xp is np else xp.asarray(x), data.white, data.image_shape, xp.asarray(pixels),
                   xp.asarray(labelled), xp.asarray(slots), unlabelled, float(length))


def blocks(x):
    """The rows of x in float64, few at a time: bytes, or a file mapped into memory, are never copied whole."""
    rows = max(BLOCK // x.shape[1], 1)
    return (np.asarray(x[i:i + rows], dtype=np.float64) for i in range(0, len(x), rows))


def standard_deviations(x):
    """σ of each column, by the squares about its mean, a second pass.     x (N,X) -> (X,)"""
    mean = sum(block.sum(axis=0) for block in blocks(x)) / len(x)
    return np.sqrt(sum(np.square(block - mean).sum(axis=0) for block in blocks(x)) / len(x))


@dataclass
class Batch:
    """A minibatch with all of its noise.  Rows: U unlabelled examples, then L labelled ones."""
    x: object               # (R,U+L,X) what the bound explains, binarised
    tx: object              # (R,U+L,X) what q(y|x) sees
    t2x: object             # (R,U,X) the same under other maps, where γ > 0
    labels: object          # (R,L) slots
    u: object               # (R,U) uniform, which chooses the classes of the sparse sum
    d: object               # (R,U,X) the random direction that the adversarial one starts from, where γ > 0
    eps: object             # (R,P,Z) the noise of z


def draw_batch(rngs, model, recipe, task, rows, slots, epoch, gamma):
    """The minibatch of all runs: `rows` (R,N) of the data, the last of which are labelled, with slots (R,L),
    when `epoch` epochs are done; gamma is γ at this step."""
    xp = namespace(task.x)
    (R, N), L = rows.shape, slots.shape[1]
    U = N - L
    joint = recipe.joint_at(epoch)
    size = recipe.maps_at(epoch) if task.image_shape else 0.0

    def uniform(*shape):
        return xp.stack([rng.random(shape, dtype=np.float32) for rng in rngs])

    def normal(*shape):
        return xp.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs])

    def t(x):
        """A random map of each image; of each row of a table, that with some noise."""
        if size:
            maps = affine_maps(size * (2 * uniform(x.shape[1], 6) - 1), task.image_shape)
            return affine(xp.reshape(x, (*x.shape[:2], *task.image_shape)), maps, task.pixels)
        x = xp.take(x, task.pixels, axis=-1)
        return x + recipe.noise * task.length / math.sqrt(model.X) * normal(*x.shape[1:]) if recipe.noise else x
    grey = xp.asarray(task.x[xp.reshape(rows, (-1,))], dtype=xp.float32) * (1 / task.white)
    grey = xp.reshape(grey, (R, N, -1))
    augmented = recipe.gamma or size
    x = t2x = d = u = eps = None
    if joint or not augmented:
        x = xp.take(grey, task.pixels, axis=-1)
        noise = uniform(N, model.X)
        binary = model.likelihood == "bernoulli"
        x = xp.asarray(noise < x, dtype=xp.float32) if binary else x + (noise - 0.5) / task.white
    tx = t(grey) if augmented else x
    if gamma:
        t2x, d = t(grey[:, :U]), uniform(U, model.X) - 0.5
    if joint:
        u = uniform(U)
        pairs = U * (model.K if recipe.sum_at(epoch) == "exact" else recipe.top + 1) + L
        eps = normal(recipe.samples * pairs, model.Z)
    return Batch(x, tx, t2x, slots, u, d, eps)


def epoch_size(recipe, task):
    """Unlabelled and labelled examples in a batch, and batches in an epoch."""
    U_all, L_all = task.unlabelled.shape[1], task.labelled.shape[1]
    U = min(recipe.unlabelled_batch, U_all)
    L = min(recipe.labelled_batch if U else recipe.unlabelled_batch, L_all)
    return U, L, max(U_all or L_all, recipe.minimum_epoch) // (U or L)


def batches(rngs, model, recipe, task, epoch, gammas):
    """The minibatches of the epoch after `epoch` others, one for each γ in gammas, drawn by a second thread while the
    first one computes; or on the GPU, which is sent the order of all rows, and seeds, at the start."""
    xp = namespace(task.x)
    U_all, L_all = task.unlabelled.shape[1], task.labelled.shape[1]
    (U, L, _), steps = epoch_size(recipe, task), len(gammas)
    passes = math.ceil(steps * U / max(U_all, 1))
    orders = np.stack([np.concatenate([rng.permutation(U_all) for _ in range(passes)] or [np.zeros(0, int)])
                       for rng in rngs])
    orders = xp.asarray(np.take_along_axis(task.unlabelled, orders, axis=-1))
    rngs = [generator(rng, xp) for rng in rngs]

    def draw(step):
        rows, slots = orders[:, step * U:(step + 1) * U], task.slots[:, :0]
        if L:
            chosen = xp.stack([rng.integers(0, L_all, L) for rng in rngs])
            slots = xp.take_along_axis(task.slots, chosen, axis=-1)
            rows = xp.concat([rows, xp.take_along_axis(task.labelled, chosen, axis=-1)], axis=-1)
        return draw_batch(rngs, model, recipe, task, rows, slots, epoch, gammas[step])
    return ahead(draw, steps) if xp is np else map(draw, range(steps))


def ahead(draw, steps):
    """draw(0), draw(1), …, each in a second thread while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(draw, 0)
        for step in range(steps):
            batch = following.result()
            if step + 1 < steps:
                following = pool.submit(draw, step + 1)
            yield batch
