"""The open-set report: what lies in each slot, which slots may be one class, and how sure all of it is.

It needs q(y|x) of some rows and the names of the slots.  Given the rows themselves, it also says
what is typical of a slot; given a held-out truth, how each slot splits.  Its figures are in `figures`.

Two slots are compared by their overlap.  q(k|x_n) / Σ_n q(k|x_n) is a distribution over the rows,
that of slot k, and the overlap of two slots is the Bhattacharyya coefficient of theirs,

    o_jk = Σ_n √(q(j|x_n) q(k|x_n)) / √(Σ_n q(j|x_n) Σ_n q(k|x_n)),

0 if no row could be in both, 1 if no row tells one from the other.  Two known classes are
known to differ: slots that overlap more than any two of them look like parts of one class.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Real

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import normalized_mutual_info_score, precision_recall_fscore_support, roc_auc_score

from ..batches import blocks, moments
from ..evaluation import contingency, entropies, majority_map, monitor
from ..generative import FALSE_ALARMS
from ..signs import UNSURE, signs
from ..slots import in_words

LEAST = 0.5     # smaller overlaps never count as alike: there may be few known classes, or none
MANY = 3        # times as many unfamiliar rows as false alarms explain are worth a word


def text(label):
    """A label as a text: that of 1.0, which is what NaN among labels makes of 1, is 1."""
    return str(int(label)) if isinstance(label, Real) and float(label).is_integer() else str(label)


@dataclass
class Rows:
    """N rows and what is known of them.  q (N,K) is q(y|x); names are those of the K slots, of which the first `known`
    have labels; x (N,X) are the rows themselves, with feature_names; typicality (N,) orders the rows of a slot (None:
    by confidence), for instance by a bound on log p(x); truth (N,) are classes of any kind; unfamiliar (N,) says which
    rows are like nothing in the training data.
    Raises ValueError where they do not fit each other."""
    q: np.ndarray
    names: list
    known: int
    x: np.ndarray | None = None
    feature_names: list | None = None
    typicality: np.ndarray | None = None
    truth: np.ndarray | None = None
    unfamiliar: np.ndarray | None = None
    merged: str = ""      # how the number of slots was found, in words
    signs: list | None = None  # of a run that went wrong (None: those that q shows)

    def __post_init__(self):
        self.q, self.names = np.asarray(self.q), list(map(text, self.names))
        N, K = len(self.q), len(self.names)
        if self.q.ndim != 2 or not N or self.q.shape[1] != K or not 0 <= self.known <= K:
            raise ValueError(f"q must be (N, {K}), N > 0, a column for each of the {K} names, "
                             f"of which {self.known} are known, not {self.q.shape}")
        for name in ("x", "typicality", "truth", "unfamiliar"):
            array = getattr(self, name)
            if array is not None and len(array) != N:
                raise ValueError(f"{name} must have a row for each of the {N} of q, not {len(array)}")
        if self.feature_names is None and self.x is not None:
            self.feature_names = [f"x{i}" for i in range(np.shape(self.x)[1])]

    @cached_property
    def slot(self):
        """The most probable slot of each row."""
        return self.q.argmax(axis=1)

    @cached_property
    def confidence(self):
        """The probability of that slot."""
        return self.q.max(axis=1)

    @cached_property
    def entropy(self):
        """H(q(y|x)) in nats."""
        return entropies(self.q)

    @cached_property
    def true(self):
        """The names of the classes of the truth, and of each row the index among them."""
        classes, true = np.unique(self.truth, return_inverse=True)
        return list(map(text, classes)), true

    def of(self, k):
        """The rows in slot k, the most typical first."""
        members = np.flatnonzero(self.slot == k)
        typicality = self.confidence if self.typicality is None else np.asarray(self.typicality)
        return members[np.argsort(-typicality[members], kind="stable")]


@dataclass(frozen=True)
class Slot:
    """One slot and the rows whose most probable slot it is.  confidence and entropy (nats) are the means of
    max_k q(k|x) and H(q(y|x)) over them; nearest is the known class, other than itself, of the largest overlap;
    typical and untypical are rows, the most and the least so first; truth counts the rows of each class."""
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

    @property
    def cells(self):
        """Its row of a table, as texts: name, rows, confidence, entropy, nearest known class (overlap), truth."""
        sure = [f"{self.confidence:.3f}", f"{self.entropy:.3f}"] if self.size else ["–", "–"]
        near = f"{self.nearest} ({self.overlap:.2f})" if self.nearest is not None else "–"
        truth = ", ".join(f"{count} of {name}" for name, count in self.truth.items())
        return [self.name + ("" if self.known else " (new)"), str(self.size), *sure, near, truth]


@dataclass(frozen=True)
class Report:
    """All slots; their overlaps (K,K), and the threshold above which two look alike; groups of names that do; profile
    (K,X), the features of each slot in full (None without x); classes, the names of the truth; whole, of all rows."""
    slots: list
    overlaps: np.ndarray
    threshold: float
    alike: list
    profile: np.ndarray | None
    feature_names: list | None
    classes: list
    whole: dict

    def as_dict(self):
        """The report in types that JSON keeps."""
        lists = {"overlaps": self.overlaps.round(4).tolist(),
                 "profile": None if self.profile is None else self.profile.round(4).tolist()}
        return {**asdict(self), **lists}

    def __str__(self):
        """A table for reading."""
        whole, K = self.whole, len(self.slots)
        lines = [f"{whole['rows']} rows: {100 * whole['share_new']:.1f} % in new slots, "
                 f"{100 * whole['share_unsure']:.1f} % unsure (below {UNSURE}); I(x;y) "
                 f"{whole['mutual_information']:.2f} of at most {np.log(K):.2f} nats, "
                 f"{whole['slots_used']} of {K} slots in use",
                 f"{'slot':<16}{'rows':>9}{'confidence':>12}{'entropy':>9}  nearest known class (overlap)"]
        for slot in self.slots:
            name, size, confidence, entropy, near, truth = slot.cells
            lines.append(f"{name:<16}{size:>9}{confidence:>12}{entropy:>9}  {near}"
                         + (f"; in truth {truth}" if truth else ""))
        return "\n".join(lines + self.hints)

    @property
    def hints(self):
        """What deserves a look, a sentence each."""
        known, hints = {slot.name for slot in self.slots if slot.known}, [*self.whole["signs"], self.whole["merged"]]
        for group in self.alike:
            text = f"These slots look like parts of one class: {', '.join(group)}."
            if known & {*group}:
                swallowed = ", ".join(sorted(known & {*group}))
                text += f" Or {swallowed} has swallowed some of a new class: look at its rows."
            hints.append(text)
        if (strange := self.whole.get("share_unfamiliar", 0)) > MANY * FALSE_ALARMS:
            hints.append(f"{100 * strange:.1f} % of the rows are like nothing in the training data, of which "
                         f"{100 * FALSE_ALARMS:.0f} % would be: their classes, known or new, are guesses.")
        return [hint for hint in hints if hint]


def overlaps(q):
    """o_jk above.     q (N,K) -> (K,K)"""
    mass = np.maximum(q.sum(axis=0), np.finfo(q.dtype).tiny)
    root = np.sqrt(q / mass)
    return root.T @ root


def alike(o, known, used):
    """The groups of slots that look like parts of one class, and the overlap above which they do.  A used slot
    belongs to a group if it overlaps enough with one of its members.
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


