"""Files that are complete or absent: written under a temporary name, then renamed; read without pickle."""

import json
import os
import zipfile
import zlib
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, NotImplementedError, MemoryError,
              zipfile.BadZipFile, zlib.error)  # what a damaged .npz can raise


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
    """{name: array} of an .npz without pickle, each byte verified by its checksum.  Raises one of UNREADABLE."""
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
        if damaged:
            raise ValueError(f"the checksum of its part {damaged} is wrong")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def read_npz(path, kind):
    """The settings and the arrays that write_npz wrote.
    Raises ValueError if path holds no such file; `kind` says in the message what was expected."""
    try:
        arrays = read_arrays(path)
        settings = json.loads(str(arrays.pop("settings")))
        if not isinstance(settings, dict):
            raise ValueError("its settings are no dict")
    except UNREADABLE as error:
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
