"""The whole of what is trained: its gradient with respect to all of θ, ten steps of it, and the
promise of the run axis."""

import copy
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from microgmdgm import batches, data, fit, invariance, marginal, objectives, recipes, training
from microgmdgm.adam import Adam
from microgmdgm.distributions import log_softmax
from microgmdgm.gradcheck import check_pullback
from microgmdgm.models import log_q_y
from microgmdgm.state import Phase
from .conftest import MODELS, random_batch, random_theta, small_model


def objective_of_theta(model, batch, *, gamma, joint=True, samples=1, alpha=2.0, r=None, target=None,
                       weights=(1.5, 0.5, 4.0), q_from_bound=True):
    """θ -> (objective, pullback), with every random choice fixed."""
    def choose(log_q):
        shape = np.zeros((*batch.u.shape, model.K))
        pairs = marginal.with_labelled(marginal.exact(shape), batch.labels, batch.u.shape[-1], samples)
        return replace(pairs, eps=batch.eps)

    def function(theta):
        objective = partial(objectives.joint if joint else objectives.classifier, model, choose=choose,
                            batch=batch if gamma else replace(batch, t2x=None, d=None), perturb=lambda *_: (r, target),
                            q_from_bound=q_from_bound)
        terms, pullback = objectives.value_and_pullback(
            objective, model.layout, theta, decay=0.1 * model.layout.kernels(np.zeros(1)),
            weights={"alpha": alpha, "gamma": gamma, "weights": weights})
        return terms["objective"], pullback
    return function


@pytest.mark.parametrize("runs", [(), (2,)], ids=["one run", "run axis"])
@pytest.mark.parametrize("gamma", [0.0, 3.0])
@pytest.mark.parametrize("hidden_layers", [2, 4])
@pytest.mark.parametrize("name, likelihood", MODELS)
def test_gradient_of_all_of_theta(name, likelihood, hidden_layers, gamma, runs):
    rng = np.random.default_rng(1)
    model = small_model(name, likelihood, hidden_layers=hidden_layers)
    batch = random_batch(model, rng, runs)
    target, _ = log_softmax(rng.standard_normal((*runs, 5, model.K)))
    function = objective_of_theta(model, batch, gamma=gamma, r=rng.standard_normal(batch.t2x.shape), target=target)
    rows = check_pullback(function, random_theta(model, rng, runs))
    assert len(rows) == 2 and all(row.ok for row in rows)


@pytest.mark.parametrize("joint, samples", [(False, 1), (True, 3)], ids=["q(y|x) alone", "three samples of z"])
def test_gradient_of_other_forms(joint, samples):
    rng = np.random.default_rng(2)
    model = small_model()
    batch = random_batch(model, rng, pairs=samples * (5 * model.K + 3))
    target, _ = log_softmax(rng.standard_normal((5, model.K)))
    function = objective_of_theta(model, batch, gamma=1.5, joint=joint, samples=samples,
                                  r=rng.standard_normal(batch.t2x.shape), target=target)
    assert all(row.ok for row in check_pullback(function, random_theta(model, rng)))


def test_adversarial_direction_is_the_gradient_of_the_divergence():
    """r is parallel to ∇_d KL(q(y|x) ‖ q(y|x + d)) by central differences, and has the length asked for."""
    rng = np.random.default_rng(3)
    model = small_model()
    layers = model.layout.views(random_theta(model, rng))["q(y|x)"]
    x, d = rng.random((2, 4, model.X))
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    log_q, _ = log_q_y(layers, x)
    r = invariance.adversarial(layers, log_q, x=x, d=5 * d, length=0.7)

    def divergence(d):
        return (np.exp(log_q) * (log_q - log_q_y(layers, x + d)[0])).sum(axis=-1)
    slope = np.stack([(divergence(d + 1e-6 * e) - divergence(d - 1e-6 * e)) / 2e-6 for e in np.eye(model.X)], axis=-1)
    np.testing.assert_allclose(r, 0.7 * slope / np.linalg.norm(slope, axis=-1, keepdims=True), rtol=1e-6, atol=1e-7)