def analyse(rows, examples=10, prior=None):
    """The Report on Rows.  Of each slot it names up to `examples` rows, typical and untypical, and as many features;
    prior (K,) is p(y) (None: uniform), which says how many slots could be in use."""
    K = len(rows.names)
    o = overlaps(rows.q)
    groups, threshold = alike(o, rows.known, np.bincount(rows.slot, minlength=K) > 0)
    profile = None if rows.x is None else profiles(rows.x, rows.slot, K)
    return Report(
        slots=[_slot(rows, k, o, profile, examples) for k in range(K)],
        overlaps=o, threshold=threshold, alike=[[rows.names[k] for k in group] for group in groups],
        profile=profile,
        feature_names=None if rows.feature_names is None else [str(name) for name in rows.feature_names],
        classes=[] if rows.truth is None else rows.true[0],
        whole=_whole(rows, (1 / K,) * K if prior is None else prior))


def _slot(rows, k, o, profile, examples):
    """What lies in slot k.     o (K,K) are the overlaps, profile (K,X) or None -> Slot"""
    members, known = rows.of(k), k < rows.known
    if not len(members):
        return Slot(rows.names[k], known, 0, 0.0, None, None, None, None, [], [], [], {})
    near = max((j for j in range(rows.known) if j != k), key=lambda j: o[k, j], default=None)
    apart = [] if profile is None else np.argsort(-np.abs(profile[k]), kind="stable")[:examples]
    return Slot(
        name=rows.names[k], known=known, size=len(members), share=len(members) / len(rows.q),
        confidence=float(rows.confidence[members].mean()), entropy=float(rows.entropy[members].mean()),
        nearest=None if near is None else rows.names[near], overlap=None if near is None else float(o[k, near]),
        typical=members[:examples].tolist(), untypical=members[::-1][:examples].tolist(),
        features=[(str(rows.feature_names[i]), float(profile[k, i])) for i in apart],
        truth={} if rows.truth is None else _count(rows, members))


