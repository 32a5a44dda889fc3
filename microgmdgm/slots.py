"""One class, one slot: which slots of y are parts of one class, found without labels.

Spare slots find classes that nobody labelled, but a class may fill several of them.  Two random maps t and t′ of an
image reveal it: if they put the image into slots j and k as easily as twice into j, the two are one class.

    P_jk = mean over x of q(y=j|tx) q(y=k|t′x), made symmetric      c_jk = P_jk / √(P_jj P_kk)

c is about 1 for two halves of one class, and falls towards 0 for two classes as q(y|x) learns.  So the two slots of
largest c become one, whose rows and columns of P are sums, and this repeats until c is at a threshold.  That falls from
epoch to epoch: the surest come first, and what is left is told apart the better for it.  It also depends on the data:
two known classes are two for sure, and c has to be clearly above theirs, though by no more than half of what is left up
to 1: else nothing would merge where known classes overlap.  They never merge, and a new slot that is almost empty is
dropped.  The slots that are left say how many classes there are and how frequent: p(y) becomes each slot's share of
the examples, but evener (`evened`).  Rare classes stay rare, and p(y) does not keep examples in a wrong slot, where
some are at that time.

Until then p(y) is a guess, and balance (`invariance`) holds q(y|x) to it.  Where new classes are much rarer than that,
frequent known ones fill the new slots, and rare ones have to share.  It shows after two epochs, for an example that is
pushed into a new slot seldom has it as its most probable one (`rare`): balance then tolerates slots that are within a
factor of p(y).

Two classes may also overlap so much that maps mix them as easily.  Then labels tell: labelled examples are a random
sample of their class, and if a new slot were a part of it, some of them would lie there.  Where they are `missing`, the
new slot merges with the known one only if c is large.  That holds while labels are scarce: of many, q(y|x) learns by
heart where they are.

The opposite failure is a slot that two classes share, which look alike under the largest maps, or were merged.  It
shows in its share: a new slot that holds nearly twice as many examples as the usual one is `crowded` where all others
hold about equally many.  Such a slot is split into the two halves that differ most, measured by what the
maps change (`bisect`); q(y|x), under smaller maps from then on, finds the border between them.

A slot that is gone keeps its place in θ but gets no probability; `Trained.of` leaves it out.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .backend import namespace
from .invariance import within

FLAT = 0.05     # nats: q(y|x) is flat if I(j;k) of the slots under two maps is smaller
LEAST = 0.4     # of the smallest prior: a new slot with a smaller share is dropped
ROWS = 6_000    # unlabelled examples that P, and how rare new classes are, is measured on
NEAR = 10       # unlabelled neighbours that say in which slot a labelled example lies
FEWER = 2.5     # standard deviations: labelled examples are missing where so many fewer lie than expected
SCARCE = 0.05   # labelled examples per unlabelled one, at most: else where they lie says nothing
RARE = 0.75     # of what p(y) gives new slots: if they hold less, new classes are rare
GONE = 1e-9     # p(y) of a slot that is gone
NEVER = -60.0   # its logit
ALIKE = 1.25    # classes are about equally frequent if none holds so many times as many examples as the median one
RIDGE = 0.1     # of the mean variance that maps cause: added to each, for stability
SURE = 3.0      # standard deviation of the log-odds of the halves of a slot


@dataclass
class Slots:
    """The slots of one run: π, p(y) of each, a list (K,); the merges as [epoch, slot, into slot, c]; and the largest c
    of two slots that stayed apart: the smaller it is, the surer their number.  Balance leaves each slot alone `within`
    a factor of π, the tolerance.  The splits are [epoch, slot, new slot, how many times the median slot it held]."""
    prior: list
    merges: list
    closest: float | None = None
    tolerance: float = 1.0
    splits: list = field(default_factory=list)

    @property
    def alive(self):
        """The slots that are left."""
        return [k for k, p in enumerate(self.prior) if p > GONE]


def rare(chosen, prior, known):
    """Whether new classes are much rarer than p(y) says.  Balance holds the mean of q(y|x) near it, but not the number
    of examples whose most probable slot is a new one.     chosen (N,), the slot of each; `known` classes first"""
    return np.mean(chosen >= known) < RARE * sum(prior[known:])


def confusability(log_q, log_q2):
    """P, which sums to 1 and whose row sums are the shares of the slots.
    log q(y|tx), log q(y|t′x), both (…,N,K) -> (…,K,K)"""
    xp = namespace(log_q)
    P = xp.exp(log_q).mT @ xp.exp(log_q2) / log_q.shape[-2]
    return (P + P.mT) / 2


def mutual_information(P):
    """I(j;k) = Σ P_jk log(P_jk / P_j P_k), in nats: what the slot under one map says of that under another.
    P (K,K), P_j its row sums"""
    share = P.sum(axis=1)
    return float(np.sum(P * np.log(np.maximum(P, 1e-30) / np.maximum(share * share[:, None], 1e-30))))


def normalised(P):
    """c of P (K,K)."""
    d = np.sqrt(np.maximum(np.diag(P), np.finfo(P.dtype).tiny))
    return P / d / d[:, None]


def seats(x, chosen, x_labelled, labels, shape):
    """In which slots the labelled examples of each known class lie: those of their nearest unlabelled ones.
    x (N,X), chosen (N,), the slot of each; x_labelled (L,X), labels (L,); shape (known, K)
    -> (known,K), numbers of examples"""
    distance = np.sum(x * x, axis=1) - 2 * x_labelled @ x.T  # squared, less what is the same for all x
    near, counts = min(NEAR, len(x)), np.zeros(shape)
    nearest = np.argpartition(distance, near - 1, axis=1)[:, :near]
    np.add.at(counts, (labels[:, None], chosen[nearest]), 1 / near)
    return counts


def missing(seated, share):
    """Whether labelled examples of a known class are missing from a slot.  They are a random sample of their class: if
    the slot were the part p of it, n of N would lie there, a binomial number.  n < N p − `FEWER` √(N p (1−p))
    seated (known,n), as `seats` has it, and share (n,) of slots, known classes first -> (known,n)"""
    part = share / np.maximum(share + share[:len(seated), None], 1e-30)
    N = seated + np.diag(seated)[:, None]
    return seated < N * part - FEWER * np.sqrt(N * part * (1 - part))


def grouped(P, slots, known, threshold, seated=None, absent=0.0):
    """The slots that are one class.     P (K,K), slots that are alive, of which the first `known` are known classes;
    with seated (known,K) a known and a new one where labelled examples are `missing` only if c is above `absent`
    -> {slot: [slots that become it]}, [(slot, into slot, c), …] in order, and the largest c that is left"""
    groups, merges, left = {k: [k] for k in slots}, [], 0.0
    while len(groups) > 1:
        members, ids = list(groups.values()), list(groups)
        c = normalised(np.array([[P[np.ix_(a, b)].sum() for b in members] for a in members]))
        np.fill_diagonal(c, 0)
        c[np.ix_(*2 * [np.array(ids) < known])] = 0
        if seated is not None:
            there = np.stack([seated[:, group].sum(axis=1) for group in members], axis=1)
            apart = missing(there, np.array([P[group].sum() for group in members])) & (c[:known] <= absent)
            c[:known][apart] = c[:, :known].T[apart] = 0
        i, j = sorted(np.unravel_index(c.argmax(), c.shape))  # the lower one stays, a known class before a new one
        if (left := float(c[i, j])) <= threshold:
            break
        merges.append((ids[j], ids[i], float(c[i, j])))
        groups[ids[i]] += groups.pop(ids[j])
    return groups, merges, left if len(groups) > 1 else 0.0


def evened(share, even):
    """p(y) of slots with these shares: equal, as far as that is `within` a factor of them.
    share (n,), even in (0, 1] -> (n,)"""
    return within(np.full(len(share), share.mean()), np.maximum(share, 1e-6), even)


def update(slots, P, recipe, epoch, *, known, least, seated=None):
    """Drop the new slots whose share is below `least`, and merge those that are one class: whose c is above
    recipe.merge_threshold(epoch), above `merge_known` times the largest c of two known classes, or half way from that
    to 1 if it is less, unless that c is larger than `merge_guide`, and above `merge_absent` where labelled examples are
    `missing`.  While q(y|x) is flat every c is 1, and all stay.
    P (K,K), `known` classes first, seated (known,K) or None -> {slot: [slots that become it]}, Slots"""
    if mutual_information(P) < FLAT:
        return {k: [k] for k in slots.alive}, slots
    share, two = P.sum(axis=1), np.triu(normalised(P[:known, :known]), 1).max(initial=0)
    above_theirs = min(recipe.merge_known * two, (1 + two) / 2) if two <= recipe.merge_guide else 0
    threshold = max(recipe.merge_threshold(epoch), above_theirs)
    groups, merges, left = grouped(P, [k for k in slots.alive if k < known or share[k] >= least], known, threshold,
                                   seated, recipe.merge_absent)
    shares = np.array([share[group].sum() for group in groups.values()])
    prior = dict(zip(groups, evened(shares, recipe.even).tolist()))
    return groups, replace(slots, prior=[prior.get(k, GONE) for k in range(len(P))],
                           merges=slots.merges + [[epoch, *merge] for merge in merges], closest=left)


def averages(groups, K):
    """How a group becomes one slot in the output layer of q(y|x): its column is the mean of the n columns and, since q
    of the group is the sum of theirs, log n is added to its bias.     -> (K,K), for W (H,K) @ it, and (K,)"""
    mean, more = np.zeros((K, K), dtype=np.float32), np.full(K, NEVER, dtype=np.float32)
    for slot, group in groups.items():
        mean[group, slot], more[slot] = 1 / len(group), np.log(len(group))
    return mean, more


def crowded(groups, P, known, above):
    """The new slots that hold more than `above` times as many examples as the median slot, if all others hold at most
    `ALIKE` times as many: else classes are not equally frequent, and there is no telling.
    groups {slot: [slots that became it]}, P (K,K), `known` classes first -> [(slot, how many times), …]"""
    share = {slot: float(P[group].sum()) for slot, group in groups.items()}
    usual = np.median([*share.values()])
    times = {slot: share[slot] / usual for slot in share}
    full = [(slot, times.pop(slot)) for slot in share if slot >= known and times[slot] > above]
    return full if max(times.values(), default=0) <= ALIKE else []


def bisect(h, h2):
    """The halves of a slot: 2-means clusters of its examples in the last hidden layer h of q(y|x), where what maps
    change has unit variance, cov(h(tx) − h(t′x)) = I, as in Fisher's discriminant; log odds of the second = h w + b.
    h(tx), h(t′x) (n,H) -> w (H,), b"""
    h, h2 = h.astype(np.float64), h2.astype(np.float64)
    noise = (h - h2).T @ (h - h2) / len(h)
    variance, axes = np.linalg.eigh(noise + RIDGE * max(np.trace(noise), 1e-12) / len(noise) * np.eye(len(noise)))
    whiten, middle = axes / np.sqrt(variance), (h + h2).mean(axis=0) / 2
    z = ((h + h2) / 2 - middle) @ whiten
    second = z @ np.linalg.svd(z, full_matrices=False)[2][0] > 0
    if not second.any():  # all examples are alike
        return np.zeros(len(noise)), 0.0
    for _ in range(30):
        one, two = z[~second].mean(axis=0), z[second].mean(axis=0)
        w, b = two - one, (one @ one - two @ two) / 2
        second = z @ w + b > 0
    scale = SURE / (z @ w).std()
    w = whiten @ w * scale
    return w, b * scale - middle @ w


def split(slots, slot, new, times, epoch):
    """The Slots when `slot` shares its examples, and p(y), with `new`, which was gone."""
    half = slots.prior[slot] / 2
    return replace(slots, prior=[half if k in (slot, new) else p for k, p in enumerate(slots.prior)],
                   splits=[*slots.splits, [epoch, slot, new, times]])


def in_words(trained):
    """How many slots were merged, how sure their number is, and whether one was split."""
    if not trained.merges:
        return ""
    K, least = trained.model.K, min(c for *_, c in trained.merges)
    close = trained.closest > least / 1.5
    return (f"{len(trained.merges)} slots were found to be parts of others, so that {K} are left. Random maps mix the "
            f"merged ones with c = {least:.2f} or more, and no two that are left with more than {trained.closest:.2f}"
            + (": that is close, so that there may be fewer or more classes." if close else ".")
            + "".join(f" One slot held {times:.1f} times as many examples as the usual one and was split in two: two "
                      "classes that look alike, unless one class is so frequent." for *_, times in trained.splits))


def compact(model, theta, slots):
    """The model with the slots that are left, and its θ.     θ (P,) -> Model, (P',)"""
    xp, alive, prior = namespace(theta), namespace(theta).asarray(slots.alive), np.array(slots.prior)[slots.alive]
    small, parts = replace(model, prior=tuple((prior / prior.sum()).tolist())), []
    for (_, start, stop, old, _), (*_, new, _) in zip(model.layout.parts(), small.layout.parts()):
        array = xp.reshape(theta[start:stop], old)
        for axis in (axis for axis in range(len(old)) if old[axis] != new[axis]):
            array = xp.take(array, alive, axis=axis)
        parts.append(xp.reshape(array, (-1,)))
    return small, xp.concat(parts)
