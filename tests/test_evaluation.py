"""The protocol on small cases whose answer is known."""

import numpy as np
import pytest

from microgmdgm import evaluation


def sharp(slots, K):
    return np.eye(K)[slots] * 0.98 + 0.02 / K


def test_cluster_and_label_by_hand():
    classes = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    slots = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    scores = evaluation.evaluate(sharp(slots, 5), classes, labelled_classes=[0], prior=(0.2,) * 5, C=3)
    assert scores["accuracy"] == 7 / 8  # slots 0 1 2 3 -> classes 0 1 1 2; one of class 0 lies in slot 1
    assert scores["accuracy_labelled_classes"] == 2 / 3
    assert scores["accuracy_unlabelled_classes"] == 1.0
    assert scores["accuracy_one_to_one"] == 6 / 8  # slot 2 finds no partner left
    assert scores["slots_used"] == 4


def test_a_perfect_clustering_under_other_names_scores_one():
    classes = np.repeat(np.arange(4), 5)
    q = sharp((classes + 1) % 4, 4)
    scores = evaluation.evaluate(q, classes, labelled_classes=[], prior=(0.25,) * 4, C=4,
                                 q_train=q, classes_train=classes)
    for figure in ("accuracy", "train_map_accuracy", "accuracy_one_to_one", "accuracy_unlabelled_classes"):
        assert scores[figure] == 1.0
    assert scores["accuracy_labelled_classes"] is None and scores["nmi"] == pytest.approx(1)
    assert not scores["collapsed"]


def test_the_training_map_is_fitted_on_training_data():
    classes = np.array([0, 0, 1, 1])
    q = sharp(np.array([0, 0, 1, 1]), 2)
    swapped = evaluation.evaluate(q, classes, labelled_classes=[], prior=(0.5, 0.5), C=2,
                                  q_train=q, classes_train=1 - classes)
    assert swapped["accuracy"] == 1.0 and swapped["train_map_accuracy"] == 0.0


def test_a_slot_without_training_points_predicts_nothing():
    assert evaluation.majority_map(np.array([[2, 0], [1, 0]])).tolist() == [0, -1]


@pytest.mark.parametrize("q", [np.full((40, 4), 0.25), sharp(np.zeros(40, int), 4)],
                         ids=["onto the prior", "onto one slot"])
def test_both_kinds_of_collapse_are_seen(q):
    scores = evaluation.monitor(q, (0.25,) * 4)
    assert scores["collapsed"] and scores["mutual_information"] < 0.2


def test_mutual_information_of_sharp_even_slots_is_log_k():
    scores = evaluation.monitor(np.eye(4)[np.arange(40) % 4].astype(float), (0.25,) * 4)
    assert scores["mutual_information"] == pytest.approx(np.log(4)) and scores["slots_used"] == 4


def test_calibration_error_by_hand():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.55, 0.55, 1.0])
    right = np.array([True, True, True, False, True, False, True])
    share, said, true = evaluation.reliability(confidence, right, bins=10)
    np.testing.assert_allclose(share, [2 / 7, 5 / 7])  # 1 lies in the last interval, with 0.9
    np.testing.assert_allclose(said, [0.55, 4.6 / 5])
    np.testing.assert_allclose(true, [1 / 2, 4 / 5])
    assert evaluation.calibration_error(confidence, right, bins=10) == pytest.approx(2 / 7 * 0.05 + 5 / 7 * 0.12)


def test_calibrated_answers_have_a_small_error_and_boastful_ones_a_large_one():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 50_000)
    right = rng.random(50_000) < confidence
    assert evaluation.calibration_error(confidence, right) < 0.01
    assert evaluation.calibration_error(np.ones(50_000), right) == pytest.approx(0.25, abs=0.01)
