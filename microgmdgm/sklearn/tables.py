"""Columns of any kind, as the numbers that the model sees.

    constant   one value                              left out
    binary     two values                             0 and 1
    count      whole numbers from 0, three or more    √(x + 3/8), of nearly constant variance (Anscombe, 1948)
    real       anything else                          unchanged

If all columns are binary, the likelihood is Bernoulli.  Otherwise it is Gaussian, and each column is
scaled to mean 0 and standard deviation 1.  Images have one scale for all pixels, from 0, the
least value of all, to 1, the largest, and a Bernoulli likelihood.  Heavy tails are left unchanged.
"""

from dataclasses import dataclass

import numpy as np

from ..batches import blocks, moments

KINDS = ("constant", "binary", "count", "real")
CONSTANT, BINARY, COUNT, REAL = range(4)
STEPS = 20  # a Gaussian likelihood sees a column in steps of σ/20 and smooths x by noise one step wide, without
            # which a column that often takes the same value could have an infinite density


def refuse_text(X):
    """Raises ValueError where a column of a frame holds text, by its name."""
    for name in getattr(X, "columns", ()):
        column = np.asarray(X[name])
        found = [value for value in column if isinstance(value, str)] if column.dtype.kind in "OUS" else []
        if found:
            raise ValueError(f"column {name!r} of X holds text, such as {found[0]!r}: leave it out, or make numbers of "
                             "it, for instance by scikit-learn's OneHotEncoder")


def kinds_of(x):
    """The kind of each column, and its least and largest value.     x (N,X) -> 3 × (X,)"""
    lo, hi, integral, two = np.inf, -np.inf, True, True
    for block in blocks(x):
        lo, hi = np.minimum(lo, block.min(axis=0)), np.maximum(hi, block.max(axis=0))
        integral = integral & (block == np.floor(block)).all(axis=0)
    for block in blocks(x):
        two = two & ((block == lo) | (block == hi)).all(axis=0)
    return np.select([lo == hi, two, integral & (lo >= 0)], [CONSTANT, BINARY, COUNT], REAL).astype(np.int8), lo, hi


@dataclass(frozen=True)
class Columns:
    """The model sees (f(x) − shift) / unit, f the square root above for counts; kinds, shift, unit (X,).
    `rows` gives that times white, as `Data` wants it."""
    likelihood: str
    white: float
    kinds: np.ndarray
    shift: np.ndarray
    unit: np.ndarray

    @classmethod
    def learn(cls, x, likelihood="auto", image=False):
        """Learn the columns of x (N,X), in a few passes over a few rows at a time.  Raises ValueError
        if all are constant, or for a Bernoulli likelihood on a table that is not within [0, 1]."""
        kinds, lo, hi = kinds_of(x)
        if not kinds.any():
            raise ValueError(f"all {len(kinds)} columns of X are constant, so that there is nothing to learn from")
        if image:
            kinds[kinds > CONSTANT] = REAL
        if likelihood == "auto":
            likelihood = "bernoulli" if image or kinds.max() == BINARY else "gaussian"
        if likelihood == "gaussian":
            return cls._standardised(x, kinds, lo, hi, image)
        if image:
            white = hi.max() - lo.min()
            shift = np.where(kinds > CONSTANT, lo.min(), lo)
            return cls(likelihood, float(white), kinds, shift, np.full_like(lo, white))
        if kinds.max() > BINARY and (lo.min() < 0 or hi.max() > 1):
            raise ValueError("a Bernoulli likelihood needs columns of two values, or values from 0 to 1, but X "
                             f"goes from {lo.min():g} to {hi.max():g}: scale it, or use likelihood='gaussian'")
        two = kinds <= BINARY
        return cls(likelihood, 1.0, kinds, np.where(two, lo, 0.0), np.where(two & (lo < hi), hi - lo, 1.0))

    @classmethod
    def _standardised(cls, x, kinds, lo, hi, image):
        """Each column, or all pixels of an image together, with mean 0 and standard deviation 1."""
        raw = cls("gaussian", 1.0, kinds, np.zeros_like(lo), np.ones_like(lo))
        mean, sd = moments(x, raw.rows)
        varies = (kinds > CONSTANT) & (sd > 1e-12 * np.maximum(np.abs(lo), np.abs(hi)))  # more than rounding
        if image:
            mean, sd = np.full_like(mean, mean.mean()), np.full_like(sd, np.sqrt(np.square(sd[varies]).mean()))
        kinds[~varies] = CONSTANT
        shift = np.where(varies, mean, raw.rows(lo[None])[0])
        return cls("gaussian", float(STEPS), kinds, shift, np.where(varies, sd, 1.0))

    @property
    def plain(self):
        """Is `rows` x itself?"""
        return self.likelihood == "bernoulli" and not self.shift.any() and bool((self.unit == self.white).all())

    def rows(self, x):
        """x (N,X) in the data's units -> (N,X), as the model sees it, times white."""
        x = np.asarray(x, dtype=np.float64)
        counts = self.kinds == COUNT
        if counts.any() and self.likelihood == "gaussian":
            x = np.where(counts, np.sqrt(np.maximum(x, 0) + 3 / 8), x)
        return (x - self.shift) * (self.white / self.unit)

    def inverse(self, h):
        """The inverse of `rows`.     (N,X) -> (N,X)"""
        x = np.asarray(h, dtype=np.float64) * (self.unit / self.white) + self.shift
        counts = self.kinds == COUNT
        if counts.any() and self.likelihood == "gaussian":
            x = np.where(counts, np.maximum(np.square(np.maximum(x, 0)) - 3 / 8, 0), x)
        return x

    def log_density(self, x, seen):
        """log |∂h/∂x| of the columns that the model sees, as h, which turns its density into one of x.  (N,X) -> (N,)
        0 for a Bernoulli likelihood, which has probabilities."""
        if self.likelihood == "bernoulli":
            return np.zeros(len(x))
        x = np.asarray(x, dtype=np.float64)
        slope = np.where(self.kinds == COUNT, 0.5 / np.sqrt(np.maximum(x, 0) + 3 / 8), 1.0) / self.unit
        return np.log(slope[:, seen]).sum(axis=1)

    def __str__(self):
        counts = zip(np.bincount(self.kinds, minlength=len(KINDS)), KINDS)
        found = ", ".join(f"{count} {kind}" for count, kind in counts if count)
        return f"{self.likelihood} likelihood, columns: {found}"


class View:
    """The rows of x as the model sees them, computed on access, so that x is never copied whole."""

    def __init__(self, x, columns):
        self.x, self.columns, self.shape = x, columns, x.shape

    def __array_namespace__(self):
        return np

    def __len__(self):
        return len(self.x)

    def __getitem__(self, rows):
        return self.columns.rows(self.x[rows]).astype(np.float32)
