"""Which (example, class) pairs stand for the sum over y of Eq. 10, and with what weight.

The exact sum takes all K classes of each unlabelled example but those of next to no probability, which change no sum.
The sparse one takes the few most probable classes and one sample of the rest, with the weight (mass of the rest) /
q(sample) (Liu et al., 2019, Rao-Blackwellized stochastic gradients); a rest of little mass is sampled only now and
then, with a larger weight.  The expectation is the exact sum, in value and in gradient.  As q(y|x) sharpens, cost and
variance fall.  While q(y|x) is flat, that variance keeps new slots from coming into use, so start with the exact sum.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from .backend import namespace, numbers

NOTHING = 1e-12  # q(y|x) of a class without a part in the exact sum: less than float32 rounds, or Adam's ε lets through
RARE = 0.05      # if the rest has less mass than this, it is sampled with probability mass / RARE
PROBABLE = 3e-3  # a top class after the first belongs to the rest if its probability is lower


@dataclass(frozen=True)
class Pairs:
    """For each pair its row of x, its class y and the noise of its z: (…,P), (…,P), (…,P,Z).
    weight (…,P_u) belongs to the unlabelled pairs, which come first; the others are labelled."""
    example: object
    y: object
    weight: object
    eps: object = None


def exact(log_q):
    """All K pairs of each example, weight 1, or 0 where q(y|x) is below `NOTHING`.     log q (…,N,K) -> Pairs of N·K"""
    xp = namespace(log_q)
    *runs, N, K = log_q.shape
    pair = xp.broadcast_to(numbers(N * K, xp), (*runs, N * K))
    weight = xp.asarray(log_q > math.log(NOTHING), dtype=log_q.dtype)
    return Pairs(example=pair // K, y=pair % K, weight=xp.reshape(weight, (*runs, N * K)))


def sparse(log_q, u, top=1):
    """The `top` most probable classes, weight 1, and with probability min(1, mass / RARE) one of the rest.
    log q (…,N,K), u (…,N) uniform -> Pairs of (top+1)·N
    An omitted pair has weight 0, so the number of pairs does not depend on the data."""
    xp = namespace(log_q)
    *runs, N, K = log_q.shape
    classes = numbers(K, xp)
    zero, one = xp.zeros((), dtype=log_q.dtype), xp.ones((), dtype=log_q.dtype)
    rest, y, weight = xp.exp(log_q), [], []
    for rank in range(top):
        best = xp.argmax(rest, axis=-1)
        kept = (xp.max(rest, axis=-1) >= (PROBABLE if rank else 0))
        rest = xp.where((classes == best[..., None]) & kept[..., None], zero, rest)
        y.append(best)
        weight.append(xp.asarray(kept, dtype=log_q.dtype))
    mass = xp.sum(rest, axis=-1)
    up_to = xp.asarray(classes[:, None] <= classes, dtype=log_q.dtype)
    at_least = xp.maximum(mass, RARE)
    cumulative = rest @ up_to  # inverse transform sampling, which may pick none
    sample = xp.clip(xp.sum(xp.asarray(cumulative <= (u * at_least)[..., None], dtype=best.dtype), axis=-1), 0, K - 1)
    q_sample = xp.sum(xp.where(classes == sample[..., None], rest, zero), axis=-1)
    kept = (u * at_least < mass) & (q_sample > 1e-38)  # float32 has no weight for less, which u = 0 can choose
    y.append(sample)
    weight.append(xp.where(kept, at_least, zero) / xp.where(kept, q_sample, one))
    example = xp.broadcast_to(numbers(N, xp), (*runs, N))
    return Pairs(example=xp.concat([example] * (top + 1), axis=-1), y=xp.concat(y, axis=-1),
                 weight=xp.concat(weight, axis=-1))


def compact(pairs):
    """Drop the pairs of weight 0, on the CPU; runs with fewer pairs are padded with weight 0."""
    kept = pairs.weight > 0
    P = int(kept.sum(axis=-1).max(initial=0))
    order = np.argsort(~kept, axis=-1, kind="stable")[..., :P]
    return Pairs(*(np.take_along_axis(a, order, axis=-1) for a in (pairs.example, pairs.y, pairs.weight)))


def as_alone(eps, weight, samples=1):
    """The noise in the order in which each run would use it without the pairs that fill it up, on the CPU.
    eps (…,P',Z), weight (…,P) of compact pairs, of which each is used `samples` times -> (…,P',Z)"""
    added, place = np.sum(weight == 0, axis=-1, keepdims=True), np.arange(eps.shape[-2])
    return np.take_along_axis(eps, (place - np.minimum(place // weight.shape[-1], samples) * added)[..., None], axis=-2)


def with_labelled(pairs, labels, U, samples=1):
    """The pairs of U unlabelled examples, then those of the labelled ones, which follow in x.
    labels (…,L).  With several samples of z each pair is repeated `samples` times, with 1/samples of its weight."""
    xp = namespace(labels)
    example = xp.broadcast_to(U + numbers(labels.shape[-1], xp), labels.shape)

    def repeat(a):
        return xp.concat([a] * samples, axis=-1) if samples > 1 else a
    return replace(pairs, weight=repeat(pairs.weight) / samples,
                   example=xp.concat([repeat(pairs.example), repeat(example)], axis=-1),
                   y=xp.concat([repeat(pairs.y), repeat(labels)], axis=-1))


def pairs(log_q, *, sum_over_y, u, labels, eps, top=1, samples=1):
    """The pairs of a step, those of the U unlabelled examples first, with their noise.
    log q (…,U,K), u (…,U), labels (…,L), eps (…,P',Z), of which the first rows are used, one per pair"""
    chosen = exact(log_q) if sum_over_y == "exact" else sparse(log_q, u, top)
    if namespace(log_q) is np:
        chosen = compact(chosen)
        if (chosen.weight == 0).any():
            eps = as_alone(eps, chosen.weight, samples)
    chosen = with_labelled(chosen, labels, log_q.shape[-2], samples)
    return replace(chosen, eps=eps[..., :chosen.y.shape[-1], :])
