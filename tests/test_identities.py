"""What must hold whatever the derivatives are: the formulas against independent statements of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from microgmdgm import distributions, layers, marginal, models, parameters
from microgmdgm.invariance import balance, within
from .conftest import MODELS, random_theta, small_model

rng = np.random.default_rng(0)
mu, logvar, mu0, logvar0, x = rng.standard_normal((5, 4, 3))


def test_gaussian_is_scipys():
    expected = stats.norm(mu, np.exp(0.5 * logvar)).logpdf(x).sum(axis=-1)
    np.testing.assert_allclose(distributions.gaussian(mu, logvar, x=x)[0], expected)


def test_bernoulli_is_scipys_and_survives_extreme_logits():
    bits = rng.integers(0, 2, x.shape)
    expected = stats.bernoulli(1 / (1 + np.exp(-x))).logpmf(bits).sum(axis=-1)
    np.testing.assert_allclose(distributions.bernoulli(x, x=bits)[0], expected)
    extreme, pullback = distributions.bernoulli(np.array([[1e4, -1e4, 800.0]]), x=np.array([[1.0, 1.0, 0.0]]))
    assert extreme == -1e4 - 800
    np.testing.assert_array_equal(pullback(np.ones(1)), [[0, 1, -1]])


def test_log_softmax_sums_to_one_and_survives_extreme_logits():
    log_q, _ = distributions.log_softmax(np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(np.exp(log_q).sum(axis=-1), 1)
    np.testing.assert_allclose(log_q[0], [0, -1e4, -2e4])


def test_entropy_and_cross_entropy_are_scipys():
    log_q, _ = distributions.log_softmax(mu)
    log_p, _ = distributions.log_softmax(x)
    np.testing.assert_allclose(distributions.entropy(log_q)[0], stats.entropy(np.exp(log_q), axis=-1))
    np.testing.assert_allclose(distributions.cross_entropy(log_q, log_p)[0], stats.entropy(np.exp(log_q), axis=-1)
                               + stats.entropy(np.exp(log_q), np.exp(log_p), axis=-1))


def test_kl_of_a_gaussian_with_itself_is_zero():
    np.testing.assert_allclose(distributions.gaussian_kl(mu, logvar, mu, logvar)[0], 0, atol=1e-12)


def test_kl_to_the_standard_normal_is_the_general_one():
    zero = np.zeros_like(mu)
    np.testing.assert_allclose(distributions.standard_gaussian_kl(mu, logvar)[0],
                               distributions.gaussian_kl(mu, logvar, zero, zero)[0])


def test_closed_form_kl_is_the_monte_carlo_mean_within_its_error():
    eps = rng.standard_normal((100_000, *mu.shape))
    z, _ = distributions.reparameterise(mu, logvar, eps=eps)
    ratio = distributions.gaussian(mu, logvar, x=z)[0] - distributions.gaussian(mu0, logvar0, x=z)[0]
    error = ratio.std(axis=0) / np.sqrt(len(ratio))
    assert np.all(np.abs(ratio.mean(axis=0) - distributions.gaussian_kl(mu, logvar, mu0, logvar0)[0]) < 4 * error)


def test_reparameterised_samples_have_the_right_moments():
    z, _ = distributions.reparameterise(mu, logvar, eps=rng.standard_normal((100_000, *mu.shape)))
    sigma = np.exp(0.5 * logvar)
    assert np.all(np.abs(z.mean(axis=0) - mu) < 5 * sigma / np.sqrt(len(z)))
    np.testing.assert_allclose(z.std(axis=0), sigma, rtol=0.02)


def test_the_split_first_layer_is_the_joined_one():
    """[x, one-hot y] W, with W made of Wx above Wy."""
    Wx, Wy, b, W, c = (rng.standard_normal(s) for s in ((3, 5), (4, 5), (1, 5), (5, 2), (1, 2)))
    data, y, example = rng.standard_normal((6, 3)), rng.integers(0, 4, 9), rng.integers(0, 6, 9)
    joined = np.concatenate([data[example], np.eye(4)[y]], axis=1)
    expected, _ = layers.mlp([np.concatenate([Wx, Wy]), b, W, c], joined)
    np.testing.assert_allclose(layers.class_mlp([Wx, Wy, b, W, c], data, y=y, example=example)[0], expected)


def bounds(model, theta, x, eps):
    """L(x,y) of every example and class, (N,K), with noise eps (N,K,Z)."""
    N, K = len(x), model.K
    pairs = marginal.exact(np.zeros((N, K)))
    value, _ = models.bound_given_y(model, model.layout.views(theta), x=x, y=pairs.y, example=pairs.example,
                                    eps=eps.reshape(N * K, -1))
    return value.reshape(N, K)


@pytest.mark.parametrize("name, likelihood", MODELS)
def test_the_bound_is_the_paper_s_three_terms(name, likelihood):
    """Eq. 8 written out with scipy for one pair."""
    model = small_model(name, likelihood)
    theta = random_theta(model, rng)
    params, x, eps, y = model.layout.views(theta), rng.integers(0, 2, (1, model.X)).astype(float), \
        rng.standard_normal((1, model.Z)), np.array([2])
    (m, lv), _ = models.encode(params, x=x, y=y)
    z = m + np.exp(0.5 * lv) * eps
    h, _ = models.decode(model, params, z, y=y)
    if likelihood == "bernoulli":
        log_p_x = stats.bernoulli(1 / (1 + np.exp(-h))).logpmf(x).sum()
    else:
        log_p_x = stats.norm(h[:, :model.X], np.exp(0.5 * h[:, model.X:])).logpdf(x).sum()
    m0, lv0 = [table[y] for table in params["p(z|y)"]] if name == "gm-dgm" else (0 * m, 0 * lv)
    kl = 0.5 * (lv0 - lv + np.exp(lv - lv0) + (m - m0)**2 * np.exp(-lv0) - 1).sum()
    value, _ = models.bound_given_y(model, params, x=x, y=y, eps=eps)
    np.testing.assert_allclose(value, log_p_x - kl + np.log(model.prior[2]))


@pytest.mark.parametrize("name, likelihood", MODELS)
def test_the_unlabelled_bound_with_one_hot_q_is_the_labelled_bound(name, likelihood):
    model = small_model(name, likelihood)
    x, y = rng.integers(0, 2, (5, model.X)).astype(float), rng.integers(0, model.K, 5)
    L_xy = bounds(model, random_theta(model, rng), x, rng.standard_normal((5, model.K, model.Z)))
    log_q = np.where(np.eye(model.K)[y] == 1, 0.0, -700.0)
    pairs = marginal.exact(log_q)
    L_x, _ = models.unlabelled_bound(log_q, L_xy.ravel(), y=pairs.y, example=pairs.example, weight=pairs.weight)
    np.testing.assert_allclose(L_x, L_xy[np.arange(5), y].sum())


def test_the_unlabelled_bound_is_equation_10():
    """Σ_y q [E log p(x|z) − KL_z] − KL(q(y|x) ‖ p(y)), from the same L(x,y)."""
    model = small_model()
    x = rng.integers(0, 2, (5, model.X)).astype(float)
    L_xy = bounds(model, random_theta(model, rng), x, rng.standard_normal((5, model.K, model.Z)))
    log_q, _ = distributions.log_softmax(rng.standard_normal((5, model.K)))
    pairs = marginal.exact(log_q)
    L_x, _ = models.unlabelled_bound(log_q, L_xy.ravel(), y=pairs.y, example=pairs.example, weight=pairs.weight)
    q, prior = np.exp(log_q), np.array(model.prior)
    expected = (q * (L_xy - np.log(prior))).sum() - stats.entropy(q, prior[None], axis=-1).sum()
    np.testing.assert_allclose(L_x, expected)


def test_one_class_gives_a_vae():
    """With K = 1, p(z|y) = N(0, I) and q(y|x) = 1, both models' bound is that of a VAE."""
    for name in ("gm-dgm", "m2"):
        model = replace(small_model(name), prior=(1.0,))
        theta = random_theta(model, rng)
        params = model.layout.views(theta)
        if name == "gm-dgm":
            for table in params["p(z|y)"]:
                table[:] = 0
        x, eps, y = rng.integers(0, 2, (5, model.X)).astype(float), rng.standard_normal((5, model.Z)), np.zeros(5, int)
        log_q, _ = models.log_q_y(params["q(y|x)"], x)
        (m, lv), _ = models.encode(params, x=x, y=y)
        h, _ = models.decode(model, params, m + np.exp(0.5 * lv) * eps, y=y)
        vae = (distributions.bernoulli(h, x=x)[0] - distributions.standard_gaussian_kl(m, lv)[0]).sum()
        pairs = marginal.exact(log_q)
        L_x, _ = models.unlabelled_bound(log_q, bounds(model, theta, x, eps[:, None]).ravel(), y=pairs.y,
                                         example=pairs.example, weight=pairs.weight)
        np.testing.assert_allclose(L_x, vae)


