"""A run that went wrong says so, and a sound one says nothing."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning

from microgmdgm import data, experiment, recipes
from microgmdgm.experiment.folder import Folder
from microgmdgm.experiment.table1 import warnings_of
from microgmdgm.signs import rising, signs
from microgmdgm.sklearn import SemiUnsupervisedClassifier
from .test_sklearn import blobs, hide, quick

PRIOR = (0.25,) * 4
SLOTS = np.arange(100) // 25                    # 25 rows in each of four slots,
GIVEN = np.where(SLOTS < 2, SLOTS, -1)          # of which labels know the first two
CASES = {
    "y has collapsed: it says almost nothing of x (I(x;y) = 0.00 nats, 1 of 4 slots in use)": {"q": np.full((100, 4), 0.25)},
    "Only 3 slots are in use, but there are 4 classes": {"chosen": np.where(SLOTS == 3, 2, SLOTS)},
    "Only 0.0 % of the rows lie in new slots, where 50 % were expected": {"chosen": SLOTS % 2, "classes": 2},
    "Only 6.0 % of the rows lie in new slots, where 50 % were expected": {  # which p(y) was fitted to after merging
        "chosen": np.where(np.arange(100) < 94, np.arange(100) % 2, 2), "prior": (0.44, 0.44, 0.12), "classes": 3},
    "Most rows with the label oak lie in the slot of ash": {"chosen": np.where(np.arange(100) % 50 < 40, SLOTS // 2 * 2, SLOTS)},
    "Most rows with the label oak lie in a new slot": {"chosen": np.where((SLOTS == 1) & (np.arange(100) < 45), 2, SLOTS)},
    "q(y|x) is unsure of 25 % of the rows": {"sure": np.where(SLOTS == 2, 0.45, 0.97)}}


def found(q=None, chosen=SLOTS, sure=0.97, prior=PRIOR, classes=4, slots=GIVEN, new=0.5):
    """The signs of a q(y|x) that gives the chosen slots (N,) the probability `sure`."""
    if q is None:
        q = np.repeat(np.asarray((1 - sure) / (len(prior) - 1) + 0 * chosen)[:, None], len(prior), axis=1)
        q[np.arange(len(q)), chosen] = sure
    return signs(q, prior, ["ash", "oak"], classes=classes, new=new, slots=slots)


def test_a_sound_run_has_none():
    assert found() == []


@pytest.mark.parametrize("sign", CASES)
def test_each_failure_is_told(sign):
    told = found(**CASES[sign])
    assert any(sentence.startswith(sign) for sentence in told), told
    assert len(told) == 1 or sign.startswith("Only") and any("Most rows" in each or "are in use" in each for each in told)


def test_without_labels_or_a_number_of_classes_there_is_less_to_tell():
    q = np.eye(4)[SLOTS % 3]
    assert signs(q, PRIOR, []) == [] and signs(q, PRIOR, ["ash", "oak"], classes=2) == []


def bounds(*values):
    return [{"log q(y|x)": -1.0}, *({"L(x)": value} for value in values)]


@pytest.mark.parametrize("values, warm_up, rises", [
    ((-500, -130, -120, -110, -100), 0, True), ((-200, -130, -110, -100, -95, -93), 0, False),
    ((-80, -130, -120, -110, -100), 1.0, True),                     # without its KL the first epoch's bound is too high
    ((-500, -130, -120, -110, -100), 3, False), ((-500, -100, -50), 0, False),  # too few epochs to say
    ((-90, -95, -99, -100, -90, -80, -70), 4, False),               # rising, but only while the KL warms up
    ((-500, -90.0, -90.2, -89.9, -90.1, -89.8), 0, False),          # level, but noisy
    ((-500, *np.linspace(-200, -100, 200)), 0, True), ((-500, *-200 / np.arange(1, 200)), 0, False)])
def test_a_bound_that_has_not_slowed_down_is_told(values, warm_up, rises):
    assert [sign[:34] for sign in rising(bounds(*values), warm_up)] == rises * ["The bound rises at the end as fast"]


def test_the_estimator_warns_and_keeps_it(tmp_path):
    """Half of the labels of one group are those of another class, and the rate of the whole model warms up too slowly."""
    X, y, given = blobs()
    given[given == 1] = -1
    given[np.flatnonzero(given == 0)[:5]] = 1
    recipe = replace(recipes.FAST_TABLE, minimum_epoch=1500, classifier_epochs=4, epochs=8, held=0.0, decay_from=1.0,
                     rate_warm_up=2000, alpha=0.0, merge_from=0)
    with pytest.warns(ConvergenceWarning) as told:
        model = quick(recipe=recipe).fit(X, given)
    assert [str(each.message) for each in told] == model.signs_
    for words in ("Most rows with the label", "as fast as before"):
        assert any(words in sign for sign in model.signs_)
    model.save(tmp_path / "model.npz")
    assert SemiUnsupervisedClassifier.load(tmp_path / "model.npz").signs_ == model.signs_


def test_a_sound_fit_has_none():
    X, y = load_wine(return_X_y=True)
    assert SemiUnsupervisedClassifier(random_state=0).fit(X, hide(y, (1, 2), 10)).signs_ == []


def test_new_classes_that_a_known_slot_swallowed_are_missed():
    """Merging until only the known slots are left: p(y) then expects no new ones, but what it began with does."""
    X, _, given = blobs()
    recipe = replace(recipes.FAST_TABLE, minimum_epoch=1500, classifier_epochs=6, epochs=1, merge_from=6, merge_above=0.0,
                     merge_last=0.0, merge_guide=0.0, merge_absent=0.0)
    with pytest.warns(ConvergenceWarning):
        model = quick(recipe=recipe, extra_classes=1).fit(X, given)
    assert [sign.split(",")[0] for sign in model.signs_[:2]] == ["Only 2 slots are in use", "Only 0.0 % of the rows lie in new slots"]
    with pytest.warns(ConvergenceWarning, match="No new class was found"):
        model = quick(recipe=recipe, n_new_classes="auto").fit(X, given)
    assert len(model.new_classes_) == 0 and [sign[:24] for sign in model.signs_] == ["No new class was found: "]


def test_the_folder_of_an_experiment_keeps_the_signs_of_each_run(tmp_path):
    """No labels on the paper's objective: y collapses.  The rise of the bound is that of each run alone."""
    digits = data.digits()
    recipe = replace(recipes.PAPER, epochs=1, minimum_epoch=250)
    job = experiment.Job("", (), recipe, (0, 1), 5, Z=2, H=3, threads=1, fingerprint=digits.fingerprint)
    folder = Folder.create(tmp_path / "run", {
        "command": "", "dataset": "digits", "data_dir": None, "models": ["m2"], "seeds": [0, 1], "together": 1,
        "job": job.settings, "device": "", "versions": {}, "classes": list(digits.class_names)})
    for one in folder.jobs:
        rise = [{"model": "m2", "seed": one.seeds[0], "epoch": e, "joint": True, "L(x)": (-1.0, 1.0)[one.seeds[0]] * e} for e in range(9)]
        state, metrics, results = experiment.advance(one, experiment.Source("digits"), None)
        folder.record(one, state, [*rise, *(m | {"L(x)": rise[-1]["L(x)"] + rise[1]["L(x)"]} for m in metrics)], results)
    told = warnings_of(folder.summary()["models"])
    assert told[0].startswith("M2, seed 0: y has collapsed") and told[1].startswith("M2, seed 1: y has collapsed")
    assert told[2:] == ["M2, seed 1: The bound rises at the end as fast as before, by 1 nats an epoch: try more epochs."]
    assert warnings_of(Folder.resume(tmp_path / "run").summary()["models"]) == told
