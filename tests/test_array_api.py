"""The core under the strict array API and under CuPy: the same numbers as under NumPy."""

from functools import partial

import numpy as np
import pytest

from microgmdgm import augmentation, backend, invariance, marginal, objectives
from microgmdgm.adam import Adam
from microgmdgm.batches import Batch
from microgmdgm.layers import relu
from microgmdgm.models import log_q_y
from .conftest import MODELS, ON_GPU, random_batch, random_theta, small_model


def library(name):
    return backend.gpu() if name == "GPU" else pytest.importorskip("array_api_strict")


def host(x):
    return x.get() if hasattr(x, "get") else np.asarray(x)


def ten_steps(xp, model, theta, batch, sum_over_y, rate=0.01):
    """Objective and gradient of the first of ten steps, and θ after them, computed with xp from the same noise."""
    batch = Batch(**{name: xp.asarray(value) for name, value in vars(batch).items()})
    theta = xp.asarray(theta.copy())
    adam = Adam.like(theta)

    def choose(log_q):
        return marginal.pairs(log_q, sum_over_y=sum_over_y, u=batch.u, labels=batch.labels, eps=batch.eps)

    def perturb(layers, log_q, tx):
        return invariance.adversarial(layers, log_q, x=tx, d=batch.d, length=0.5), log_q
    first = None
    for _ in range(10):
        objective = partial(objectives.joint, model, batch=batch, choose=choose, perturb=perturb)
        terms, pullback = objectives.value_and_pullback(
            objective, model.layout, theta, decay=0.1 * model.layout.kernels(theta),
            weights={"alpha": 2.0, "gamma": 1.0, "weights": (1.5, 0.5, 4.0)})
        gradient = pullback(xp.ones_like(terms["objective"]))
        first = first or (host(terms["objective"]), host(gradient))
        adam.ascend(theta, gradient, rate)
    return *first, host(theta)


@pytest.mark.parametrize("where", ["strict", ON_GPU])
@pytest.mark.parametrize("sum_over_y", ["exact", "sparse"])
@pytest.mark.parametrize("runs", [(), (2,)], ids=["one run", "run axis"])
@pytest.mark.parametrize("name, likelihood", MODELS)
def test_ten_steps_are_numpys(name, likelihood, runs, sum_over_y, where):
    xp, rng = library(where), np.random.default_rng(0)
    model = small_model(name, likelihood)
    batch, theta = random_batch(model, rng, runs), random_theta(model, rng, runs)
    expected = ten_steps(np, model, theta, batch, sum_over_y)
    found = ten_steps(xp, model, theta, batch, sum_over_y)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_what_is_no_array_is_refused():
    with pytest.raises(TypeError, match="expected an array of NumPy or CuPy, not list"):
        relu([1.0, -1.0])


def test_dtype_follows_theta():
    """float32 stays float32 through every term, gradient and step."""
    rng = np.random.default_rng(0)
    for name, likelihood in MODELS:
        model = small_model(name, likelihood)
        batch = Batch(**{name: value.astype(np.float32) if value.dtype == np.float64 else value
                         for name, value in vars(random_batch(model, rng)).items()})
        theta = random_theta(model, rng).astype(np.float32)
        for part in ten_steps(np, model, theta, batch, "exact") + ten_steps(np, model, theta, batch, "sparse"):
            assert part.dtype == np.float32


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (5, 9)])
def test_affine_maps(shape):
    rng = np.random.default_rng(0)
    images = rng.random((6, *shape)).astype(np.float32)
    identity = augmentation.affine_maps(np.zeros((6, 6), np.float32), shape)
    np.testing.assert_allclose(augmentation.affine(images, identity).reshape(images.shape), images, atol=1e-5)
    one_row_down = np.tile(np.float32([[1, 0, 1], [0, 1, 0]]), (6, 1, 1))
    moved = augmentation.affine(images, one_row_down).reshape(images.shape)
    np.testing.assert_allclose(moved[:, :-1], images[:, 1:], atol=1e-5)
    assert not moved[:, -1].any()
    random = augmentation.affine(images, augmentation.affine_maps(rng.uniform(-1, 1, (6, 6)).astype(np.float32), shape))
    assert random.dtype == np.float32 and random.min() >= 0 and random.max() <= 1 and random.std() > 0.05


def test_maps_at_some_pixels_are_those_at_all_of_them():
    rng = np.random.default_rng(0)
    images, pixels = rng.random((2, 6, 28, 20)).astype(np.float32), np.flatnonzero(rng.random(560) < 0.3)
    maps = augmentation.affine_maps(rng.uniform(-1, 1, (2, 6, 6)).astype(np.float32), (28, 20))
    np.testing.assert_allclose(augmentation.affine(images, maps, pixels), augmentation.affine(images, maps)[..., pixels],
                               atol=1e-5)


def test_a_rotation_turns_the_image():
    """A bar through the centre, turned by 12°, lies where its angle says."""
    image = np.zeros((1, 29, 29), np.float32)
    image[0, :, 14] = 1
    u = np.zeros((1, 6), np.float32)
    u[0, 0] = 1
    turned = augmentation.affine(image, augmentation.affine_maps(u, (29, 29))).reshape(29, 29)
    columns = (turned * np.arange(29)).sum(axis=1)[4:-4] / turned.sum(axis=1)[4:-4]
    slope = np.polyfit(np.arange(21), columns, 1)[0]
    assert abs(slope) == pytest.approx(np.tan(np.radians(12)), rel=0.02)


def test_the_adversarial_change_raises_the_divergence_more_than_a_random_one():
    rng = np.random.default_rng(0)
    model = small_model(X=30, H=20)
    layers = model.layout.views(random_theta(model, rng))["q(y|x)"]
    x, d = rng.random((50, 30)), rng.standard_normal((50, 30))
    log_q, _ = log_q_y(layers, x)
    r = invariance.adversarial(layers, log_q, x=x, d=d, length=0.5)
    d *= 0.5 / np.linalg.norm(d, axis=1, keepdims=True)

    def divergence(change):
        return (np.exp(log_q) * (log_q - log_q_y(layers, x + change)[0])).sum(axis=1).mean()
    np.testing.assert_allclose(np.linalg.norm(r, axis=1), 0.5)
    assert divergence(r) > 2 * divergence(d)
