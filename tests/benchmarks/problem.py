"""What every contender computes: one whole training step of the paper's recipe, from the same θ, batch and noise.

The objective is Eq. 2 with the prior on the weights; its gradient is clipped, and Adam follows.  Noise is
an argument, drawn beforehand, as a second thread does in training.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from microgmdgm import marginal
from microgmdgm.batches import Batch, Task, draw_batch
from microgmdgm.data import Data, DataError, load, slot_prior
from microgmdgm.models import Model, log_q_y
from microgmdgm.noise import Noise
from microgmdgm.recipes import FAST, PAPER
from microgmdgm.state import State
from microgmdgm.training import run_epoch

LABELLED_CLASSES, LABELS = (0, 1, 2, 8, 9), 100
EPOCHS = 3        # of the fast recipe, on q(y|x) alone, until q(y|x) is sharp
ENTROPY = 0.33    # of a sharp q(y|x) where there is no MNIST, in nats: about what it is on MNIST after these steps


@dataclass(frozen=True)
class Problem:
    """A model, θ (P,), a batch without run axis, and which sum over y."""
    model: Model
    theta: np.ndarray
    batch: Batch
    sum_over_y: str
    alpha: float = PAPER.alpha
    decay: float = 0.5 / 60_000
    clip: float = PAPER.clip
    rate: float = 1e-6  # so small that θ, and with it the number of pairs, stays the same however many steps are timed

    @cached_property
    def pairs(self):
        """The pairs of the sum over y at θ, with their noise."""
        log_q, _ = log_q_y(self.model.layout.views(self.theta)["q(y|x)"], self.batch.x[:len(self.batch.u)])
        return choose(log_q, self.batch, self.sum_over_y)

    @property
    def flops(self):
        """Of the matrix products of one step, forward, with respect to the weights and, but for data, to the
        inputs: once an example those of q(y|x) and of x Wx in q(z|x,y), once a pair all others."""
        m, N, P = self.model, len(self.batch.x), len(self.pairs.y)
        example = 2 * m.X * m.H + 3 * (m.H * m.H + m.H * m.K) + 2 * m.X * m.H
        pair = 3 * (m.H * m.H + m.H * 2 * m.Z) + 3 * (m.Z * m.H + m.H * m.H + m.H * m.X)
        return 2 * (N * example + P * pair)


def choose(log_q, batch, sum_over_y):
    """The pairs of one step, as in training.  log q (…,U,K) -> Pairs"""
    return marginal.pairs(log_q, sum_over_y=sum_over_y, u=batch.u, labels=batch.labels, eps=batch.eps)


def model_of(K, X=784, **sizes):
    """GM-DGM with the paper's sizes, and K classes in place of its 15."""
    return Model("gm-dgm", slot_prior(10, len(LABELLED_CLASSES), K - 10), X, **sizes)


def noise_images(X=784):
    """Images of noise: what they show does not matter to the time of a step."""
    x, y = np.random.default_rng(0).integers(0, 256, (2000, X), dtype=np.uint8), np.arange(2000) % 10
    return Data("noise", x, y, x, y, (X // 28, 28) if X % 28 == 0 else None)


def task_of(data, rng):
    """With all pixels, also those that are black in every image."""
    return Task.prepare(data, LABELLED_CLASSES, LABELS, [rng], minimum_sd=-1.0)


def problem_of(model, task, sum_over_y, U=100, L=100, theta=None):
    """A batch of U unlabelled and L labelled examples, and Glorot's θ where none is given."""
    rng = np.random.default_rng(1)
    theta = model.layout.initial(rng) if theta is None else theta
    chosen = rng.integers(0, task.labelled.shape[1], L)
    rows = np.concatenate([rng.choice(task.unlabelled[0], U, replace=False), task.labelled[0, chosen]])
    batch = draw_batch(Noise([rng]), model, PAPER, task, rows[None], task.slots[:, chosen], PAPER.at(0))
    return Problem(model, theta, Batch(*(None if a is None else a[0] for a in vars(batch).values())), sum_over_y)


def entropy_of(problem):
    """The mean of H(q(y|x)) over the unlabelled examples, in nats."""
    log_q, _ = log_q_y(problem.model.layout.views(problem.theta)["q(y|x)"], problem.batch.x[:len(problem.batch.u)])
    return float(-(np.exp(log_q) * log_q).sum(axis=-1).mean())


def sharp(model):
    """The sparse sum at a sharp q(y|x): on MNIST, trained; on noise, with the output layer scaled up.
    -> (Problem, how it was made)"""
    rng = np.random.default_rng(0)
    try:
        task = task_of(load("mnist"), rng)
    except DataError:
        problem = problem_of(model, task_of(noise_images(), rng), "sparse")
        outputs = model.layout.views(problem.theta)["q(y|x)"][-2]
        while entropy_of(problem) > ENTROPY:
            outputs *= 1.1
        return problem, f"images of noise (MNIST was not at hand), output layer of q(y|x) scaled to {ENTROPY} nats"
    state = State.start(replace(model, output_sd=FAST.output_sd), [rng])
    for _ in range(EPOCHS):
        run_epoch(state, model, FAST, task)
    return (problem_of(model, task, "sparse", theta=state.theta[0]),
            f"MNIST, q(y|x) trained for {EPOCHS} epochs, {EPOCHS * math.floor(60_000 / FAST.unlabelled_batch)} steps, "
            "of the fast recipe")
