"""Our own step, put together as in training.run_epoch, what was tried to make it faster, and the matrix product
that it is measured by."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from microgmdgm import adam
from microgmdgm.adam import Adam
from microgmdgm.batches import Batch
from microgmdgm.machine import keep_freed_memory
from microgmdgm.objectives import joint, value_and_pullback
from .problem import choose


class Ours:
    """With a run axis of one run, as in training."""

    def __init__(self, problem, keep=True, block=adam.BLOCK):
        if keep:
            keep_freed_memory()
        adam.BLOCK = block
        self.problem, self.theta = problem, problem.theta[None].copy()
        self.batch = Batch(**{name: None if a is None else a[None] for name, a in vars(problem.batch).items()})
        self.decay = problem.model.layout.kernels(self.theta) * problem.decay
        self.adam = Adam.like(self.theta)

    def gradient(self):
        """-> the objective (1,) and its gradient (1,P)"""
        problem = self.problem
        objective = partial(joint, problem.model, batch=self.batch, perturb=None,
                            choose=lambda log_q: choose(log_q, self.batch, problem.sum_over_y))
        terms, pullback = value_and_pullback(
            objective, problem.model.layout, self.theta, decay=self.decay,
            weights={"alpha": problem.alpha, "gamma": 0.0, "weights": ()})
        return terms["objective"], pullback(np.ones_like(terms["objective"]))

    def value_and_gradient(self):
        value, gradient = self.gradient()
        return float(value[0]), gradient[0]

    def step(self):
        _, gradient = self.gradient()
        self.adam.ascend(self.theta, np.clip(gradient, -self.problem.clip, self.problem.clip), self.problem.rate)

    def parameters(self):
        return self.theta[0]


class Halves(Ours):
    """Two halves of the batch, each with its exact sum, side by side: the gradient is the mean of theirs."""

    def __init__(self, problem):
        super().__init__(problem)
        self.pool = ThreadPoolExecutor(1)
        self.halves = [Ours(_half(problem, i)) for i in (0, 1)]
        for half in self.halves:
            half.theta = self.theta

    def gradient(self):
        other = self.pool.submit(self.halves[1].gradient)
        (value, gradient), (value2, gradient2) = self.halves[0].gradient(), other.result()
        return 0.5 * (value + value2), 0.5 * (gradient + gradient2)


def _half(problem, i):
    """Half i of the unlabelled and of the labelled examples, with the noise of their pairs."""
    b, K = problem.batch, problem.model.K
    U, L = len(b.u), len(b.labels)

    def part(start, size):
        return np.arange(start + i * size // 2, start + (i + 1) * size // 2)
    rows, pairs = (np.concatenate([part(0, n * U), part(n * U, L)]) for n in (1, K))
    return replace(problem, batch=replace(b, x=b.x[rows], tx=b.tx[rows], labels=b.labels[part(0, L)],
                                          u=b.u[part(0, U)], eps=b.eps[pairs]))


class Product:
    """The step's main product, of (1500, 500) and (500, 500) in float32, for the rate of the BLAS."""
    flops = 2 * 1500 * 500 * 500

    def __init__(self, problem):
        keep_freed_memory()
        rng = np.random.default_rng(0)
        self.a, self.b = (rng.random(shape, dtype=np.float32) for shape in ((1500, 500), (500, 500)))

    def step(self):
        self.a @ self.b
