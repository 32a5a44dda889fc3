"""One class, one slot: planted cases, and what merging leaves of a network."""

from dataclasses import replace

import numpy as np
import pytest

from microgmdgm import data, models, recipes, slots, training
from microgmdgm.distributions import log_softmax
from microgmdgm.slots import Slots
from .conftest import MODELS, random_theta, small_model


def planted(rows, K, leak=0.1):
    """P where an example is in slot j under one map and in k under the other: {(j, k): how many}."""
    P = np.full((K, K), leak / K**2)
    for (j, k), n in rows.items():
        P[j, k] += n / 2
        P[k, j] += n / 2
    return P / P.sum()


def updated(rows, K, known, threshold=0.2, prior=None, guide=0.4):
    groups, found = slots.update(Slots(prior or [1 / K] * K, []), planted(rows, K), known=known, least=0.1 / K, threshold=threshold,
                                 merge_known=2, guide=guide, even=0.8, epoch=8)
    return [groups[k] for k in sorted(groups)], found


def test_two_slots_of_one_class_merge_and_others_stay():
    """Slots 2 and 3 are one class under maps, 4 is another, 0 and 1 are known."""
    rows = {(0, 0): 100, (1, 1): 100, (2, 2): 40, (3, 3): 30, (2, 3): 30, (4, 4): 100, (2, 4): 3}
    groups, found = updated(rows, 5, known=2)
    assert groups == [[0], [1], [2, 3], [4]] and found.alive == [0, 1, 2, 4]
    (epoch, slot, into, c), = found.merges
    assert (epoch, slot, into) == (8, 3, 2) and c == pytest.approx(15 / np.sqrt(40 * 30), rel=0.01)
    np.testing.assert_allclose(np.array(found.prior)[found.alive], 1 / 4)  # shares within 1.25 of their mean


def test_rare_classes_stay_rare_and_common_ones_common():
    """Shares of .4, .27, .23 and .1, whose mean is .25."""
    _, found = updated({(0, 0): 40, (1, 1): 27, (2, 2): 23, (3, 3): 10}, 4, known=2)
    near = np.array([40 / 1.25, 25, 25, 10 * 1.25])
    np.testing.assert_allclose(found.prior, near / near.sum(), rtol=2e-3)
    share = np.array([0.4, 0.27, 0.23, 0.1])
    np.testing.assert_allclose(slots.evened(share, 1), share)
    np.testing.assert_allclose(slots.evened(share, 0.01), 0.25)


def test_a_class_in_three_slots_merges_by_sums():
    """The ends of a chain share little with each other, but much with the middle."""
    groups, found = updated({(0, 0): 30, (1, 1): 30, (2, 2): 30, (0, 1): 20, (1, 2): 20, (3, 3): 90}, 4, known=0)
    assert groups == [[0, 1, 2], [3]] and len(found.merges) == 2


def test_known_classes_never_merge_but_take_in_new_slots():
    """Slots 0 and 1 are known and wholly confused; 2 is a part of 1."""
    groups, _ = updated({(0, 0): 50, (1, 1): 50, (0, 1): 100, (2, 2): 20, (1, 2): 20, (3, 3): 90}, 4, known=2)
    assert groups == [[0], [1, 2], [3]]


def test_two_new_slots_as_close_as_two_known_classes_stay_apart():
    """Two known classes have c = 0.3; two new slots 0.4, and two others 0.7."""
    rows = {(0, 0): 50, (1, 1): 50, (0, 1): 30, (2, 2): 50, (3, 3): 50, (2, 3): 40, (4, 4): 50, (5, 5): 50, (4, 5): 70}
    assert updated(rows, 6, known=2)[0] == [[0], [1], [2], [3], [4, 5]]
    assert updated(rows, 6, known=2, guide=0.2)[0] == [[0], [1], [2, 3], [4, 5]]  # 0.3 is too much to be a guide
    assert updated(rows, 6, known=1)[0] == [[0, 1], [2, 3], [4, 5]]  # nothing to compare with


def test_a_known_slot_that_took_in_a_new_one_is_still_known():
    """Once 2 is part of 0, what is left of it is as confused with 1; 0 and 1 are known."""
    groups, _ = updated({(0, 0): 50, (1, 1): 50, (2, 2): 50, (0, 2): 50, (1, 2): 40, (0, 1): 30}, 3, known=2, guide=0)
    assert groups == [[0, 2], [1]]


