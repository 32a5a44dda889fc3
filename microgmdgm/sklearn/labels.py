"""Labels from outside, with −1 or nothing where a row has none, and the slots of the model.

Known classes have the first slots, in sorted order; new ones follow under names of their own.
"""

import warnings

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

NONE = ("-1", "-1.0", "", "NA", "NaN", "nan", "None", "<NA>", "NaT")  # the texts of −1, NaN, None and pandas' NA


def unlabelled(y):
    """Where y (N,) has no label: −1, NaN, None, pd.NA, or the text of one of them, which NumPy makes of it among
    strings; or no text at all."""
    y = np.asarray(y)
    return np.isin(y.astype(str), NONE) if y.dtype.kind in "OUS" else (y == -1) | (y != y)


def marked(y):
    """Labels (N,) of any kind, with −1 ("-1" among strings) wherever there is none.  Raises ValueError."""
    y = column_or_1d(y, warn=True)
    if y.dtype.kind not in "biufOUS":
        raise ValueError(f"Unknown label type: labels must be numbers or strings, not {y.dtype}")
    without = unlabelled(y)
    return np.where(without, "-1" if y.dtype.kind in "US" else -1, y) if without.any() else y


def plain(labels):
    """Labels (N,) of dtype object as an array of strings or of numbers.  Raises ValueError if they are mixed."""
    if labels.dtype != object:
        return labels
    if len({isinstance(label, str) for label in labels}) > 1:
        raise ValueError("Unknown label type: y mixes strings with other labels; rows without a label have −1")
    return np.array(labels.tolist())


def new_names(known, new):
    """Names for `new` classes beside the known ones: new-0, new-1, … among strings, else the next free numbers."""
    if known.dtype.kind in "US":
        names = [name for i in range(new + len(known)) if (name := f"new-{i}") not in known]
        return np.array(names[:new], dtype=str)
    return np.arange(new) + (max(int(np.floor(known[-1])) + 1, 0) if len(known) else 0)  # not −1, which is no label


def slots_of(y, new):
    """Known classes (L,), new ones, and the slot of each row of y (N,), −1 for a row without a label.  If every row
    has one there are no new classes, and a warning.  Raises ValueError for invalid labels, for a single class,
    and for more classes than rows."""
    without = unlabelled(y)
    labels = plain(y[~without])
    if len(labels):
        check_classification_targets(labels)
    known, inverse = np.unique(labels, return_inverse=True)
    if not without.any():
        new = 0
        warnings.warn("y contains no unlabelled rows (−1): this is supervised learning, without new classes",
                      stacklevel=2)
    if len(known) + new < 2:
        raise ValueError("there is only one class: label a second one, or leave rows without a label (−1) and ask "
                         "for n_new_classes of at least 1")
    if len(y) < len(known) + new:
        raise ValueError(f"n_samples={len(y)} should be >= the number of classes, {len(known)} labelled and {new} new")
    slots = np.full(len(y), -1)
    slots[~without] = inverse
    return known, new_names(known, new), slots
