"""The measures of the generative half against known answers: quadrature, enumeration, and small cases by hand."""

import numpy as np
import pytest
from scipy import stats

from microgmdgm import data, distributions, generative, models
from microgmdgm.models import Model
from microgmdgm.trained import Trained
from .conftest import MODELS, random_theta, small_model


def evidence(trained, x):
    """log p(x, y) of one z, by a fine grid.     x (N,X) in the model's units -> (K,N)"""
    model, params, grid = trained.model, trained.params, np.linspace(-12, 12, 4001)[:, None]
    log_joint = []
    for y in range(model.K):
        h, _ = models.decode(model, params, grid, y=np.full(len(grid), y))
        mu, logvar = (a[y] for a in params["p(z|y)"]) if model.name == "gm-dgm" else np.zeros((2, 1))
        log_p_z = distributions.gaussian(0 * grid + mu, 0 * grid + logvar, x=grid)[0]
        log_p = [models.log_p_x(model, h, x=np.tile(row, (len(grid), 1)))[0] + log_p_z for row in x]
        log_joint.append(np.log(np.exp(log_p).sum(axis=1) * (grid[1, 0] - grid[0, 0])) + np.log(model.prior[y]))
    return np.array(log_joint)


@pytest.mark.parametrize("name, likelihood", MODELS)
def test_importance_sampling_finds_the_evidence_of_quadrature(name, likelihood):
    rng = np.random.default_rng(1)
    model = small_model(name, likelihood, Z=1)
    trained = Trained(model, random_theta(model, rng), np.arange(7), 7, 255.0, (0, 1))
    x = generative.binarised(rng.integers(0, 256, (3, 7)).astype(np.uint8), 255.0)
    log_p_xy = evidence(trained, x / 255)
    np.testing.assert_allclose(generative.log_likelihood(trained, x, samples=20_000),
                               np.log(np.exp(log_p_xy).sum(axis=0)), atol=0.03)
    y = np.array([2, 0, 3])
    np.testing.assert_allclose(generative.log_likelihood(trained, x, y, samples=20_000),
                               log_p_xy[y, range(3)] - np.log(model.prior)[y], atol=0.03)


def test_more_samples_come_nearer_and_one_sample_is_the_bound_on_average():
    rng = np.random.default_rng(2)
    model = small_model(Z=2)
    trained = Trained(model, random_theta(model, rng), np.arange(7), 7, 1.0, (0, 1))
    x = rng.integers(0, 2, (4, 7))
    again = np.tile(x, (300, 1))
    one, ten, many = (generative.log_likelihood(trained, again, samples=S).reshape(300, 4).mean(axis=0)
                      for S in (1, 10, 100))
    assert (one < ten).all() and (ten < many).all()
    bound = trained.bound(again).reshape(300, 4).mean(axis=0)
    np.testing.assert_allclose(one, bound, atol=0.2)
    assert (bound < many).all()


def test_binarised_values_are_black_or_white_and_as_frequent_as_they_are_bright():
    x = np.tile(np.array([0, 51, 255], np.uint8), (20_000, 1))
    bits = generative.binarised(x, 255.0)
    assert set(np.unique(bits)) == {0, 255}
    np.testing.assert_allclose(bits.mean(axis=0) / 255, [0, 0.2, 1], atol=0.01)


def blobs(n, rng):
    classes = np.arange(n) % 3
    return rng.normal(0, 0.1, (n, 5)) + np.eye(5)[classes], classes


def test_a_reader_reads_what_is_drawn_well_and_not_what_is_not():
    rng = np.random.default_rng(0)
    reader = generative.reader(*blobs(90, rng))
    drawn, classes = blobs(60, rng)
    assert generative.read_as(reader, drawn, classes, 3).tolist() == [1, 1, 1]
    swapped = np.where(classes == 0, 1, classes)
    shares = generative.read_as(reader, drawn, swapped, 4)
    assert shares[1] == 0.5 and shares[2] == 1 and np.isnan(shares[[0, 3]]).all()


def test_precision_falls_with_what_is_not_real_and_recall_with_what_is_not_drawn():
    rng = np.random.default_rng(0)
    real, same, one_place = rng.normal(size=(400, 2)), rng.normal(size=(400, 2)), rng.normal(0, 0.01, (400, 2))
    precision, recall = generative.precision_recall(real, same)
    assert precision > 0.9 and recall > 0.9
    precision, recall = generative.precision_recall(real, one_place)
    assert precision == 1 and recall < 0.05
    precision, recall = generative.precision_recall(real, np.concatenate([same, same + 100]))
    assert 0.45 < precision < 0.55 and recall > 0.9