def test_an_empty_slot_is_dropped_and_an_empty_known_one_is_not():
    groups, found = updated({(2, 2): 100, (3, 3): 100}, 5, known=2)
    assert groups == [[0], [1], [2], [3]] and all(p > slots.GONE for p in found.prior[:4])
    assert found.prior[4] == pytest.approx(slots.GONE)
    again, found = slots.update(found, planted({(2, 2): 100, (4, 4): 100}, 5), known=2, least=0.02, threshold=0.2, merge_known=2, guide=0.4, even=0.8,
                                epoch=9)
    assert sorted(again) == found.alive == [0, 1, 2]  # what is gone does not come back


def test_confusability_is_symmetric_and_its_rows_are_the_shares():
    rng = np.random.default_rng(0)
    log_q, log_q2 = (log_softmax(2 * rng.standard_normal((3, 50, 4)))[0] for _ in range(2))
    P = slots.confusability(log_q, log_q2)
    np.testing.assert_allclose(P, P.mT)
    np.testing.assert_allclose(P.sum(axis=-1), (np.exp(log_q) + np.exp(log_q2)).mean(axis=1) / 2)
    same = slots.confusability(log_q[0], log_q[0])
    half = np.concatenate([log_q[0] + np.log(0.5)] * 2, axis=1)  # every slot in two halves
    c = slots.normalised(slots.confusability(half, half))
    np.testing.assert_allclose(c[:4, 4:], slots.normalised(same))
    np.testing.assert_allclose(np.diag(c[:4, 4:]), 1)


def test_the_merged_slot_has_the_sum_of_equal_ones():
    """Where the columns of a group are equal, q of the merged slot is the sum over the group; what is gone gets none."""
    rng = np.random.default_rng(1)
    W, b, h = rng.standard_normal((6, 5)), rng.standard_normal((1, 5)), rng.standard_normal((9, 6))
    W[:, 3], b[:, 3] = W[:, 1], b[:, 1]
    mean, more = slots.averages({0: [0], 1: [1, 3], 2: [2]}, 5)
    before, after = (np.exp(log_softmax(logits)[0]) for logits in (h @ W + b, h @ (W @ mean) + (b @ mean + more)))
    left = before[:, :4] / before[:, :4].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after[:, :3], np.stack([left[:, 0], left[:, 1] + left[:, 3], left[:, 2]], 1), rtol=1e-6)
    assert after[:, 3:].max() < 1e-20


@pytest.mark.parametrize("name, likelihood", MODELS)
def test_a_compact_model_is_the_same_without_the_slots_that_are_gone(name, likelihood):
    rng = np.random.default_rng(2)
    model = small_model(name, likelihood)
    theta = random_theta(model, rng)
    model.layout.views(theta)["q(y|x)"][-1][:, 1] = slots.NEVER
    prior = [0.3, slots.GONE, 0.5, 0.2 - slots.GONE]
    small, kept = slots.compact(model, theta, Slots(prior, []))
    assert small.K == 3 and kept.shape == (small.layout.size,)
    np.testing.assert_allclose(small.prior, [0.3, 0.5, 0.2], rtol=1e-6)
    x, eps, model = rng.random((4, model.X)), rng.standard_normal((4, model.Z)), replace(model, prior=tuple(prior))
    full, less = model.layout.views(theta), small.layout.views(kept)
    np.testing.assert_allclose(models.log_q_y(full["q(y|x)"], x)[0][:, [0, 2, 3]], models.log_q_y(less["q(y|x)"], x)[0])
    there, here = np.array([0, 2, 3, 3]), np.array([0, 1, 2, 2])
    np.testing.assert_allclose(models.bound_given_y(model, full, x=x, y=there, eps=eps)[0],
                               models.bound_given_y(small, less, x=x, y=here, eps=eps)[0], rtol=1e-6)


RECIPE = replace(recipes.FAST, classifier_epochs=8, epochs=1, minimum_epoch=20_000, merge_from=6, first_epochs=7,
                 first_maps=4 / 3)


def fitted(recipe, rngs, model="gm-dgm"):
    settings = dict(labelled_classes=(0, 1, 2, 3, 4), labels_per_class=10, extra_classes=5, Z=5, H=100)
    model, task, rngs = training.prepare(model, recipe, data.digits(), rngs, **settings)
    *_, (state, _) = training.train(model, recipe, task, rngs)
    return state, state.trained(model, task)


def test_training_merges_slots_and_leaves_them_out():
    state, (trained,) = fitted(RECIPE, [0])
    assert state.slots[0].merges and {epoch for epoch, *_ in state.slots[0].merges} <= {6, 7}
    assert trained.model.K == len(state.slots[0].alive) < 15
    x = data.digits().x_test
    q = trained.predict_proba(x)
    assert q.shape[1] == trained.model.K and np.isfinite(trained.bound(x)).all()
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    assert np.mean(q.argmax(axis=1)[data.digits().y_test == 0] == 0) > 0.8  # a labelled class keeps its slot


