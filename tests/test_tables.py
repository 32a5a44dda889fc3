"""What kind each column is taken for, and what the model then sees of it."""

import numpy as np
import pytest

from microgmdgm import batches
from microgmdgm.sklearn.tables import KINDS, Columns, View


def mixed(N=400, seed=0):
    """A constant, a binary, a count, a real and a real column of large values that hardly vary."""
    rng = np.random.default_rng(seed)
    return np.column_stack([np.full(N, 7.1), rng.choice([-3.0, 5.0], N), rng.poisson(6, N), rng.normal(-2, 5, N),
                            1e6 + rng.normal(0, 1e-2, N)])


def test_kinds_are_told_apart():
    columns = Columns.learn(mixed())
    assert [KINDS[k] for k in columns.kinds] == ["constant", "binary", "count", "real", "real"]
    assert columns.likelihood == "gaussian"
    assert str(columns) == "gaussian likelihood, columns: 1 constant, 1 binary, 1 count, 2 real"
    assert [KINDS[k] for k in Columns.learn(-mixed()).kinds] == ["constant", "binary", "real", "real", "real"]


def test_every_column_that_varies_has_mean_0_and_deviation_1():
    x = mixed()
    seen = Columns.learn(x).rows(x) / Columns.learn(x).white
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std(axis=0), [0, 1, 1, 1, 1], atol=1e-9)
    roots = np.sqrt(x[:, 2] + 3 / 8)
    np.testing.assert_allclose(seen[:, 2], (roots - roots.mean()) / roots.std())


@pytest.mark.parametrize("x, likelihood, image", [
    (mixed(), "auto", False), ((mixed() > 0) * 1.0, "auto", False), (mixed()[:, 1:3], "gaussian", True),
    (np.arange(24.0).reshape(4, 6), "auto", True), (np.linspace(0, 1, 24).reshape(4, 6), "bernoulli", False)])
def test_the_data_s_units_come_back(x, likelihood, image):
    columns = Columns.learn(x, likelihood, image)
    np.testing.assert_allclose(columns.inverse(columns.rows(x)), x, rtol=1e-9, atol=1e-9)
    left_out = columns.inverse(np.where(columns.kinds > 0, columns.rows(x), 0.0))  # as `Trained` leaves it
    np.testing.assert_allclose(left_out, x, rtol=1e-9, atol=1e-9)


def test_two_values_are_0_and_1_under_a_bernoulli_likelihood():
    x = np.column_stack([np.tile([2, 5], 10), np.tile([-1, 1], 10), np.ones(20)])
    columns = Columns.learn(x)
    assert columns.likelihood == "bernoulli" and columns.white == 1
    np.testing.assert_array_equal(columns.rows(x), np.tile([[0, 0, 0], [1, 1, 0]], (10, 1)))


def test_images_have_one_scale_and_bytes_are_seen_as_they_are():
    x = np.random.default_rng(0).integers(0, 200, (30, 12), dtype=np.uint8)
    x[0, 0], x[1, 1] = 0, 199
    columns = Columns.learn(x, image=True)
    assert columns.plain and columns.white == 199 and columns.likelihood == "bernoulli"
    np.testing.assert_array_equal(columns.rows(x), x)
    shifted = Columns.learn(x / 100 - 1, image=True)
    assert not shifted.plain
    np.testing.assert_allclose(shifted.rows(x / 100 - 1) / shifted.white, x / 199)


def test_the_density_is_one_of_the_data():
    x = mixed(20)
    columns = Columns.learn(x)
    slopes = (columns.rows(x + 1e-4) - columns.rows(x - 1e-4)) / 2e-4 / columns.white
    np.testing.assert_allclose(columns.log_density(x, np.arange(1, x.shape[1])), np.log(slopes[:, 1:]).sum(axis=1), rtol=1e-5)
    binary = (x > 0) * 1.0
    assert not Columns.learn(binary).log_density(binary, [0]).any()


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(ValueError, match="all 3 columns of X are constant"):
        Columns.learn(np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"values from 0 to 1, but X goes from 0 to 4: .*likelihood='gaussian'"):
        Columns.learn(np.arange(5.0)[:, None], "bernoulli")


def test_many_blocks_are_as_one(monkeypatch):
    x = mixed()
    whole = Columns.learn(x)
    monkeypatch.setattr(batches, "BLOCK", 35)
    parts = Columns.learn(x)
    assert np.array_equal(parts.kinds, whole.kinds)
    np.testing.assert_allclose(parts.unit, whole.unit, rtol=1e-9)
    np.testing.assert_allclose(parts.shift, whole.shift, rtol=1e-9)


def test_a_view_makes_the_rows_that_are_asked_for():
    x = mixed()
    view = View(x, Columns.learn(x))
    assert view.shape == x.shape and len(view) == len(x) and view[[3, 1]].dtype == np.float32
    np.testing.assert_allclose(view[[3, 1]], view.columns.rows(x)[[3, 1]], rtol=1e-6)