@pytest.mark.parametrize("name", ["gm-dgm", "m2"])
def test_the_mean_bound_is_below_the_evidence_by_quadrature(name):
    """log p(x) = log Σ_y p(y) ∫ p(x|z) p(z|y) dz with one z, by a fine grid; also with any other q(y|x)."""
    model = small_model(name, Z=1)
    theta = random_theta(model, rng)
    params, x = model.layout.views(theta), rng.integers(0, 2, (3, model.X)).astype(float)
    grid = np.linspace(-12, 12, 4001)[:, None]
    log_joint = []
    for y in range(model.K):
        h, _ = models.decode(model, params, grid, y=np.full(len(grid), y))
        m0, lv0 = (params["p(z|y)"][0][y], params["p(z|y)"][1][y]) if name == "gm-dgm" else (np.zeros(1), np.zeros(1))
        log_p_z = distributions.gaussian(0 * grid + m0, 0 * grid + lv0, x=grid)[0]
        log_joint.append([distributions.bernoulli(h, x=0 * h + row)[0] + log_p_z + np.log(model.prior[y]) for row in x])
    evidence = np.log(np.exp(log_joint).sum(axis=(0, 2)) * (grid[1, 0] - grid[0, 0]))

    for shift in (0, 1):  # the model's own q(y|x), and one that has seen another image
        log_q, _ = models.log_q_y(params["q(y|x)"], np.roll(x, shift, axis=0))
        L = [(np.exp(log_q) * (bounds(model, theta, x, rng.standard_normal((3, model.K, 1))) - log_q)).sum(axis=1)
             for _ in range(2000)]
        assert np.all(np.mean(L, axis=0) < evidence)


