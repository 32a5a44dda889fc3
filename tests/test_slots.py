"""One class, one slot: planted cases, and what merging leaves of a network."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from microgmdgm import data, merging, models, recipes, slots, training
from microgmdgm.distributions import log_softmax
from microgmdgm.evaluation import evaluate
from microgmdgm.slots import Slots
from .conftest import MODELS, random_theta, small_model


def planted(rows, K, leak=0.1):
    """P where an example is in slot j under one map and in k under the other: {(j, k): how many}."""
    P = np.full((K, K), leak / K**2)
    for (j, k), n in rows.items():
        P[j, k] += n / 2
        P[k, j] += n / 2
    return P / P.sum()


RULES = replace(recipes.FAST, merge_above=0.2, merge_last=0.2, merge_known=2, merge_guide=0.4, even=0.8)


def updated(rows, K, known, seated=None, **rules):
    groups, found = slots.update(Slots([1 / K] * K, []), planted(rows, K), replace(RULES, **rules), 8, known=known,
                                 least=0.1 / K, seated=seated)
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


def test_slots_that_say_nothing_stay():
    """Where q(y|x) is flat, or an example's slot under one map says nothing of that under another, each c is 1."""
    every = {(j, k): 10 for j in range(4) for k in range(4)}
    groups, found = updated(every, 4, known=0)
    assert groups == [[0], [1], [2], [3]] and not found.merges and found.prior == [1 / 4] * 4
    for rows in (every | {(0, 0): 400}, every | {(2, 2): 400}):  # one slot tells itself from the others
        groups, found = updated(rows, 4, known=0)
        assert len(groups) == 2 and len(found.merges) == 2


def test_a_class_in_three_slots_merges_by_sums():
    """The ends of a chain share little with each other, but much with the middle."""
    groups, found = updated({(0, 0): 30, (1, 1): 30, (2, 2): 30, (0, 1): 20, (1, 2): 20, (3, 3): 90}, 4, known=0)
    assert groups == [[0, 1, 2], [3]] and len(found.merges) == 2


def test_where_all_is_one_class_no_two_slots_are_close():
    groups, found = updated({(0, 0): 30, (1, 1): 30, (2, 2): 30, (0, 1): 30, (1, 2): 30, (0, 2): 30, (3, 3): 1}, 4, known=0,
                            merge_above=0.01, merge_last=0.01)
    assert len(groups) == 1 and found.closest == 0


def test_known_classes_never_merge_but_take_in_new_slots():
    """Slots 0 and 1 are known and wholly confused; 2 is a part of 1."""
    groups, _ = updated({(0, 0): 50, (1, 1): 50, (0, 1): 100, (2, 2): 20, (1, 2): 20, (3, 3): 90}, 4, known=2)
    assert groups == [[0], [1, 2], [3]]


def test_two_new_slots_as_close_as_two_known_classes_stay_apart():
    """Two known classes have c = 0.3; two new slots 0.4, and two others 0.7."""
    rows = {(0, 0): 50, (1, 1): 50, (0, 1): 30, (2, 2): 50, (3, 3): 50, (2, 3): 40, (4, 4): 50, (5, 5): 50, (4, 5): 70}
    assert updated(rows, 6, known=2)[0] == [[0], [1], [2], [3], [4, 5]]
    assert updated(rows, 6, known=2, merge_guide=0.2)[0] == [[0], [1], [2, 3], [4, 5]]  # 0.3 is too much to be a guide
    assert updated(rows, 6, known=1)[0] == [[0, 1], [2, 3], [4, 5]]  # nothing to compare with


def test_parts_of_one_class_merge_also_where_known_classes_overlap_much():
    """Two known classes have c = 0.6: half way to 1 is 0.8, twice as much would be never."""
    rows = {(0, 0): 50, (1, 1): 50, (0, 1): 60, (2, 2): 50, (3, 3): 50, (2, 3): 75, (4, 4): 50, (5, 5): 50, (4, 5): 90}
    assert updated(rows, 6, known=2, merge_guide=1)[0] == [[0], [1], [2], [3], [4, 5]]


