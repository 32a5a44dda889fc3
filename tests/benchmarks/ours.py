"""Our own step, put together as in training.run_epoch, and the matrix product that it is measured by."""

import numpy as np

from microgmdgm.adam import Adam
from microgmdgm.backend import keep_freed_memory
from microgmdgm.batches import Batch
from microgmdgm.training import value_and_pullback
from .problem import choose


class Ours:
    """With a run axis of one run, as in training."""

    def __init__(self, problem, keep=True):
        if keep:
            keep_freed_memory()
        self.problem, self.theta = problem, problem.theta[None].copy()
        self.batch = Batch(**{name: None if a is None else a[None] for name, a in vars(problem.batch).items()})
        self.decay = problem.model.layout.kernels(self.theta) * problem.decay
        self.adam = Adam.like(self.theta)

    def gradient(self):
        """-> the objective (1,) and its gradient (1,P)"""
        problem = self.problem
        terms, pullback = value_and_pullback(
            problem.model, problem.model.layout, self.theta, self.batch, alpha=problem.alpha, gamma=0.0, weights=(),
            choose=lambda log_q: choose(log_q, self.batch, problem.sum_over_y), perturb=None, decay=self.decay)
        return terms["objective"], pullback(np.ones_like(terms["objective"]))

    def value_and_gradient(self):
        value, gradient = self.gradient()
        return float(value[0]), gradient[0]

    def step(self):
        _, gradient = self.gradient()
        self.adam.ascend(self.theta, np.clip(gradient, -self.problem.clip, self.problem.clip), self.problem.rate)

    def parameters(self):
        return self.theta[0]


class Product:
    """The step's main product, of (1500, 500) and (500, 500) in float32, for the rate of the BLAS."""
    flops = 2 * 1500 * 500 * 500

    def __init__(self, problem):
        keep_freed_memory()
        rng = np.random.default_rng(0)
        self.a, self.b = (rng.random(shape, dtype=np.float32) for shape in ((1500, 500), (500, 500)))

    def step(self):
        self.a @ self.b