@pytest.mark.parametrize("top", [1, 2, 4])
def test_the_sparse_sum_has_the_exact_sum_s_mean_in_value_and_gradient(top):
    """The mean over a fine grid of u, on the run axis, is the expectation over the sampled class."""
    N, K, draws = 4, 5, 20_000
    log_q, _ = distributions.log_softmax(np.array([[1], [2], [2], [6]]) * rng.standard_normal((N, K)))
    L_xy = rng.standard_normal((N, K))

    def value_and_gradient(log_q, pairs):
        value, pullback = models.unlabelled_bound(log_q, L_xy[pairs.example, pairs.y], y=pairs.y,
                                                  example=pairs.example, weight=pairs.weight)
        return value, pullback(np.ones_like(value))[0]
    exact = value_and_gradient(log_q, marginal.exact(log_q))
    u = np.tile(((np.arange(draws) + 0.5) / draws)[:, None], (1, N))
    every = np.tile(log_q, (draws, 1, 1))
    for found, expected in zip(value_and_gradient(every, marginal.sparse(every, u, top)), exact):
        np.testing.assert_allclose(found.mean(axis=0), expected, atol=2e-3)
        assert top == 4 or np.abs(found[0] - expected).max() > 0.05 / 4**top  # one draw alone is not the sum


def test_the_sparse_sum_leaves_out_most_samples_of_little_mass_and_compact_removes_them():
    log_q = np.log(np.array([[0.9998, 0.0001, 0.0001], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]))
    pairs = marginal.sparse(log_q, np.array([0.5, 0.5, 0.999999]))
    assert pairs.y[:3].tolist() == [0, 0, 2] and pairs.y[4:].tolist() == [1, 1]
    np.testing.assert_allclose(pairs.weight, [1, 1, 1, 0, 0.4 / 0.3, 0.4 / 0.2])
    compacted = marginal.compact(pairs)
    assert compacted.example.tolist() == [0, 1, 2, 1, 2]
    np.testing.assert_allclose(compacted.weight, [1, 1, 1, 0.4 / 0.3, 2])


