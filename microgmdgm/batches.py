"""Minibatches: which examples, under which maps, and with what noise.

All random numbers of a step are drawn here, in one place; the rest of the package takes noise as an
argument.  Every array has a leading run axis.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from .augmentation import affine, affine_maps
from .backend import fused, namespace
from .data import hide_labels
from .noise import HashedNoise, Noise

BLOCK = 2**20  # elements of x that are read at a time


@dataclass
class Task:
    """The training data of all runs, with the labels that each run keeps."""
    x: object               # (N,width) on the device, or an object that gives its rows as arrays
    white: float            # the model sees x / white
    image_shape: tuple | None
    labelled_classes: tuple
    pixels: object          # (X,) the columns of x that the model sees
    labelled: object        # (R,L) the rows that keep their label in each run, on the device
    slots: object           # (R,L) their slots, on the device
    unlabelled: np.ndarray  # (R,U) all other rows, on the host
    length: float           # the mean length of x / white
    mean: np.ndarray        # (X,) of x / white, on the host, and
    sd: np.ndarray          # (X,) its standard deviation

    @classmethod
    def prepare(cls, data, labelled_classes, labels_per_class, rngs, minimum_sd, xp=np):
        """Hide the labels of `data`, run by run, and drop the pixels whose standard deviation,
        in [0, 1], is at most minimum_sd.  Raises ValueError if there are too few labels or no pixel is left."""
        x = data.x_train
        hidden = [hide_labels(data.y_train, labelled_classes, labels_per_class, rng) for rng in rngs]
        labelled, slots = (np.stack(arrays) for arrays in zip(*hidden))
        unlabelled = np.stack([np.setdiff1d(np.arange(len(x)), rows) for rows in labelled])
        mean, sd = (moment / data.white for moment in moments(x))
        pixels = np.flatnonzero(sd > minimum_sd)
        if not len(pixels):
            raise ValueError(f"the largest standard deviation of a pixel or column is {sd.max(initial=0):.2g} of the "
                             f"full range, and all up to {minimum_sd:g} are left out: is x constant, or minimum_sd "
                             "too large?")
        length = sum(np.linalg.norm(block[:, pixels], axis=1).sum() for block in blocks(x)) / len(x) / data.white
        return cls(x if xp is np else xp.asarray(x), data.white, data.image_shape, tuple(labelled_classes),
                   xp.asarray(pixels), xp.asarray(labelled), xp.asarray(slots), unlabelled, float(length),
                   mean[pixels], sd[pixels])


def blocks(x):
    """The rows of x in float64, a few at a time: byte arrays and memory-mapped files are never copied whole."""
    rows = max(BLOCK // x.shape[1], 1)
    return (np.asarray(x[i:i + rows], dtype=np.float64) for i in range(0, len(x), rows))


def moments(x, f=lambda block: block):
    """Mean and standard deviation of each column of f(x), the latter in a second pass.     x (N,X) -> (X,), (X,)"""
    mean = sum(f(block).sum(axis=0) for block in blocks(x)) / len(x)
    return mean, np.sqrt(sum(np.square(f(block) - mean).sum(axis=0) for block in blocks(x)) / len(x))


@dataclass
class Batch:
    """A minibatch with all of its noise.  Rows: U unlabelled examples, then L labelled ones."""
    x: object               # (R,U+L,X) what the bound explains, binarised
    tx: object              # (R,U+L,X) what q(y|x) sees
    t2x: object             # (R,U,X) the same under other maps, where γ > 0
    labels: object          # (R,L) slots
    u: object               # (R,U) uniform, which chooses the classes of the sparse sum
    d: object               # (R,U,X) the random direction that the adversarial one starts from, where it has a weight
    eps: object             # (R,P,Z) the noise of z


@fused
def symmetric(u, size):
    """u, uniform on [0, 1], as uniform on [−size, size]."""
    return size * (2 * u - 1)


def augmented(task, grey, noise, *, maps, sigma):
    """t(x): a random map of each image, or noise added to each row of a table.     grey (R,N,width) -> (R,N,X)
    maps is the size of the maps, sigma that of the noise, as a share of the root mean square of x."""
    xp = namespace(grey)
    if task.image_shape and maps:
        images = xp.reshape(grey, (*grey.shape[:2], *task.image_shape))
        u = symmetric(noise.uniform(grey.shape[1], 6), maps)
        return affine(images, affine_maps(u, task.image_shape), task.pixels)
    x = xp.take(grey, task.pixels, axis=-1)
    return x + sigma * task.length / math.sqrt(x.shape[-1]) * noise.normal(*x.shape[1:]) if sigma else x


def observed(task, grey, noise, likelihood):
    """What the bound explains: x binarised for a Bernoulli likelihood; for a Gaussian one, x with noise as
    wide as its steps.     grey (R,N,width) -> (R,N,X)"""
    xp = namespace(grey)
    x = xp.take(grey, task.pixels, axis=-1)
    u = noise.uniform(*x.shape[1:])
    return xp.asarray(u < x, dtype=xp.float32) if likelihood == "bernoulli" else x + (u - 0.5) / task.white


def draw_batch(noise, model, recipe, task, rows, slots, step):
    """The Batch of all runs at one Step: `rows` (R,N) of the data, the last of which are labelled, with slots (R,L)."""
    xp = namespace(task.x)
    (R, N), L = rows.shape, slots.shape[1]
    U = N - L
    grey = xp.asarray(task.x[xp.reshape(rows, (-1,))], dtype=xp.float32) * (1 / task.white)
    grey = xp.reshape(grey, (R, N, -1))
    t = partial(augmented, task, noise=noise, maps=step.maps, sigma=step.noise)
    plain = not recipe.gamma and not (step.maps if task.image_shape else step.noise)
    x = t2x = d = u = eps = None
    if step.joint or plain:
        x = observed(task, grey, noise, model.likelihood)
    if step.gamma:
        _, smoothness, _ = step.weights
        both = t(xp.concat([grey, grey[:, :U]], axis=1))
        tx, t2x, d = both[:, :N], both[:, N:], noise.uniform(U, model.X) - 0.5 if smoothness else None
    else:
        tx = x if plain else t(grey)
    if step.joint:
        u = noise.uniform(U)
        pairs = U * (model.K if step.sum_over_y == "exact" else recipe.top + 1) + L
        eps = noise.normal(recipe.samples * pairs, model.Z)
    return Batch(x, tx, t2x, slots, u, d, eps)


def epoch_size(recipe, task, joint=False):
    """Unlabelled and labelled examples in a batch, and batches in an epoch."""
    U_all, L_all = task.unlabelled.shape[1], task.labelled.shape[1]
    part = recipe.joint_share if joint else 1
    U = min(math.ceil(part * recipe.unlabelled_batch), U_all)
    L = min(math.ceil(part * recipe.labelled_batch) if U else recipe.unlabelled_batch, L_all)
    return U, L, max(U_all or L_all, recipe.minimum_epoch) // (U or L)


def batches(rngs, model, recipe, task, steps):
    """The minibatches of an epoch, one for each Step in steps, drawn by a second thread while the first one computes,
    or on the GPU itself, which gets the order of all rows, and seeds, at the start."""
    xp = namespace(task.x)
    U_all, L_all = task.unlabelled.shape[1], task.labelled.shape[1]
    U, L, _ = epoch_size(recipe, task, steps[0].joint)
    passes = math.ceil(len(steps) * U / max(U_all, 1))
    orders = np.stack([np.concatenate([rng.permutation(U_all) for _ in range(passes)] or [np.zeros(0, int)])
                       for rng in rngs])
    orders = xp.asarray(np.take_along_axis(task.unlabelled, orders, axis=-1))
    noise = Noise(rngs) if xp is np else HashedNoise(rngs, xp)

    def draw(i):
        rows, slots = orders[:, i * U:(i + 1) * U], task.slots[:, :0]
        if L:
            chosen = noise.integers(L_all, L)
            slots = xp.take_along_axis(task.slots, chosen, axis=-1)
            rows = xp.concat([rows, xp.take_along_axis(task.labelled, chosen, axis=-1)], axis=-1)
        return draw_batch(noise, model, recipe, task, rows, slots, steps[i])
    return ahead(draw, len(steps)) if xp is np else map(draw, range(len(steps)))


def ahead(draw, steps):
    """draw(0), draw(1), …, each in a second thread while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(draw, 0)
        for step in range(steps):
            batch = following.result()
            if step + 1 < steps:
                following = pool.submit(draw, step + 1)
            yield batch