def test_a_new_slot_without_labelled_examples_of_a_known_class_is_no_part_of_it_unless_c_is_large():
    """2 and 3 are as confused with 0, c = 0.5, and as large; of 20 labelled examples of class 0 six lie in 2, none in 3."""
    rows = {(0, 0): 40, (2, 2): 40, (3, 3): 40, (0, 2): 40, (0, 3): 40, (1, 1): 90}
    seated = np.array([[14.0, 0, 6, 0], [0, 20, 0, 0]])
    assert updated(rows, 4, known=2, merge_guide=0)[0] == [[0, 2, 3], [1]]
    assert updated(rows, 4, known=2, merge_guide=0, seated=seated, merge_absent=0.7)[0] == [[0, 2], [1], [3]]
    assert updated(rows, 4, known=2, merge_guide=0, seated=seated, merge_absent=0.25)[0] == [[0, 2, 3], [1]]
    assert updated(rows, 4, known=2, merge_guide=0, seated=seated / 10, merge_absent=0.7)[0] == [[0, 2, 3], [1]]  # two labels are too few


def test_labelled_examples_are_missing_where_a_random_sample_of_the_class_would_have_some():
    """Of 20 in two equal parts so many as chance gives one of them with a probability of 0.01."""
    share = np.array([0.1, 0.1, 0.05])
    for n in range(11):
        assert slots.missing(np.array([[20.0 - n, n, 0]]), share)[0, 1] == (binom.cdf(n, 20, 0.5) < 0.01)
    assert slots.missing(np.array([[20.0, 0, 0]]), share)[0].tolist() == [False, True, True]
    assert slots.missing(np.array([[10.0, 0, 0]]), share)[0].tolist() == [False, True, False]  # a third of ten is too little


def test_labelled_examples_lie_in_the_slots_of_their_neighbours():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(at, 0.1, (30, 2)) for at in (0, 3, 6)])
    seated = slots.seats(x, np.repeat([0, 2, 1], 30), np.array([[0, 0], [3, 3], [6, 6.0]]), np.array([0, 0, 1]), (2, 4))
    np.testing.assert_allclose(seated, [[1, 0, 1, 0], [0, 1, 0, 0]])
    few = slots.seats(x[:3], np.zeros(3, dtype=int), x[:1], np.array([1]), (2, 4))
    np.testing.assert_allclose(few, [[0, 0, 0, 0], [1, 0, 0, 0]])


def test_a_known_slot_that_took_in_a_new_one_is_still_known():
    """Once 2 is part of 0, what is left of it is as confused with 1; 0 and 1 are known."""
    groups, _ = updated({(0, 0): 50, (1, 1): 50, (2, 2): 50, (0, 2): 50, (1, 2): 40, (0, 1): 30}, 3, known=2, merge_guide=0)
    assert groups == [[0, 2], [1]]


def test_an_empty_slot_is_dropped_and_an_empty_known_one_is_not():
    groups, found = updated({(2, 2): 100, (3, 3): 100}, 5, known=2)
    assert groups == [[0], [1], [2], [3]] and all(p > slots.GONE for p in found.prior[:4])
    assert found.prior[4] == pytest.approx(slots.GONE)
    again, found = slots.update(found, planted({(2, 2): 100, (4, 4): 100}, 5), RULES, 9, known=2, least=0.02)
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


