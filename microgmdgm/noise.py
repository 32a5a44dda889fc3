"""The random numbers of training: of each run by its own seed, so that a run does not depend on which others it is
trained with.

On the CPU they are those of NumPy's Generators.  On a GPU, where ten Generators are ten times as many kernels, the
number at a place of a run's sequence is a hash of its seed and the place, and one kernel draws those of all runs.
"""

import math

import numpy as np

from .backend import fused, namespace, numbers


class Noise:
    """Of the Generators of R runs.     shape -> (R,*shape)"""

    def __init__(self, rngs):
        self.rngs = rngs

    def uniform(self, *shape):
        """On [0, 1), in float32."""
        return np.stack([rng.random(shape, dtype=np.float32) for rng in self.rngs])

    def normal(self, *shape):
        """N(0, 1), in float32."""
        return np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in self.rngs])

    def integers(self, high, n):
        """From 0 to high − 1.     -> (R,n)"""
        return np.stack([rng.integers(0, high, n) for rng in self.rngs])


@fused
def bits(seed, place):
    """64 random bits at a place of a seed's sequence: SplitMix64 (Steele, Lea and Flood, 2014).     all uint64"""
    z = seed + place * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@fused
def uniform(seed, place):
    """As many bits as a float32 holds."""
    return (bits(seed, place) >> np.uint64(40)).astype(np.float32) * 2.0**-24


@fused
def normal(seed, place, other):
    """By Box and Muller (1958), of the numbers at two places.     -> float32"""
    xp = namespace(seed)
    return xp.sqrt(-2 * xp.log(1 - uniform(seed, place))) * xp.cos(2 * math.pi * uniform(seed, other))


@fused
def below(seed, place, high):
    """A whole number from 0 to high − 1, with high much below 2^64."""
    return (bits(seed, place) % high).astype(np.int64)


class HashedNoise:
    """The same on a GPU, by a seed of each run, which is the next number of its Generator."""

    def __init__(self, rngs, xp):
        self.xp, self.drawn = xp, 0
        self.seeds = xp.asarray(np.stack([rng.integers(2**64, size=1, dtype=np.uint64) for rng in rngs]))

    def _places(self, n):
        """The next n places."""
        self.drawn += n
        return numbers(n, self.xp, "uint64") + np.uint64(self.drawn - n)

    def uniform(self, *shape):
        return self.xp.reshape(uniform(self.seeds, self._places(math.prod(shape))), (-1, *shape))

    def normal(self, *shape):
        n = math.prod(shape)
        return self.xp.reshape(normal(self.seeds, self._places(n), self._places(n)), (-1, *shape))

    def integers(self, high, n):
        return below(self.seeds, self._places(n), np.uint64(high))
