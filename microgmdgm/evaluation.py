"""Cluster-and-label, and other measures of how good and how certain a clustering is.

A slot is a value of the learnt y; a class is a true one.  The best one-to-one map gives each class one slot, as in
category discovery.  The paper's protocol gives each slot the class most common in it on the scored points themselves.
Beside them stand the map fitted on training data and the collapse monitor, which needs no truth.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score


def contingency(slots, classes, K, C):
    """How many points of each class lie in each slot.     slots, classes (N,) -> (C,K) counts"""
    return np.bincount(classes * K + slots, minlength=C * K).reshape(C, K)


def majority_map(counts):
    """The most common class of each slot, −1 for a slot without points.     (C,K) -> (K,)"""
    return np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), -1)


def one_to_one_map(counts):
    """The class of each slot, −1 for none, in the most accurate map that gives each slot and each class at most one
    partner (Hungarian), labelled classes or not.     (C,K) -> (K,)"""
    classes, slots = linear_sum_assignment(-counts)
    found = np.full(counts.shape[1], -1)
    found[slots] = classes
    return found


def one_to_one_accuracy(counts):
    """The accuracy of that map."""
    return accuracies(counts, one_to_one_map(counts), ())["accuracy"]


def entropies(q):
    """H(q(y|x)) of each row, in nats.     q (N,K) -> (N,)"""
    return -(q * np.log(np.maximum(q, np.finfo(q.dtype).tiny))).sum(axis=1)


def monitor(q, prior):
    """The collapse monitor, in nats.     q (N,K): q(y|x) of N points -> dict
    I(x;y) = H(mean q) − mean H(q) is 0 when y says nothing about x.  A slot is in use if its share
    of the points is at least a tenth of the smallest prior.  Collapsed: I(x;y) < ½ log 2, less than
    half the information of a fair coin, or fewer than two slots."""
    conditional, marginal = float(entropies(q).mean()), float(entropies(q.mean(axis=0, keepdims=True))[0])
    share = np.bincount(q.argmax(axis=1), minlength=q.shape[1]) / len(q)
    used = int((share >= 0.1 * min(prior)).sum())
    information = marginal - conditional
    return {"conditional_entropy": conditional, "marginal_entropy": marginal, "mutual_information": information,
            "slots_used": used, "collapsed": bool(q.shape[1] > 1 and (information < 0.5 * np.log(2) or used < 2))}


def accuracies(counts, slot_map, labelled_classes):
    """Accuracy overall, over the labelled classes and over the others, as fractions (None if
    there are no such classes).     counts (C,K), slot_map (K,)"""
    C = len(counts)
    right = (counts * (slot_map == np.arange(C)[:, None])).sum(axis=1)
    total = counts.sum(axis=1)
    known = np.isin(np.arange(C), labelled_classes)

    def over(classes):
        return float(right[classes].sum() / total[classes].sum()) if total[classes].sum() else None
    return {"accuracy": over(np.ones(C, bool)), "accuracy_labelled_classes": over(known),
            "accuracy_unlabelled_classes": over(~known)}


def evaluate(q, classes, *, labelled_classes, prior, C, q_train=None, classes_train=None):
    """All figures of the protocol.     q (N,K) and true classes (N,) of the scored points, and, for
    the map fitted on training data, the same of the training points -> dict"""
    K = q.shape[1]
    counts = contingency(q.argmax(axis=1), classes, K, C)
    result = accuracies(counts, majority_map(counts), labelled_classes)
    if q_train is not None:
        train_map = majority_map(contingency(q_train.argmax(axis=1), classes_train, K, C))
        result.update({f"train_map_{figure}": value
                       for figure, value in accuracies(counts, train_map, labelled_classes).items()})
    one_to_one = accuracies(counts, one_to_one_map(counts), labelled_classes)
    result.update({figure.replace("accuracy", "accuracy_one_to_one"): value for figure, value in one_to_one.items()})
    return {**result,
            "nmi": float(normalized_mutual_info_score(classes, q.argmax(axis=1))), **monitor(q, prior)}


def reliability(confidence, right, bins=15):
    """The reliability diagram: of each of so many equal intervals of confidence, max q(y|x), that holds points, its
    share of them, their mean confidence and how many are right.     (N,), (N,) bool -> (3,B), B ≤ bins"""
    interval = np.minimum((confidence * bins).astype(int), bins - 1)
    n, sums, hits = (np.bincount(interval, weights=w, minlength=bins) for w in (None, confidence, right))
    held = n > 0
    return np.stack([n[held] / n.sum(), sums[held] / n[held], hits[held] / n[held]])


def calibration_error(confidence, right, bins=15):
    """ECE = Σ_b share_b |accuracy_b − mean confidence_b| (Guo et al., 2017), of the intervals of `reliability`."""
    share, said, true = reliability(confidence, right, bins)
    return float((share * np.abs(true - said)).sum())
