"""What every setting may be, in one place.

A field of `Model`, `Recipe` or `Job` is annotated with its kind instead of a type, and `enforce` holds
it.  The command line, --set and the estimator use the same kinds.
"""

from dataclasses import dataclass, fields, replace
from numbers import Integral, Real


@dataclass(frozen=True)
class Kind:
    """Numbers of a type, int or float, from least to most, or certain other values, or both."""
    number: type | None
    least: float = 0
    most: float = 0
    others: tuple = ()

    def __or__(self, other):
        """This kind with one more value."""
        return replace(self, others=(*self.others, other))

    def __str__(self):
        numbers = [f"a {'whole number' if self.number is int else 'number'} from {self.least:,} to {self.most:,}"]
        return " or ".join([*(numbers if self.number else ()), *(str(other).lower() for other in self.others)])

    def __call__(self, value):
        """The value, numbers as Python's own.  Raises ValueError if it is not of this kind."""
        for other in self.others:
            if isinstance(value, type(other)) and value == other:
                return other
        numeric = isinstance(value, Integral if self.number is int else Real) and not isinstance(value, bool)
        if self.number and numeric and self.least <= value <= self.most:  # NaN is not
            return self.number(value)
        raise ValueError(f"must be {self}, not {repr(value)[:60]}")

    def parse(self, text):
        """The value that a text stands for.  Raises ValueError."""
        for other in self.others:
            if text.lower() == str(other).lower():
                return other
        try:
            value = self.number(text)
        except (TypeError, ValueError):
            value = text
        return self(value)


def one_of(*others):
    return Kind(None, others=others)


def named(name, kind, value):
    """kind(value).  Raises ValueError, whose message begins with the name."""
    try:
        return kind(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def enforce(settings):
    """Check the fields of a dataclass against their kinds.  Raises ValueError, which names the field."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(field.type, Kind):
            object.__setattr__(settings, field.name, named(field.name, field.type, value))
        elif field.type is str and not isinstance(value, str):
            raise ValueError(f"{field.name} must be a text, not {repr(value)[:60]}")


def image_shape(shape, width):
    """(h, w) of images with `width` pixels.  Raises ValueError if shape is none."""
    try:
        h, w = map(SIZE, shape)
        if h * w == width:
            return h, w
    except (TypeError, ValueError):
        pass
    raise ValueError(f"image_shape must be (h, w) with h·w = {width}, not {str(shape)[:60]}")


MODEL = one_of("gm-dgm", "m2")
LIKELIHOOD = one_of("bernoulli", "gaussian")
SUM_OVER_Y = one_of("exact", "sparse")
SWITCH = one_of(True, False)
SIZE = Kind(int, 1, 100_000)            # units of a layer, dimensions of z
LAYERS = Kind(int, 1, 100)
SLOTS = Kind(int, 0, 1_000)             # slots of y for new classes
FEW = Kind(int, 1, 1_000)               # runs; processes; samples of z; classes in the sparse sum
COUNT = Kind(int, 1, 10_000_000)        # examples, columns
ORDINAL = Kind(int, 0, 10_000_000)      # a class
SEED = Kind(int, 0, 2**32 - 1)          # as scikit-learn has it
EPOCHS = Kind(int, 1, 1_000_000)
MORE_EPOCHS = Kind(int, 0, 1_000_000)   # before them, or the first of them; steps
RATE = Kind(float, 0, 1_000)
WEIGHT = Kind(float, 0, 1_000_000)
SHARE = Kind(float, 0, 1)
PART = Kind(float, 0.001, 1)            # a share that is not 0
SCALE = Kind(float, 0, 10)              # of maps, of noise; a factor
POSITIVE = Kind(float, 1e-300, 1e300)
SD = Kind(float, 1e-9, 1_000) | None    # None: Glorot-normal
CLIP = Kind(float, 1e-6, 1_000_000) | None
