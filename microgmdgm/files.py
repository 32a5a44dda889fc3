"""Files that are complete or absent: written under a temporary name, then renamed; read without pickle."""

import json
import math
import os
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, NotImplementedError, MemoryError,
              SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)  # what a damaged .npz can raise
SMALL = 2**28      # bytes that any .npz may unpack to
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def whole(path):
    """A binary file to write, which replaces `path` once all of it is on disk.
    If that fails at any point, `path` is unchanged.  Raises OSError."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(path, content):
    """Write content as JSON, completely or not at all."""
    with whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def write_npz(path, settings, **arrays):
    """Write arrays and a dict of settings as an .npz without pickle, completely or not at all."""
    with whole(path) as file:
        np.savez(file, settings=json.dumps(settings), **arrays)


def read_arrays(path):
    """{name: array} of an .npz without pickle, each byte verified by its checksum.
    Raises ValueError, in one line, if path holds no such file."""
    try:
        with zipfile.ZipFile(path) as file:
            _check_sizes(file, Path(path).stat().st_size)
            damaged = file.testzip()
            if damaged:
                raise ValueError(f"the checksum of its part {damaged} is wrong")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise ValueError(" ".join(str(error).split())) from None


def _check_sizes(file, size):
    """Raises ValueError where a ZipFile of `size` bytes would unpack to far more, or a part of it claims an array that
    is larger than the part: before memory is asked for either."""
    total = sum(part.file_size for part in file.infolist())
    if total > max(100 * size, SMALL):
        raise ValueError(f"{size:,} bytes that would unpack to {total:,}: save it without compression")
    for part in file.infolist():
        with file.open(part) as content:
            shape, _, dtype = HEADERS[np.lib.format.read_magic(content)](content)
        if math.prod(shape) * max(dtype.itemsize, 1) > part.file_size:
            raise ValueError(f"its part {part.filename} of {part.file_size:,} bytes claims an array of shape {shape}")


def read_npz(path, kind):
    """The settings and the arrays that write_npz wrote.
    Raises ValueError if path holds no such file; `kind` says in the message what was expected."""
    try:
        arrays = read_arrays(path)
        settings = json.loads(str(arrays.pop("settings")))
        if not isinstance(settings, dict):
            raise ValueError("its settings are no dict")
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is not {kind} by microgmdgm, or is damaged: {error}") from None
    return settings, arrays


def check_format(path, settings, expected):
    """Raises ValueError if the settings read from path have another format than this version writes."""
    if settings.get("format") != expected:
        raise ValueError(f"{path} has format {settings.get('format')}, but this version reads format {expected}")


def folder_name(name, recipe):
    """The default folder for the results of a run: results/<name>-<recipe>-<date and time>."""
    return f"results/{name}-{recipe}-{datetime.now():%Y-%m-%d-%H%M%S}"


def new_folder(path):
    """Create the folder and return it.  Raises ValueError if it is not empty or cannot be written."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ValueError(f"--out {path} is not empty: name a new folder, or go on with --resume {path}")
        with whole(path / "config.json"):
            pass
        (path / "config.json").unlink()  # it can be written to
    except OSError as error:
        raise ValueError(f"--out {path} cannot be written: {error.strerror}") from None
    return path