def _count(rows, members):
    """How many of some rows are of each true class, the most frequent first."""
    classes, true = rows.true
    count = np.bincount(true[members], minlength=len(classes))
    return {classes[c]: int(count[c]) for c in np.argsort(count, kind="stable")[::-1] if count[c]}


def _whole(rows, prior):
    """The figures of all rows together.  The accuracy names slots by these rows themselves, as cluster-and-label."""
    whole = {"rows": len(rows.q), "confidence": float(rows.confidence.mean()),
             "share_unsure": float((rows.confidence < UNSURE).mean()),
             "share_new": float((rows.slot >= rows.known).mean()), "merged": rows.merged,
             "signs": signs(rows.q, prior, rows.names[:rows.known]) if rows.signs is None else rows.signs,
             **monitor(rows.q, prior)}
    if rows.unfamiliar is not None:
        whole["share_unfamiliar"] = float(np.mean(rows.unfamiliar))
    if rows.truth is not None:
        classes, true = rows.true
        slot_map = majority_map(contingency(rows.slot, true, len(rows.names), len(classes)))
        whole["accuracy"] = float((slot_map[rows.slot] == true).mean())
        whole["nmi"] = float(normalized_mutual_info_score(true, rows.slot))
        whole.update(_novelty(rows, slot_map[rows.slot] == true))
    return whole


def _novelty(rows, right):
    """How well new classes are told from known ones, where the truth has both; right (N,) says whose class was given.
    Precision and recall are those of "it lies in a new slot", AUROC that of Σ q(y|x) over the new slots."""
    classes, true = rows.true
    new = ~np.isin(classes, rows.names[:rows.known])[true]
    if not (rows.known and new.any() and not new.all()):
        return {}
    precision, recall, _, _ = precision_recall_fscore_support(new, rows.slot >= rows.known, average="binary",
                                                              zero_division=0.0)
    return {"accuracy_unlabelled_classes": float(right[new].mean()), "precision_new": float(precision),
            "recall_new": float(recall), "auroc_new": float(roc_auc_score(new, rows.q[:, rows.known:].sum(axis=1)))}


def report(classifier, X, truth=None, examples=10, feature_names=None):
    """The report of a fitted SemiUnsupervisedClassifier on X (N,width).  A row is typical of its slot if its
    bound on log p(x) is high.  feature_names (width,), by default those of the frame that it was fitted to."""
    names = getattr(classifier, "feature_names_in_", None) if feature_names is None else feature_names
    rows = Rows(classifier.predict_proba(X), classifier.classes_, len(classifier.known_classes_), x=np.asarray(X),
                feature_names=names, typicality=classifier.score_samples(X), truth=truth,
                unfamiliar=classifier.unfamiliar(X), merged=in_words(classifier.trained_), signs=classifier.signs_)
    return analyse(rows, examples, classifier.trained_.model.prior)
