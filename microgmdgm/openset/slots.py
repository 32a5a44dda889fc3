"""The open-set report: what lies in each slot, which slots may be one class, and how sure all of it is.

It needs q(y|x) of some rows and the names of the slots; with the rows themselves it tells what is
typical of a slot, with a held-out truth how each slot splits.  Figures are in `openset_plots`.

Two slots are compared by their overlap.  q(k|x_n) / Σ_n q(k|x_n) is a distribution over the rows,
that of slot k, and the overlap of two slots is the Bhattacharyya coefficient of theirs,

    o_jk = Σ_n √(q(j|x_n) q(k|x_n)) / √(Σ_n q(j|x_n) Σ_n q(k|x_n)),

0 where no row could be in both, 1 where no row tells one from the other.  Two known classes are
known to differ: slots that overlap more than any two of them look like parts of one class.
"""

from dataclasses import asdict, dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import normalized_mutual_info_score

from ..batches import blocks, moments
from ..evaluation import contingency, entropies, majority_map, monitor

LEAST = 0.5     # an overlap of less is never called likeness: there may be few known classes, or none
UNSURE = 0.5    # a row whose most probable slot has less than this is unsure


@dataclass(frozen=True)
class Slot:
    """One slot and the rows whose most probable slot it is.  confidence and entropy (nats) are the means of
    max_k q(k|x) and H(q(y|x)) over them; nearest is the known class, other than itself, of the largest overlap;
    typical and untypical are rows, the most and the least so first; truth says how many are of each class."""
    name: str
    known: bool
    size: int
    share: float
    confidence: float | None
    entropy: float | None
    nearest: str | None
    overlap: float | None
    typical: list
    untypical: list
    features: list        # (name, (mean − mean of all) / σ of all) of the columns that set it apart the most
    truth: dict


@dataclass(frozen=True)
class Report:
    """All slots; their overlaps (K,K), and from which on two look alike; groups of names that do; profile (K,X),
    the features of each slot in full (None without x); classes, the names of the truth; and `whole`, of all rows."""
    slots: list
    overlaps: np.ndarray
    threshold: float
    alike: list
    profile: np.ndarray | None
    feature_names: list | None
    classes: list
    whole: dict

    def as_dict(self):
        """All of it as JSON has it."""
        lists = {"overlaps": self.overlaps.round(4).tolist(),
                 "profile": None if self.profile is None else self.profile.round(4).tolist()}
        return {**asdict(self), **lists}

    def __str__(self):
        """A table for reading."""
        whole, K = self.whole, len(self.slots)
        lines = [f"{whole['rows']} rows: {100 * whole['share_new']:.1f} % in new slots, "
                 f"{100 * whole['share_unsure']:.1f} % unsure (below {UNSURE}); I(x;y) "
                 f"{whole['mutual_information']:.2f} of at most {np.log(K):.2f} nats, "
                 f"{whole['slots_used']} of {K} slots in use"
                 + (": COLLAPSED, y says almost nothing of x" if whole["collapsed"] else ""),
                 f"{'slot':<16}{'rows':>9}{'confidence':>12}{'entropy':>9}  nearest known class (overlap)"]
        for slot in self.slots:
            sure = f"{slot.confidence:>12.3f}{slot.entropy:>9.3f}" if slot.size else f"{'–':>12}{'–':>9}"
            near = f"{slot.nearest} ({slot.overlap:.2f})" if slot.nearest is not None else "–"
            truth = ", ".join(f"{count} of {name}" for name, count in slot.truth.items())
            lines.append(f"{slot.name:<16}{slot.size:>9}{sure}  {near}" + (f"; in truth {truth}" if truth else ""))
        lines += [f"look like parts of one class: {', '.join(group)}" for group in self.alike]
        return "\n".join(lines)


def overlaps(q):
    """o_jk above.     q (N,K) -> (K,K)"""
    mass = np.maximum(q.sum(axis=0), np.finfo(q.dtype).tiny)
    root = np.sqrt(q / mass)
    return root.T @ root


def alike(o, known, used):
    """The groups of slots that look like parts of one class, and the overlap from which on they do.  A slot that
    is used belongs to a group where it overlaps enough with one member of it.
    o (K,K), of which the first `known` are known, used (K,) bool"""
    o = o * np.outer(used, used)
    among_known = o[:known, :known][np.triu_indices(known, 1)]
    threshold = max(float(among_known.max(initial=0.0)), LEAST)
    count, group = connected_components((o > threshold) & ~np.eye(len(o), dtype=bool), directed=False)
    groups = [np.flatnonzero(group == g) for g in range(count)]
    return [g.tolist() for g in groups if len(g) > 1], threshold


