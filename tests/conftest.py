"""Shared by all tests: a small model, a batch of it, and where MNIST is, if it is."""

import os

import hypothesis
import pytest

from microgmdgm import backend
from microgmdgm.batches import Batch
from microgmdgm.models import Model

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs the signals and limits of POSIX")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/thread-self/children"), reason="finds processes by Linux's /proc")


def pytest_addoption(parser):
    parser.addoption("--fuzz", type=int, default=30, metavar="N", help="inputs of each kind in test_fuzz.py")
    parser.addoption("--kills", type=int, default=1, metavar="N", help="runs of each kind that test_kills.py kills")


def pytest_configure(config):
    hypothesis.settings.register_profile("seeded", max_examples=config.getoption("--fuzz"), derandomize=True,
                                         database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    hypothesis.settings.load_profile("seeded")


def needs_mnist(test):
    """Skipped where MNIST is not at hand; `pytest -m mnist` runs these alone."""
    absent = pytest.mark.skipif("MICROGMDGM_DATA" not in os.environ,
                                reason="MICROGMDGM_DATA does not name a folder with MNIST")
    return pytest.mark.mnist(absent(test))


def needs_gpu():
    """The marks of what is skipped where CuPy finds no GPU; `pytest -m gpu` runs that alone."""
    try:
        backend.gpu()
        absent = ""
    except ValueError as reason:
        absent = str(reason)
    return pytest.mark.gpu, pytest.mark.skipif(bool(absent), reason=absent)


ON_GPU = pytest.param("GPU", marks=needs_gpu())


MODELS = [(name, likelihood) for name in ("gm-dgm", "m2") for likelihood in ("bernoulli", "gaussian")]


def small_model(name="gm-dgm", likelihood="bernoulli", **sizes):
    sizes = {"X": 7, "Z": 3, "H": 6, "hidden_layers": 2, **sizes}
    return Model(name, (0.3, 0.3, 0.2, 0.2), likelihood=likelihood, **sizes)


def random_theta(model, rng, runs=()):
    """θ away from its start, where some gradients vanish."""
    return 0.4 * rng.standard_normal((*runs, model.layout.size))


def random_batch(model, rng, runs=(), U=5, L=3, pairs=None):
    """A batch in float64 with all of its noise."""
    pairs = U * model.K + L if pairs is None else pairs
    return Batch(x=(rng.random((*runs, U + L, model.X)) < 0.5).astype(float),
                 tx=rng.random((*runs, U + L, model.X)), t2x=rng.random((*runs, U, model.X)),
                 labels=rng.integers(0, 2, (*runs, L)), u=rng.random((*runs, U)),
                 d=rng.standard_normal((*runs, U, model.X)), eps=rng.standard_normal((*runs, pairs, model.Z)))