def test_training_asks_where_labelled_examples_lie_if_they_are_few(monkeypatch):
    """Each of two runs, of its own labels; and if they were all in their own slots, no new one would be a part of these."""
    recipe, seats, seen = replace(RECIPE, merge_absent=0.999), merging.seats, []
    monkeypatch.setattr(merging, "seats", lambda *given: seen.append(seats(*given)) or seen[-1])
    fitted(recipe, [0, 1])
    for seated in seen:
        np.testing.assert_allclose(seated.sum(axis=1), 10)  # labels a class
        assert np.diag(seated).mean() > 8 and seated[:, :5].sum() < 50
    assert len(seen) == 4 and not np.array_equal(seen[0], seen[1])
    monkeypatch.setattr(merging, "SCARCE", 0.04)  # 50 of 1,198 are more than that
    fitted(recipe, [0, 1])
    assert len(seen) == 4
    monkeypatch.undo()
    monkeypatch.setattr(merging, "seats", lambda *given: 1000 * np.eye(*given[-1]))
    states, _ = fitted(recipe, [0, 1])
    assert not [merge for each in states.slots for merge in each.merges if merge[2] < 5]
    unasked, _ = fitted(replace(RECIPE, merge_absent=0.0), [0, 1])
    assert [merge for each in unasked.slots for merge in each.merges if merge[2] < 5]


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
    short = replace(recipes.FAST, classifier_epochs=8)  # fewer than first_epochs
    assert [short.merge_threshold(epoch) for epoch in (6, short.last_merge)] == pytest.approx([0.5, 0.14])
    asked, update = [], merging.update
    monkeypatch.setattr(merging, "update", lambda slots, P, recipe, epoch, **more: (
        asked.append(epoch), update(slots, P, recipe, epoch, **more))[1])
    state, _ = fitted(RECIPE, [0])
    assert asked == [6, 7] and RECIPE.merge_threshold(7) == pytest.approx(0.14)
    assert all(c > RECIPE.merge_threshold(epoch) for epoch, *_, c in state.slots[0].merges)


def test_examples_that_are_all_alike_have_even_halves():
    w, b = slots.bisect(np.ones((5, 3), np.float32), np.ones((5, 3), np.float32))
    assert not w.any() and b == 0


def test_a_new_slot_that_holds_twice_the_usual_is_crowded():
    groups = {0: [0], 1: [1], 2: [2], 3: [3, 4], 5: [5]}

    def crowded(one, known=1, above=1.7):
        P = planted({(0, 0): 20, (1, 1): one, (2, 2): 20, (3, 3): 25, (4, 4): 15, (5, 5): 20}, 6)
        return [(slot, round(times, 1)) for slot, times in slots.crowded(groups, P, known, above)]
    assert crowded(20) == crowded(10) == crowded(25) == [(3, 2.0)]
    assert crowded(20, above=2.1) == []
    assert crowded(28) == []  # classes are not equally frequent
    assert crowded(40) == [(1, 2.0), (3, 2.0)] and crowded(40, known=2) == []  # neither if a known one is frequent


@pytest.mark.parametrize("turned", [0, 1])
def test_halves_are_told_apart_by_what_maps_do_not_change(turned):
    """Two classes differ a little in one direction; maps change all others much more."""
    rng = np.random.default_rng(turned)
    axes = np.linalg.qr(rng.standard_normal((20, 20)))[0] if turned else np.eye(20)
    y, spread = rng.integers(0, 2, 600), np.r_[0.2, np.full(19, 3.0)]
    centre = np.outer(2.0 * y, np.eye(20)[0]) + 0.1 * rng.standard_normal((600, 20))
    h, h2 = ((5 + (centre + spread * rng.standard_normal((600, 20))) @ axes).astype(np.float32) for _ in range(2))
    w, b = slots.bisect(h, h2)
    for part in (h, h2):
        second = part @ w + b > 0
        assert max(np.mean(second == y), np.mean(second != y)) > 0.98
    assert np.std((h + h2) / 2 @ w + b) == pytest.approx(slots.SURE, rel=1e-3)


def one_too_few(monkeypatch):
    """Let the two new slots that are largest after epoch 7, two digits, be taken for one.
    -> a list, to which training adds these two"""
    update, taken = merging.update, []

    def worse(found, P, recipe, epoch, *, known, **more):
        if epoch == 7:
            big = sorted(range(known, len(P)), key=lambda k: -P[k, k])[:2]
            P = P.copy()
            P[np.ix_(big, big)] = np.sqrt(np.outer(np.diag(P)[big], np.diag(P)[big]))
            taken.append(sorted(big))
        return update(found, P, recipe, epoch, known=known, **more)
    monkeypatch.setattr(merging, "update", worse)
    return taken