def test_q_can_be_kept_from_the_bound():
    """The gradient of L(x) to q(y|x) is left out, that of the labels and of all other networks is not."""
    rng = np.random.default_rng(1)
    model = small_model()
    batch, theta = random_batch(model, rng), random_theta(model, rng)

    def gradient(alpha, q_from_bound):
        function = objective_of_theta(model, batch, gamma=0.0, alpha=alpha, q_from_bound=q_from_bound)
        return function(theta)[1](np.ones(()))
    here = model.layout.span("q(y|x)")
    prior = gradient(0.0, False)[here]
    labels = gradient(2.0, True)[here] - gradient(0.0, True)[here]
    np.testing.assert_allclose(gradient(2.0, False)[here] - prior, labels, atol=1e-12)
    assert np.abs(labels).max() > 0.01 and np.abs(gradient(0.0, True)[here] - prior).max() > 0.01
    np.testing.assert_allclose(prior, -0.1 * (model.layout.kernels(np.zeros(1)) * theta)[here], atol=1e-12)
    np.testing.assert_array_equal(np.delete(gradient(2.0, False), here), np.delete(gradient(2.0, True), here))


def test_the_augmented_posterior_alone():
    """With maps and γ = 0 q(y|x) sees a map of x, which the bound explains as it is."""
    digits, rngs = data.digits(), [np.random.default_rng(0)]
    recipe = replace(recipes.FAST_SMALL, gamma=0.0, held=0.0)
    task = batches.Task.prepare(digits, (0, 1), 5, rngs, -1.0)
    batch = next(batches.batches(rngs, small_model(X=64), recipe, task, [recipe.at(recipe.classifier_epochs)]))
    assert set(np.unique(batch.x)) == {0, 1} and len(np.unique(batch.tx)) > 1000
    assert batch.tx.shape == batch.x.shape and batch.d is None and batch.t2x is None


def tiny_task(rngs, recipe, labelled=(0, 1, 2, 8, 9), labels=10):
    digits = data.digits()
    task = batches.Task.prepare(digits, labelled, labels, rngs, recipe.minimum_sd)
    K_extra = 5 if len(labelled) < 10 else 0
    from microgmdgm.models import Model
    return task, Model("gm-dgm", data.slot_prior(10, len(labelled), K_extra), len(task.pixels), Z=5, H=20)


def test_ten_steps_of_adam_raise_the_objective_as_recorded():
    """A loss curve: ten steps on one batch, to eight digits; no part of a step may change unnoticed."""
    rng = np.random.default_rng(4)
    model = small_model()
    batch = random_batch(model, rng)
    target, _ = log_softmax(rng.standard_normal((5, model.K)))
    function = objective_of_theta(model, batch, gamma=1.0, weights=(1.0, 1.0, 4.0), target=target,
                                  r=rng.standard_normal(batch.t2x.shape))
    theta = random_theta(model, rng)
    adam, curve = Adam.like(theta), []
    for _ in range(10):
        value, pullback = function(theta)
        curve.append(float(value))
        adam.ascend(theta, pullback(np.ones(())), 0.01)
    assert np.all(np.diff(curve) > 0)
    np.testing.assert_allclose(curve, CURVE, rtol=1e-8)


CURVE = [-22.598784321, -21.971340033, -21.432985749, -20.966417974, -20.572725288,
         -20.226751865, -19.90414917, -19.607496432, -19.345449384, -19.101829345]


@pytest.mark.parametrize("recipe", [
    replace(recipes.FAST, minimum_epoch=2000, epochs=1, classifier_epochs=1),
    replace(recipes.PAPER, minimum_epoch=1000, epochs=2, sum_over_y="sparse", exact_epochs=1),
    replace(recipes.PAPER, minimum_epoch=2000, epochs=1, samples=2)],
    ids=["fast", "paper, exact, then sparse", "paper, two samples"])
def test_two_runs_on_the_run_axis_are_two_single_runs(recipe):

    def last(seeds):
        rngs = [np.random.default_rng(seed) for seed in seeds]
        task, model = tiny_task(rngs, recipe)
        for state, terms in training.train(model, recipe, task, rngs):
            pass
        return state.theta, terms
    together, terms = last([5, 6])
    for run, seed in enumerate((5, 6)):
        alone, terms_alone = last([seed])
        np.testing.assert_allclose(together[run], alone[0], atol=2e-4)
        for name in terms:
            np.testing.assert_allclose(terms[name][run], terms_alone[name][0], rtol=2e-4, atol=2e-4)