def test_new_classes_are_rare_if_few_examples_are_in_their_slots():
    prior = [0.25, 0.25, 0.25, 0.25]  # two known classes, and two new slots
    chosen = np.repeat([0, 1, 2, 3], [35, 30, 20, 15])
    assert slots.rare(chosen, prior, 2) and not slots.rare(chosen, prior, 1)
    assert not slots.rare(np.repeat([0, 1, 2, 3], [30, 30, 20, 20]), prior, 2)
    assert not slots.rare(chosen, prior, 0) and not slots.rare(chosen, prior, 4)  # nothing known, or nothing new


@pytest.mark.parametrize("share", [1, 0.2])
def test_balance_tolerates_rare_new_classes_and_only_these(share):
    """Two runs at once on all digits, or on those where four of five images of never-labelled digits are left out."""
    digits, rng = data.digits(), np.random.default_rng(0)
    kept = (digits.y_train < 5) | (rng.random(len(digits.y_train)) < share)
    few = replace(digits, x_train=digits.x_train[kept], y_train=digits.y_train[kept])
    recipe = replace(RECIPE, tolerance=0.7, classifier_epochs=3, merge_from=0)
    model, task, rngs = training.prepare("gm-dgm", recipe, few, [0, 1], labelled_classes=(0, 1, 2, 3, 4),
                                         labels_per_class=10, extra_classes=5, Z=5, H=100)
    states = [[each.tolerance for each in state.slots] for state, _ in training.train(model, recipe, task, rngs)]
    assert states == [[1, 1]] + 3 * [[1, 1] if share == 1 else [0.7, 0.7]]


def test_the_surest_slots_merge_first(monkeypatch):
    """The threshold falls by equal factors from merge_above to merge_last, and a merge is above that of its epoch."""
    assert [recipes.FAST.merge_threshold(epoch) for epoch in (6, 8, 10)] == pytest.approx([0.5, np.sqrt(0.5 * 0.14), 0.14])
    asked, update = {}, training.update
    monkeypatch.setattr(training, "update", lambda slots, P, **more: (
        asked.update({more["epoch"]: (more["threshold"], more["merge_known"], more["guide"])}), update(slots, P, **more))[1])
    state, _ = fitted(RECIPE, [0])
    assert asked == {6: pytest.approx((0.5, 1.5, 0.4)), 7: pytest.approx((0.14, 1.5, 0.4))}
    assert all(c > asked[epoch][0] for epoch, *_, c in state.slots[0].merges)


def test_one_setting_keeps_all_slots():
    state, (trained,) = fitted(replace(RECIPE, merge_from=0, minimum_epoch=1_000), [0])
    assert trained.model.K == 15 and state.slots[0].merges == []
    np.testing.assert_allclose(trained.model.prior, data.slot_prior(10, 5, 5))


def test_the_recipe_says_how_even_p_y_becomes():
    even = fitted(replace(RECIPE, minimum_epoch=1_000, even=0.01), [0])[1][0].model.prior
    shares = fitted(replace(RECIPE, minimum_epoch=1_000, even=1.0), [0])[1][0].model.prior
    assert max(even) < 1.001 * min(even) and max(shares) > 1.1 * min(shares)


def test_runs_at_once_merge_each_for_itself():
    recipe = replace(RECIPE, minimum_epoch=4_000)
    both, trained = fitted(recipe, [0, 1])
    for r, seed in enumerate((0, 1)):
        alone, (single,) = fitted(recipe, [seed])
        assert alone.slots[0].alive == both.slots[r].alive and single.model.K == trained[r].model.K
        np.testing.assert_allclose(alone.slots[0].prior, both.slots[r].prior, rtol=1e-3)


def test_the_model_that_is_trained_with_does_not_change_what_q_learns():
    """Until the joint epochs both models have one q(y|x): the same noise, the same start."""
    recipe = replace(RECIPE, classifier_epochs=4, merge_from=2, first_epochs=3, minimum_epoch=1_000)
    thetas = []
    for name in ("gm-dgm", "m2"):
        model, task, rngs = training.prepare(name, recipe, data.digits(), [0], labelled_classes=(0, 1),
                                             labels_per_class=5, Z=5, H=20)
        for state, _ in training.train(model, recipe, task, rngs):
            if state.epoch == recipe.classifier_epochs:
                thetas.append(state.theta[:, model.layout.span("q(y|x)")].copy())
    np.testing.assert_array_equal(*thetas)