def test_a_slot_of_two_classes_is_split(monkeypatch):
    accuracies = []
    for above in (0, 1.7):
        with monkeypatch.context() as patch:
            taken = one_too_few(patch)
            patch.setattr(merging, "crowded", lambda *_, taken=taken: [(taken[0][0], 2.0)])
            state, (trained,) = fitted(replace(RECIPE, split_above=above), [0])
        found = evaluate(trained.predict_proba(data.digits().x_test), data.digits().y_test, C=10,
                         labelled_classes=(0, 1, 2, 3, 4), prior=trained.model.prior)
        accuracies.append(found["accuracy"])
        assert trained.splits == tuple(map(tuple, state.slots[0].splits))
    (epoch, slot, new, times), = trained.splits
    assert (epoch, slot, times) == (7, taken[0][0], 2.0) and new not in range(5)
    assert "was split in two: two classes that look alike" in slots.in_words(trained)
    assert accuracies[1] > accuracies[0] + 0.06  # a digit more


def test_a_run_that_splits_no_slot_is_as_it_was(monkeypatch):
    """Two runs at once, of which the first has a slot split: the two halves share what it had."""
    recipe, before = replace(RECIPE, split_above=1.0), {}
    monkeypatch.setattr(merging, "crowded", lambda groups, P, known, above: [] if before else [
        (max((k for k in groups if k >= known), key=lambda k: P[k, k]), 2.0)])
    split_slots = merging.split_slots

    def watched(state, r, phase, crowds, seen):
        theta = state.theta.copy()
        before[r] = state.slots[r].prior
        split_slots(state, r, phase, crowds, seen)
        layers = [[array[r] for array in phase.layout.views(flat[:, phase.part])["q(y|x)"]] for flat in (theta, state.theta)]
        if not crowds:
            assert np.array_equal(theta, state.theta)
            return
        (_, old, new, _), = state.slots[r].splits
        tx = np.concatenate([tx[r] for tx, _ in seen])
        q, q2 = (np.exp(models.log_q_y(each, tx)[0]) for each in layers)
        others = [k for k in range(15) if k not in (old, new)]
        assert q[:, new].max() < 1e-6 and np.abs(q2[:, old] + q2[:, new] - q[:, old]).mean() < 0.5 * q[:, old].mean()
        assert 0.2 < q2[:, old].mean() / q[:, old].mean() < 0.8 and np.abs(q2 - q)[:, others].mean() < 0.01
        assert state.slots[r].prior[old] == state.slots[r].prior[new] == before[r][old] / 2
        for flat in (state.adam.m, state.adam.v):
            *_, W, b = phase.layout.views(flat)["q(y|x)"]
            assert np.array_equal(W[r][:, old], W[r][:, new]) and np.array_equal(b[r][:, old], b[r][:, new])
    monkeypatch.setattr(merging, "split_slots", watched)
    state, _ = fitted(recipe, [0, 1])
    assert sorted(before) == [0, 1] and len(state.slots[0].splits) == 1 and state.slots[1].splits == []


def test_one_setting_keeps_all_slots():
    state, (trained,) = fitted(replace(RECIPE, merge_from=0, minimum_epoch=1_000), [0])
    assert trained.model.K == 15 and state.slots[0].merges == []
    np.testing.assert_allclose(trained.model.prior, data.slot_prior(10, 5, 5))


def test_the_recipe_says_how_even_p_y_becomes():
    even = fitted(replace(RECIPE, minimum_epoch=3_000, even=0.01), [0])[1][0].model.prior
    shares = fitted(replace(RECIPE, minimum_epoch=3_000, even=1.0), [0])[1][0].model.prior
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
