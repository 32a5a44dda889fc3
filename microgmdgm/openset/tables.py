"""A table in a text file (.csv) in UTF-8: a line of column names, then one line per row.

Cells are separated by commas, semicolons or tabs, and in double quotes where they hold such a mark.  One column has
the labels, as text; all others have numbers.
"""

import csv
from array import array
from math import isfinite, nan

import numpy as np

from ..data import DataError
from ..sklearn.labels import NONE

MARKS = ",;\t"  # between cells: the one that is most frequent in the line of names


def read(path, label):
    """The columns except `label`, the column `label`, and the names of the former.
    -> x (N,width), y (N,) texts, names (width,).  Raises DataError that names the line and the column."""
    numbers, y = array("d"), []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            mark = max(MARKS, key=file.readline().count)
            file.seek(0)
            lines = csv.reader(file, delimiter=mark, skipinitialspace=True, strict=True)
            names, place = _names(path, next(lines, []), label)
            for cells in lines:
                if not cells:  # an empty line
                    continue
                where = f"{path}, line {lines.line_num}"
                if len(cells) != len(names) + 1:
                    raise DataError(f"{where}: {len(cells)} cells under {len(names) + 1} names")
                y.append(cells.pop(place).strip())
                numbers.extend(_number(cell, name, where) for cell, name in zip(cells, names))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as a table in UTF-8: {reason}") from None
    if not y:
        raise DataError(f"{path} has no row below its line of names")
    return np.array(numbers).reshape(len(y), len(names)), np.array(y), names


def _names(path, names, label):
    """The names of the columns except `label`, and its place.  Raises DataError."""
    names = [name.strip() for name in names]
    if label not in names:
        raise DataError(f"{path} has no column {label!r}: name the one with the labels by --label-column; its first "
                        f"line has {', '.join(names[:20]) or 'no name'}{' …' if len(names) > 20 else ''}")
    if "" in names:
        raise DataError(f"{path}: column {names.index('') + 1} has no name: leave out a column that only numbers the "
                        "rows, and name any other")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns {twice!r}: give each a name of its own")
    if len(names) < 2:
        raise DataError(f"{path} has no column but {label!r}: are its cells separated by commas, semicolons or tabs?")
    place = names.index(label)
    return names[:place] + names[place + 1:], place


def _number(cell, name, where):
    """Raises DataError if the cell holds none."""
    try:
        number = float(cell)
    except ValueError:
        if cell.strip() not in NONE:
            raise DataError(f"{where}: column {name!r} holds {cell!r}, which is no number: leave the column out, or "
                            "give each of its values a column of 0 and 1") from None
        number = nan
    if not isfinite(number):
        raise DataError(f"{where}: column {name!r} holds {cell!r}: fill or drop what is missing or infinite")
    return number