def test_the_sparse_sum_gives_no_sample_an_infinite_weight():
    """u = 0, one draw in 2^24, chooses the first class whose probability is not 0, and be it 1e-44."""
    log_q = np.array([[0, -101, -80, -60], [0, -30, -20, -10]], dtype=np.float32)
    pairs = marginal.sparse(log_q, np.zeros(2, dtype=np.float32))
    assert pairs.y[2:].tolist() == [1, 1] and pairs.weight[2] == 0
    assert pairs.weight[3] == pytest.approx(0.05 * np.exp(30), rel=1e-3)


def test_the_sparse_sum_takes_the_probable_classes_and_samples_the_others():
    log_q = np.log(np.array([[0.5, 0.3, 0.002, 0.098, 0.1], [0.994, 0.002, 0.002, 0.001, 0.001]]))
    pairs = marginal.sparse(log_q, np.array([0.0, 0.05]), top=3)
    y, weight = pairs.y.reshape(4, 2), pairs.weight.reshape(4, 2)
    assert y[:, 0].tolist() == [0, 1, 4, 2] and y[[0, 3], 1].tolist() == [0, 2]
    np.testing.assert_allclose(weight, [[1, 1], [1, 0], [1, 0], [0.1 / 0.002, marginal.RARE / 0.002]])


def test_compact_fills_up_runs_of_fewer_pairs_with_weight_zero():
    sharp, soft = np.log([[0.9998, 0.0001, 0.0001]]), np.log([[0.5, 0.3, 0.2]])
    pairs = marginal.compact(marginal.sparse(np.stack([sharp, soft]), np.full((2, 1), 0.1)))
    assert pairs.weight.shape == (2, 2) and pairs.weight[0].tolist() == [1, 0] and pairs.weight[1, 1] > 0


def test_classes_of_next_to_no_probability_change_no_exact_sum():
    """Nor a gradient in float32; on the CPU their pairs are left out."""
    log_q = np.log(np.float32([[0.7, 0.3, 1e-13], [1e-30, 1, 1e-20]]))
    pairs, L_xy = marginal.exact(log_q), np.float32([-100, -150, -90, -700, -80, -500])
    assert pairs.weight.tolist() == [1, 1, 0, 0, 1, 0]
    found, every = (models.unlabelled_bound(log_q, L_xy, y=pairs.y, example=pairs.example, weight=weight)
                    for weight in (pairs.weight, np.ones(6, np.float32)))
    assert found[0] == every[0]
    for ours, whole in zip(found[1](np.float32(1)), every[1](np.float32(1))):
        np.testing.assert_allclose(ours, whole, atol=1e-10)
    kept = marginal.pairs(log_q, sum_over_y="exact", u=None, labels=np.array([2]), eps=np.arange(7.0)[:, None])
    assert kept.example.tolist() == [0, 0, 1, 2] and kept.y.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("samples", [1, 2])
def test_each_run_uses_the_noise_that_it_would_use_alone(samples):
    rng = np.random.default_rng(0)
    log_q = distributions.log_softmax(np.array([1, 20, 5])[:, None, None] * rng.standard_normal((3, 6, 4)))[0]
    u, labels, eps = rng.random((3, 6)), rng.integers(0, 4, (3, 2)), rng.standard_normal((3, samples * 14, 2))
    together = marginal.pairs(log_q, sum_over_y="sparse", u=u, labels=labels, eps=eps, samples=samples)
    for r in range(3):
        alone = marginal.pairs(log_q[r], sum_over_y="sparse", u=u[r], labels=labels[r], eps=eps[r], samples=samples)
        weight = np.r_[together.weight[r], np.ones(2 * samples)]
        for name in ("example", "y", "eps"):
            np.testing.assert_array_equal(getattr(together, name)[r][weight > 0], getattr(alone, name))
    assert (together.weight == 0).any()


def test_balance_is_zero_at_the_prior_and_has_its_value_elsewhere():
    prior = (0.5, 0.3, 0.2)
    assert abs(balance(np.log(np.tile(prior, (4, 1))), prior=prior)[0]) < 1e-12
    value, pullback = balance(np.float32([[0, -200, -1], [0, -200, -2]]), prior=prior)  # e⁻²⁰⁰ is 0 in float32
    assert np.isfinite(value) and np.isfinite(pullback(np.float32(1))).all()
    one_sided = np.log(np.tile([0.8, 0.1, 0.1], (4, 1)))
    np.testing.assert_allclose(balance(one_sided, prior=prior)[0], stats.entropy([0.8, 0.1, 0.1], prior))