def profiles(x, slots, K):
    """(mean over slot k − mean over all) / σ over all, 0 for constant columns and empty slots.
    x (N,X), read a few rows at a time, slots (N,) -> (K,X)"""
    sums, start = np.zeros((K, x.shape[1])), 0
    for block in blocks(x):
        here = slots[start:start + len(block)]
        sums += (here == np.arange(K)[:, None]).astype(float) @ block
        start += len(block)
    mean, sd = moments(x)
    size = np.bincount(slots, minlength=K)[:, None]
    varies = (size > 0) & (sd > 1e-12 * np.abs(mean))
    return np.where(varies, (sums / np.maximum(size, 1) - mean) / np.where(sd > 0, sd, 1), 0.0)


def analyse(q, names, known, *, x=None, feature_names=None, typicality=None, truth=None, examples=10, prior=None):
    """The report on N rows.     -> Report
    q (N,K) is q(y|x), names the K slots, of which the first `known` have labels; typicality (N,) orders the rows
    of a slot (None: by confidence), for instance by a bound on log p(x); truth (N,) are classes of any kind.
    Raises ValueError where they do not fit each other."""
    q = np.asarray(q)
    if q.ndim != 2 or not len(q) or q.shape[1] != len(names) or not 0 <= known <= len(names):
        raise ValueError(f"q must be (N, {len(names)}), N > 0, a column for each of the {len(names)} names, "
                         f"of which {known} are known, not {q.shape}")
    for name, array in (("x", x), ("typicality", typicality), ("truth", truth)):
        if array is not None and len(array) != len(q):
            raise ValueError(f"{name} must have a row for each of the {len(q)} of q, not {len(array)}")
    N, K = q.shape
    names = [str(name) for name in names]
    slots, confidence = q.argmax(axis=1), q.max(axis=1)
    entropy = entropies(q)
    order = np.lexsort((-(confidence if typicality is None else np.asarray(typicality)), slots))
    o = overlaps(q)
    groups, threshold = alike(o, known, np.bincount(slots, minlength=K) > 0)
    profile = None if x is None else profiles(x, slots, K)
    if profile is not None and feature_names is None:
        feature_names = [f"x{i}" for i in range(profile.shape[1])]
    classes, true = (np.array([]), None) if truth is None else np.unique(truth, return_inverse=True)
    found, ends = [], np.searchsorted(slots[order], np.arange(K), side="right")
    for k, name in enumerate(names):
        rows = order[ends[k - 1] if k else 0:ends[k]]
        others = [j for j in range(known) if j != k]
        near = max(others, key=lambda j: o[k, j]) if others and len(rows) else None
        apart = [] if profile is None or not len(rows) else np.argsort(-np.abs(profile[k]), kind="stable")[:examples]
        count = [] if true is None else np.bincount(true[rows], minlength=len(classes))
        found.append(Slot(
            name, k < known, len(rows), len(rows) / N, float(confidence[rows].mean()) if len(rows) else None,
            float(entropy[rows].mean()) if len(rows) else None, None if near is None else names[near],
            None if near is None else float(o[k, near]), rows[:examples].tolist(), rows[::-1][:examples].tolist(),
            [(str(feature_names[i]), float(profile[k, i])) for i in apart],
            {str(classes[c]): int(count[c]) for c in np.argsort(count, kind="stable")[::-1] if count[c]}))
    whole = {"rows": N, "confidence": float(confidence.mean()), "share_unsure": float((confidence < UNSURE).mean()),
             "share_new": float((slots >= known).mean()), **monitor(q, prior or (1 / K,) * K)}
    if true is not None:
        slot_map = majority_map(contingency(slots, true, K, len(classes)))
        whole["accuracy"] = float((slot_map[slots] == true).mean())  # cluster-and-label, on these rows themselves
        whole["nmi"] = float(normalized_mutual_info_score(true, slots))
    return Report(found, o, threshold, [[names[k] for k in group] for group in groups], profile,
                  None if feature_names is None else [str(name) for name in feature_names],
                  [str(c) for c in classes], whole)


def report(classifier, X, truth=None, examples=10):
    """The report of a fitted SemiUnsupervisedClassifier on X (N,width).  A row is typical of its slot where the
    bound on log p(x) is high."""
    names = getattr(classifier, "feature_names_in_", None)
    return analyse(classifier.predict_proba(X), classifier.classes_, len(classifier.known_classes_), truth=truth,
                   x=np.asarray(X), feature_names=names, typicality=classifier.score_samples(X), examples=examples,
                   prior=classifier.trained_.model.prior)