def test_a_point_lies_among_others_up_to_their_third_neighbour():
    real = np.array([[0.0], [1.0], [3.0], [6.0]])  # third neighbours at 6, 5, 3 and 6
    precision, _ = generative.precision_recall(real, np.array([[-5.9], [-6.1], [11.9], [12.1], [2.0]]))
    assert precision == 3 / 5
    assert generative.precision_recall(real[:2], real[:3]) == (2 / 3, 1)  # of two, the other one is the furthest


@pytest.mark.parametrize("name, likelihood", MODELS)
def test_traits_by_hand(name, likelihood):
    rng = np.random.default_rng(3)
    model = small_model(name, likelihood)
    trained = Trained(model, random_theta(model, rng), np.arange(7), 9, 255.0, (0, 1))
    x = rng.integers(0, 256, (5, 9)).astype(np.uint8)
    grey, y, z, params = x[:, :7] / 255, trained.predict(x), trained.encode(x), trained.params
    mean = trained.reconstruct(x)[:, :7] / 255
    if likelihood == "bernoulli":
        def log_p(p):
            return np.where(grey > 0, grey * np.log(np.maximum(p, 1e-9)), 0) + np.where(
                grey < 1, (1 - grey) * np.log(np.maximum(1 - p, 1e-9)), 0)
        drawn = (log_p(mean) - log_p(grey)).sum(axis=1)
    else:
        logvar = models.decode(model, params, z, y=y)[0][:, 7:]
        drawn = -0.5 * ((grey - mean) ** 2 / np.exp(logvar)).sum(axis=1)
    mu_y, logvar_y = (a[y] for a in params["p(z|y)"]) if name == "gm-dgm" else np.zeros((2, 5, 3))
    sure = models.encode(params, x=grey, y=y)[0][1].sum(axis=1)
    np.testing.assert_allclose(generative.traits(trained, x).T,
                               [drawn, ((z - mu_y) ** 2 / np.exp(logvar_y)).sum(axis=1), sure,
                                x[:, 7] / 255 + x[:, 8] / 255], rtol=1e-3, atol=1e-3)
    assert (drawn <= 0).all()


def test_what_is_like_nothing_seen_is_unfamiliar():
    rng = np.random.default_rng(4)
    model = small_model("gm-dgm", "gaussian")
    trained = Trained(model, random_theta(model, rng), np.arange(7), 7, 1.0, (0, 1))
    known, others, far = (generative.traits(trained, x) for x in (
        rng.random((5000, 7)), rng.random((5000, 7)), 20 + rng.random((200, 7))))
    familiarity = generative.Familiarity(known)
    assert generative.auroc(familiarity(others), familiarity(far)) > 0.99
    assert 0.45 < generative.auroc(familiarity(others), familiarity(known[1::2])) < 0.55
    assert familiarity.unfamiliar(far).mean() > 0.9
    assert generative.FALSE_ALARMS / 2 < familiarity.unfamiliar(others).mean() < 2 * generative.FALSE_ALARMS


def test_auroc_is_the_share_of_pairs_in_order():
    assert generative.auroc([3, 1], [2, 0]) == 3 / 4
    assert generative.auroc([1, 1], [1, 1, 1]) == 1 / 2


def test_pixels_that_are_left_out_count_by_their_mean():
    rng = np.random.default_rng(0)
    x = 16.0 * (rng.random((200, 4)) < [0.5, 0.1, 0.9, 0.5])
    model = Model("m2", (0.5, 0.5), X=2, Z=2, H=3)
    trained = Trained(model, model.layout.initial(rng), np.array([0, 3]), 4, 16.0, ())
    mean = (x[:, 1:3].sum(axis=0) / 16 + 0.5) / 201
    expected = stats.bernoulli.logpmf(x[:7, 1:3] / 16, mean).sum(axis=1)
    np.testing.assert_allclose(generative.left_out(trained, x, x[:7]), expected)


def test_the_measures_of_a_model_of_digits():
    """A model that was not trained draws nothing that looks like digits; its reader does know real ones."""
    digits, rng = data.digits(), np.random.default_rng(0)
    model = Model("gm-dgm", (0.1,) * 10, X=64, Z=4, H=20)
    trained = Trained(model, model.layout.initial(rng), np.arange(64), 64, 16.0, ())
    reader = generative.reader(digits.x_train / 16, digits.y_train)
    assert reader.score(digits.x_test / 16, digits.y_test) > 0.95
    found = generative.measures(trained, reader, digits)
    assert found["samples_read"] < 0.5 and found["sample_precision"] < 0.1 and found["log_p_x"] < -40
    assert generative.reader(np.eye(5), np.zeros(5)).score(np.eye(5), np.zeros(5)) == 1  # a single class
    assert set(found) == {"log_p_x", "samples_read", "sample_precision", "sample_recall", "calibration_error"}
