"""The open-set report on cases whose answer is known, and its figures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from microgmdgm import batches, openset, recipes
from microgmdgm.openset import figures as openset_plots

NAMES = ["ash", "oak", "new-0", "new-1", "new-2"]


def soft(slots, K=5, sure=0.96, twins=()):
    """q (N,K): `sure` for the slot of each row, the rest for its twin, or spread over all others."""
    q = np.full((len(slots), K), (1 - sure) / (K - 1))
    q[np.arange(len(slots)), slots] = sure
    for a, b in twins:
        for mine, other in ((a, b), (b, a)):
            rows = slots == mine
            q[rows] = 1e-9
            q[rows, mine], q[rows, other] = 0.6, 0.4
    return q / q.sum(axis=1, keepdims=True)


@pytest.fixture
def case():
    """Sixty rows: ten of ash, twenty of oak, fifteen each of new-0 and new-1, which are twins; new-2 is empty."""
    slots = np.repeat([0, 1, 2, 3], [10, 20, 15, 15])
    truth = np.array(["ash", "oak", "elm", "elm"])[slots]
    truth[:2] = "oak"
    x = np.column_stack([slots == 1, slots >= 2, np.arange(60) / 60, np.full(60, 3.0)]).astype(float)
    return slots, soft(slots, twins=[(2, 3)]), truth, x


def test_sizes_and_sureness_by_hand(case):
    slots, q, _, _ = case
    found = openset.analyse(openset.Rows(q, NAMES, 2))
    assert [slot.size for slot in found.slots] == [10, 20, 15, 15, 0]
    assert [slot.known for slot in found.slots] == [True, True, False, False, False]
    assert sum(slot.share for slot in found.slots) == pytest.approx(1)
    ash, empty = found.slots[0], found.slots[4]
    assert ash.confidence == pytest.approx(0.96)
    assert ash.entropy == pytest.approx(-0.96 * np.log(0.96) - 0.04 * np.log(0.01))
    assert found.slots[2].confidence == pytest.approx(0.6, abs=1e-6)
    assert (empty.confidence, empty.nearest, empty.typical, empty.truth) == (None, None, [], {})
    assert found.whole["rows"] == 60 and found.whole["share_new"] == 0.5 and found.whole["share_unsure"] == 0
    assert found.whole["slots_used"] == 4 and not found.whole["collapsed"]


def test_overlap_is_the_bhattacharyya_coefficient(case):
    _, q, _, _ = case
    o = openset.overlaps(q)
    weights = q / q.sum(axis=0)
    for j in range(5):
        for k in range(5):
            assert o[j, k] == pytest.approx(np.sqrt(weights[:, j] * weights[:, k]).sum())
    np.testing.assert_allclose(np.diag(o), 1)
    same = openset.overlaps(np.column_stack([0.3 * np.ones(9), 0.7 * np.ones(9)]))
    np.testing.assert_allclose(same, 1)
    np.testing.assert_allclose(openset.overlaps(np.eye(3)[[0, 1, 1]]), np.diag([1, 1, 0]))  # an empty slot: with none


def test_twins_look_like_parts_of_one_class(case):
    _, q, _, _ = case
    assert openset.analyse(openset.Rows(q, NAMES, 2)).alike == [["new-0", "new-1"]]
    apart = openset.analyse(openset.Rows(soft(case[0]), NAMES, 2))
    assert apart.alike == [] and apart.threshold == openset.LEAST


def test_known_classes_set_the_measure_of_likeness():
    """Two known classes that overlap by 0.7 are known to differ, so that an overlap of 0.6 says nothing."""
    o = np.eye(4)
    used = np.ones(4, dtype=bool)
    o[0, 1] = o[1, 0] = 0.7
    o[2, 3] = o[3, 2] = 0.6
    assert openset.alike(o, 2, used) == ([], 0.7)
    assert openset.alike(o, 1, used) == ([[0, 1], [2, 3]], openset.LEAST)
    o[1, 2] = o[2, 1] = o[2, 3] = o[3, 2] = 0.8
    assert openset.alike(o, 2, used) == ([[1, 2, 3]], 0.7)  # 1 and 3 by way of 2
    assert openset.alike(o, 2, used & (np.arange(4) != 2)) == ([], 0.7)  # but not by way of an empty slot


def test_the_nearest_known_class_has_the_largest_overlap():
    slots = np.repeat([0, 1, 2], 20)
    q = np.eye(3)[slots] * 0.9
    q[slots == 2, 1] += 0.08
    q[slots == 2, 0] += 0.02
    q[slots != 2, 2] += 0.1
    found = openset.analyse(openset.Rows(q, ["ash", "oak", "new-0"], 2))
    assert found.slots[2].nearest == "oak" and found.slots[0].nearest == "oak" and found.slots[1].nearest == "ash"
    assert found.slots[2].overlap == pytest.approx(openset.overlaps(q)[2, 1])


def test_examples_are_ordered_by_typicality_within_their_slot(case):
    slots, q, _, _ = case
    typicality = np.random.default_rng(0).normal(size=60)
    found = openset.analyse(openset.Rows(q, NAMES, 2, typicality=typicality), examples=4)
    for k, slot in enumerate(found.slots[:4]):
        members = np.flatnonzero(slots == k)
        ordered = members[np.argsort(-typicality[members])]
        assert slot.typical == ordered[:4].tolist() and slot.untypical == ordered[::-1][:4].tolist()
    surest = openset.analyse(openset.Rows(np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3]]), ["a", "b"], 1))
    assert surest.slots[0].typical == [1, 2, 0]


def test_profiles_are_in_standard_deviations(case, monkeypatch):
    slots, q, _, x = case
    monkeypatch.setattr(batches, "BLOCK", 30)  # seven rows at a time
    found = openset.analyse(openset.Rows(q, NAMES, 2, x=x, feature_names=["a", "b", "c", "constant"]), examples=2)
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    for k in range(4):
        np.testing.assert_allclose(found.profile[k, :3], z[slots == k, :3].mean(axis=0), atol=1e-12)
    assert not found.profile[:, 3].any() and not found.profile[4].any()
    name, deviation = found.slots[1].features[0]
    assert name == "a" and deviation == pytest.approx(z[slots == 1, 0].mean()) and len(found.slots[1].features) == 2


def test_a_truth_splits_the_slots(case):
    _, q, truth, _ = case
    found = openset.analyse(openset.Rows(q, NAMES, 2, truth=truth))
    assert found.slots[0].truth == {"ash": 8, "oak": 2} and found.slots[2].truth == {"elm": 15}
    assert found.classes == ["ash", "elm", "oak"] and found.whole["accuracy"] == pytest.approx(58 / 60)
    assert "in truth 8 of ash, 2 of oak" in str(found)


def test_collapse_is_said():
    found = openset.analyse(openset.Rows(np.full((40, 4), 0.25) + 1e-6 * np.arange(4), list("abcd"), 2))
    assert found.whole["collapsed"] and "y has collapsed" in str(found) and found.whole["share_unsure"] == 1


def test_the_report_is_json_and_text(case):
    _, q, truth, x = case
    found = openset.analyse(openset.Rows(q, NAMES, 2, x=x, truth=truth))
    again = json.loads(json.dumps(found.as_dict()))
    assert again["slots"][1]["name"] == "oak" and np.shape(again["overlaps"]) == (5, 5)
    assert again["alike"] == found.alike == [["new-0", "new-1"]]
    lines = str(found).splitlines()
    assert lines[0].startswith("60 rows: 50.0 % in new slots, 0.0 % unsure") and len(lines) == 2 + 5 + 1
    assert lines[-1] == "These slots look like parts of one class: new-0, new-1."


@pytest.mark.parametrize("change, message", [
    ({"q": np.ones((60, 4))}, r"q must be \(N, 5\)"), ({"q": np.ones((0, 5))}, "N > 0"),
    ({"q": np.ones(60)}, "q must be"), ({"known": 6}, "of which 6 are known"),
    ({"truth": np.zeros(3)}, "truth must have a row for each of the 60 of q, not 3"),
    ({"x": np.zeros((59, 2))}, "x must have a row"), ({"typicality": np.zeros(61)}, "typicality must have a row")])
def test_what_does_not_fit_is_refused(case, change, message):
    arguments = {"q": case[1], "names": NAMES, "known": 2, **change}
    with pytest.raises(ValueError, match=message):
        openset.Rows(**arguments)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_figure_has_titles_labels_and_the_numbers(case, tmp_path):
    _, q, truth, x = case
    found = openset.analyse(openset.Rows(q, NAMES, 2, x=x, truth=truth), examples=3)
    drawn = {name: draw() for name, draw in openset_plots.figures(found).items()}
    assert list(drawn) == ["sizes", "overlaps", "truth", "profile"]
    images = {name: draw() for name, draw in openset_plots.figures(found, x, (2, 2)).items()}
    assert list(images) == ["examples", "sizes", "overlaps", "truth"]
    for name, figure in {**drawn, **images}.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert figure.axes[0].get_title()
        assert figure.axes[0].get_ylabel() == {"profile": "feature", "truth": "true class"}.get(name, "slot")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert " 96 % sure" in texts(drawn["sizes"]) and " empty" in texts(drawn["sizes"])
    framed = drawn["overlaps"].axes[0].patches
    assert "0.98" in texts(drawn["overlaps"]) and sorted(p.get_x() for p in framed) == [1.5, 2.5]  # the twins
    assert "0.80" in texts(drawn["truth"]) and "0.20" in texts(drawn["truth"])
    bars = drawn["sizes"].axes[0].patches
    assert [bar.get_width() for bar in bars] == [10, 20, 15, 15, 0]


def test_a_fitted_estimator_reports_on_its_rows():
    from microgmdgm.sklearn import SemiUnsupervisedClassifier
    from .test_sklearn import blobs
    X, y, given = blobs()
    recipe = replace(recipes.FAST_TABLE, minimum_epoch=4000, classifier_epochs=2, epochs=1)
    model = SemiUnsupervisedClassifier(recipe=recipe, hidden_units=40, random_state=0).fit(X, given)
    found = openset.report(model, X, truth=y, examples=5)
    assert [(slot.name, slot.known) for slot in found.slots] == [("0", True), ("1", True), ("2", False)]
    assert found.whole["accuracy"] > 0.95 and found.slots[2].truth["2"] > 25 and found.alike == []
    bound = model.score_samples(X)
    members = np.flatnonzero(model.predict(X) == 2)
    assert found.slots[2].typical[0] == members[bound[members].argmax()]
    assert found.slots[2].features[0][0] == "x2"  # the feature that is 6 higher in that group


def test_a_known_slot_that_may_have_swallowed_a_new_class_is_named():
    """Two slots that look alike, one of them known, and almost no row in the new slots where half were expected."""
    q = np.tile([0.5, 0.02, 0.48], (100, 1))
    q[:50] = [0.02, 0.96, 0.02]
    q[50] = [0.48, 0.02, 0.5]
    found = openset.analyse(openset.Rows(q, ["ash", "oak", "new-0"], 2), prior=(0.25, 0.25, 0.5))
    assert any("ash, new-0" in hint and "ash has swallowed some of a new class" in hint for hint in found.hints)
    assert any("Only 1.0 % of the rows lie in new slots, where 50 % were expected" in hint for hint in found.hints)
    assert "new-0 (new)" in str(found) and all(hint in str(found) for hint in found.hints)


def test_a_truth_says_how_well_new_classes_are_told():
    q = np.array([[0.9, 0.1]] * 6 + [[0.2, 0.8]] * 4)
    truth = np.array(["ash"] * 5 + ["elm"] * 4 + ["ash"])
    whole = openset.analyse(openset.Rows(q, ["ash", "new-0"], 1, truth=truth)).whole
    assert whole["recall_new"] == 3 / 4 and whole["precision_new"] == 3 / 4 and whole["accuracy_unlabelled_classes"] == 3 / 4
    assert whole["auroc_new"] == pytest.approx((3 * 5 + 0.5 * 3 + 0.5 * 5) / 24)
    numbers = np.where(truth == "ash", 1, 2)
    for kind, name in ((int, 1), (float, 1), (int, 1.0)):  # NaN among labels makes 1.0 of 1
        rows = openset.Rows(q, [name, 2], 1, truth=numbers.astype(kind).tolist())
        assert openset.analyse(rows, prior=np.full(2, 0.5)).whole["recall_new"] == 3 / 4
    one = openset.analyse(openset.Rows(q, ["ash", "new-0"], 1, truth=np.full(10, "ash"))).whole
    assert "auroc_new" not in one