def test_where_a_fit_starts_stays_as_it_was():
    settings = {"labelled_classes": (0, 1), "labels_per_class": 5, "Z": 5, "H": 20}
    recipe, kept = replace(recipes.FAST, minimum_epoch=300, epochs=1, classifier_epochs=2), []
    fit("gm-dgm", recipe, data.digits(), keep=lambda state: kept.append(copy.deepcopy(state)), **settings)
    theta = kept[0].theta.copy()
    one, two = (fit("gm-dgm", recipe, data.digits(), start=kept[0], **settings)[0].theta for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(kept[0].theta, theta)


@pytest.mark.parametrize("changes, message", [
    ({"labelled_classes": (0, 0)}, "name a class twice"), ({"prior": (0.5, 0.5)}, "at least the 3 of labelled classes"),
    ({"prior": (1e-10, 0.5, 0.5 - 1e-10)}, "a probability above 1e-09")])
def test_what_cannot_be_prepared_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        training.prepare("gm-dgm", recipes.FAST, data.digits(), [0], labels_per_class=5,
                         **{"labelled_classes": (0, 1, 2), **changes})


def test_a_first_layer_of_one_input_has_a_weight_prior_too():
    layout = small_model(X=1, Z=1).layout
    for _, start, stop, _, sigma in layout.parts():
        assert (layout.kernels(np.zeros(1, np.float32))[start:stop] == (sigma > 0)).all()


def test_the_same_seed_gives_the_same_numbers_bit_for_bit():
    recipe = replace(recipes.FAST, minimum_epoch=2000, epochs=1, classifier_epochs=1)

    def theta(seed):
        rngs = [np.random.default_rng(seed)]
        task, model = tiny_task(rngs, recipe)
        *_, (state, _) = training.train(model, recipe, task, rngs)
        return state.theta
    assert np.array_equal(theta(7), theta(7))
    assert not np.array_equal(theta(7), theta(8))


@pytest.mark.parametrize("labelled, labels", [((), 0), ((0, 1, 2, 8, 9), 10), (range(10), 10), (range(10), None)],
                         ids=["unsupervised", "semi-unsupervised", "semi-supervised", "supervised"])
@pytest.mark.parametrize("recipe", [recipes.FAST, recipes.PAPER], ids=["fast", "paper"])
def test_every_label_regime_trains(recipe, labelled, labels):
    recipe = replace(recipe, minimum_epoch=2000, epochs=3, kl_warm_up=0.0, classifier_epochs=min(recipe.classifier_epochs, 1))
    rngs = [np.random.default_rng(0)]
    task, model = tiny_task(rngs, recipe, tuple(labelled), labels)
    values = [terms["objective"][0] for state, terms in training.train(model, recipe, task, rngs)]
    assert np.isfinite(values).all() and values[-1] > values[-3]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_preparing_a_task_never_copies_x_whole(dtype, monkeypatch):
    """Its figures are those of x / white as a whole; its memory is that of a few blocks."""
    x = np.random.default_rng(0).integers(0, 200, (20_000, 100)).astype(dtype)
    x[:, 3] = 7
    monkeypatch.setattr(batches, "BLOCK", 2**14)
    given = data.Data("given", x, np.arange(len(x)) % 2, x[:2], np.arange(2), None, 200.0)
    tracemalloc.start()
    task = batches.Task.prepare(given, (0,), 5, [np.random.default_rng(0)], 0.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6  # x in float64 is 16 MB
    assert task.x is x and task.pixels.tolist() == [*range(3), *range(4, 100)]
    assert task.length == pytest.approx(np.linalg.norm(x[:, task.pixels].astype(float) / 200, axis=1).mean(), rel=1e-12)
    np.testing.assert_allclose(batches.moments(x)[1], x.astype(float).std(axis=0), rtol=1e-12, atol=1e-15)


def test_pixels_that_hardly_vary_are_left_out():
    digits, rngs = data.digits(), [np.random.default_rng(0)]
    sd = digits.x_train.std(axis=0) / 16
    task = batches.Task.prepare(digits, (0, 1), 5, rngs, 0.1)
    assert task.pixels.tolist() == np.flatnonzero(sd > 0.1).tolist() and 0 < len(task.pixels) < 64
    with pytest.raises(ValueError, match="largest standard deviation of a pixel or column is 0.41 .* up to 0.5"):
        batches.Task.prepare(digits, (0, 1), 5, rngs, 0.5)


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_only_images_are_augmented(image_shape):
    """Without an image shape q(y|x) sees x itself, twice; with one it sees two different maps of it."""
    digits, rngs = replace(data.digits(), image_shape=image_shape), [np.random.default_rng(0)]
    task = batches.Task.prepare(digits, (0, 1), 5, rngs, -1.0)
    model = small_model(X=64)
    batch = next(batches.batches(rngs, model, recipes.FAST, task, [recipes.FAST.at(0)]))
    rows = set(map(bytes, (digits.x_train / np.float32(16)).astype(np.float32)))
    seen = sum(bytes(row) in rows for row in np.asarray(batch.tx[0]))
    assert (seen == len(batch.tx[0])) if image_shape is None else seen < 0.1 * len(batch.tx[0])
    assert np.array_equal(batch.tx[:, :250], batch.t2x) == (image_shape is None)


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_maps_and_noise_apply_without_invariance_too(image_shape):
    digits, rngs = replace(data.digits(), image_shape=image_shape), [np.random.default_rng(0)]
    task, recipe = batches.Task.prepare(digits, (0, 1), 5, rngs, -1.0), replace(recipes.FAST_TABLE, gamma=0.0)
    batch = next(batches.batches(rngs, small_model(X=64), recipe, task, [recipe.at(recipe.classifier_epochs - 1)]))
    assert batch.t2x is None and np.abs(batch.tx - np.round(16 * batch.tx) / 16).max() > 0.01


@pytest.mark.parametrize("setting", ["first_maps", "first_smoothness", "first_beta"])
def test_the_first_epochs_have_settings_of_their_own(setting):
    """They change what the first epochs do, and nothing where there are none."""
    recipe = replace(recipes.FAST_SMALL, epochs=1, classifier_epochs=1, minimum_epoch=500, first_epochs=1,
                     smooth_from=0)

    def theta(recipe):
        rngs = [np.random.default_rng(0)]
        task, model = tiny_task(rngs, recipe)
        *_, (state, _) = training.train(model, recipe, task, rngs)
        return state.theta
    other = replace(recipe, **{setting: 0.0})
    assert np.abs(theta(other) - theta(recipe)).max() > 1e-3
    recipe, other = (replace(each, first_epochs=0) for each in (recipe, other))
    np.testing.assert_array_equal(theta(other), theta(recipe))


def test_the_fast_recipe_ends_on_the_paper_s_objective_alone():
    for recipe in (recipes.FAST, recipes.FAST_SMALL):
        def at(progress, recipe=recipe):  # of the joint epochs
            return recipe.at(recipe.classifier_epochs, progress * recipe.epochs)
        assert all(at(progress).gamma == at(progress).maps == 0 for progress in (0, 0.5, 1))
        assert at(0.29).rate == 3e-3 and at(0.65).rate == pytest.approx(1.5e-3) and at(1).rate == 0
        assert [recipe.at(recipe.classifier_epochs, epochs).kl_weight for epochs in (0, 0.5, 1, 3)] == [0, 0.5, 1, 1]
        model = small_model()
        phases = [Phase.at(model, recipe, epoch) for epoch in range(recipe.total_epochs)]
        begin = recipe.classifier_epochs
        assert {phase.objective for phase in phases[:begin]} == {objectives.classifier}
        assert {phase.objective for phase in phases[begin:recipe.held_until]} == {objectives.held}
        assert {phase.objective for phase in phases[recipe.held_until:]} == {objectives.joint}
        assert recipe.held_until == recipe.total_epochs - 1
    held = replace(recipes.FAST, held=0.0, gamma_held=0.7, gamma_gone=0.85)
    assert held.at(24, 0.69 * 8).gamma == 50 and 0 < held.at(24, 0.77 * 8).gamma < 50 and held.at(24, 7).gamma == 0
    fast, small = recipes.FAST, recipes.FAST_SMALL
    assert fast.at(14).rate == 2e-3 and fast.at(23, 1.0).rate == 0 and small.at(15, 1.0).rate == 0
    assert [fast.at(epoch).weights for epoch in (0, 9, 10, 31)] == [(1, 1, 8)] * 2 + [(1, 2, 4)] * 2
    assert [small.at(epoch).weights[1] for epoch in (0, 4, 5, 9, 10)] == [0, 0, 0.25, 0.25, 2]
    assert [fast.at(epoch).maps for epoch in (0, 1, 2, 9, 10, 31)] == [0.5, 1.0, 1.5, 1.5, 0.75, 0.0]
    assert [small.at(epoch).maps for epoch in (2, 15)] == [1.0, 0.75]
    assert [recipes.FAST_TABLE.at(epoch).noise for epoch in (0, 1, 2, 15)] == pytest.approx([0.8 / 3, 1.6 / 3, 0.8, 0.4])
    sparse = replace(recipes.PAPER, classifier_epochs=2, sum_over_y="sparse", exact_epochs=3)
    assert [sparse.at(epoch).joint for epoch in range(3)] == [False, False, True]
    assert [sparse.at(epoch).sum_over_y for epoch in range(2, 7)] == ["exact"] * 3 + ["sparse"] * 2
    assert fast.at(0).sum_over_y == "sparse" and recipes.PAPER.at(100).sum_over_y == "exact"
    assert all(recipes.PAPER.at(epoch).gamma == 0 and recipes.PAPER.at(epoch).rate == 1e-3 for epoch in (0, 100, 199))


def test_a_diverging_run_stops_with_epoch_step_and_advice():
    recipe = replace(recipes.PAPER, minimum_epoch=2000, epochs=3, learning_rate=1e3, clip=None)
    rngs = [np.random.default_rng(0)]
    task, model = tiny_task(rngs, recipe)
    with pytest.raises(training.Diverged, match=r"epoch 1, step \d+.*smaller learning rate"), np.errstate(all="ignore"):
        list(training.train(model, recipe, task, rngs))


def test_what_has_all_but_become_0_does():
    """Of a unit that is never active, whose weights nothing moves: else it comes to lie below the normal numbers, which
    are slow."""
    recipe, rngs = replace(recipes.PAPER, epochs=2, weight_prior=False), [np.random.default_rng(0)]
    task, model = tiny_task(rngs, recipe)
    run = training.train(model, recipe, task, rngs)
    state, _ = next(run)

    def weights(flat):
        W, b, W2, *_ = model.layout.views(flat)["q(y|x)"]
        return W[..., 0], b[..., 0], W2[:, 0]
    for flat, bias in ((state.theta, -1), (state.adam.m, 0), (state.adam.v, 0)):
        for array, value in zip(weights(flat), (1e-36, bias, 1e-36)):
            array[...] = value
    next(run)
    for flat in (state.theta, state.adam.m, state.adam.v):
        into, _, out = weights(flat)
        assert not into.any() and not out.any() and flat.any()


def test_while_it_is_held_q_of_y_does_not_move_and_then_slowly():
    recipe = replace(recipes.FAST_SMALL, epochs=3, classifier_epochs=1, minimum_epoch=1000, held=0.67)
    rngs, thetas = [np.random.default_rng(0)], []
    task, model = tiny_task(rngs, recipe)
    for state, terms in training.train(model, recipe, task, rngs):
        thetas.append(state.theta[0].copy())
        assert ("dreams" in terms) == (state.epoch in (2, 3)) and ("log q(y|x)" in terms)
    q, others = model.layout.span("q(y|x)"), slice(model.layout.span("q(y|x)").stop, None)
    steps = [(np.abs((b - a)[q]).max(), np.abs((b - a)[others]).max()) for a, b in zip(thetas, thetas[1:])]
    assert steps[0][0] == steps[1][0] == 0 and 0 < steps[2][0] < 0.1 * steps[2][1]
    assert min(step for _, step in steps) > 0


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_whole_model_starts_from_what_is_known(likelihood):
    """p(x|z) starts at the mean of x, whatever z is near 0, and q(z|x,y) with the first layer of q(y|x)."""
    recipe, rngs = recipes.FAST_SMALL, [np.random.default_rng(0)]
    task, model = tiny_task(rngs, recipe)
    model = replace(model, likelihood=likelihood)
    theta = np.stack([model.layout.initial(rngs[0])])
    training.warm_start(theta, model, task)
    params = model.layout.views(theta)
    mean = task.x[:, task.pixels].mean(axis=0) / 16
    found = params["p(x|z)"][-1][0, 0]
    found = 1 / (1 + np.exp(-found)) if likelihood == "bernoulli" else found[:len(mean)]
    np.testing.assert_allclose(found, mean, atol=1e-3)
    np.testing.assert_array_equal(params["q(z|x,y)"][0], params["q(y|x)"][0])
    np.testing.assert_array_equal(params["q(z|x,y)"][2], params["q(y|x)"][1])