def test_balance_tolerates_what_is_within_a_factor_of_the_prior_and_draws_the_rest_to_its_edge():
    prior = (0.5, 0.3, 0.2)

    def on_logits(q):
        """The value where every row has q, and the gradient of one row's logits."""
        value, pullback = balance(np.log(np.tile(q, (4, 1))), prior=prior, tolerance=0.7)
        return value, distributions.log_softmax(np.log([q]))[1](pullback(np.ones(()))[:1])[0]
    value, force = on_logits([0.4, 0.35, 0.25])
    assert abs(value) < 1e-12 and np.abs(force).max() < 1e-12
    out = np.array([0.9, 0.07, 0.03])
    edge = np.array([0.5 / 0.7, 0.3 * 0.7, 0.2 * 0.7])
    np.testing.assert_allclose(within(out, np.array(prior), 0.7), edge / edge.sum())
    value, force = on_logits(out)
    np.testing.assert_allclose(value, stats.entropy(out, edge / edge.sum()))
    assert force[0] > 0 and force[1] < 0 and force[2] < 0  # the first has too much


def test_flatten_is_the_inverse_of_views():
    model = small_model()
    for runs in ((), (3,)):
        theta = random_theta(model, rng, runs)
        np.testing.assert_array_equal(model.layout.flatten(model.layout.views(theta), theta), theta)
    part = model.layout.span("q(y|x)")
    only = model.layout.flatten({"q(y|x)": model.layout.views(theta)["q(y|x)"]}, theta)
    assert np.array_equal(only[:, part], theta[:, part]) and not only[:, part.stop:].any()


def test_the_prior_on_the_weights_leaves_biases_alone():
    model = small_model()
    marks = model.layout.views(model.layout.kernels(np.zeros(1)))
    assert all(m.all() for m in marks["q(y|x)"][0::2]) and not any(m.any() for m in marks["q(y|x)"][1::2])
    assert marks["p(z|y)"][0].all() and marks["q(z|x,y)"][1].all() and not marks["q(z|x,y)"][2].any()


@pytest.mark.parametrize("output_sd", [None, 1e-3])
def test_initial_weights_have_the_recipe_s_spread(output_sd):
    """Glorot-normal, with the fan-in of the joined matrix where it is split; outputs also as the recipe says."""
    model = models.Model("gm-dgm", (0.1,) * 10, 784, output_sd=output_sd)
    params = model.layout.views(model.layout.initial(np.random.default_rng(0)))
    np.testing.assert_allclose(params["q(y|x)"][0].std(), np.sqrt(2 / 1284), rtol=0.02)
    np.testing.assert_allclose(params["q(z|x,y)"][0].std(), np.sqrt(2 / 1294), rtol=0.02)
    np.testing.assert_allclose(params["q(z|x,y)"][1].std(), np.sqrt(2 / 1294), rtol=0.05)
    np.testing.assert_allclose(params["p(x|z)"][4].std(), output_sd or np.sqrt(2 / 1284), rtol=0.02)
    np.testing.assert_allclose(params["p(z|y)"][0].std(), output_sd or np.sqrt(2 / 110), rtol=0.1)
    np.testing.assert_allclose(params["p(z|y)"][1].std(), np.sqrt(2 / 110), rtol=0.1)
    assert all(not b.any() for b in params["q(y|x)"][1::2])


def test_gradients_of_two_passes_add_up():
    total = parameters.add({"a": [np.ones(2)]}, {"b": [np.ones(1)]}, {"a": [np.array([1.0, 2.0])]})
    assert total["a"][0].tolist() == [2, 3] and total["b"][0].tolist() == [1]


@pytest.mark.parametrize("settings, message", [
    ({"name": "vae"}, "gm-dgm or m2"), ({"likelihood": "poisson"}, "bernoulli or gaussian"),
    ({"prior": (0.5, 0.6)}, "sum to 1"), ({"prior": (1.0, 0.0)}, "positive"), ({"Z": 0}, "from 1 to 100,000, not 0")])
def test_a_model_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        models.Model(**{"name": "m2", "prior": (0.5, 0.5), "X": 3, **settings})
