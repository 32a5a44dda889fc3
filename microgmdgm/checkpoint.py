"""Checkpoints: everything that an epoch changes, in one file, so that a resumed run gives the same bits."""

from dataclasses import asdict

import numpy as np

from .adam import Adam
from .files import check_format, read_npz, write_npz
from .slots import Slots
from .state import State

FORMAT = 2


def save(path, state, settings, history=()):
    """Write a State in host memory, the settings of its run and, if they are kept nowhere else, the figures of each
    epoch, completely or not at all.  Raises OSError."""
    write_npz(path, {"format": FORMAT, "run": settings, "t": state.adam.t, "epoch": state.epoch,
                     "seconds": state.seconds, "history": [*history],
                     "slots": [asdict(slots) for slots in state.slots],
                     "generators": [rng.bit_generator.state for rng in state.rngs]},
              theta=state.theta, m=state.adam.m, v=state.adam.v)


def load(path, settings):
    """The State that `save` wrote.  Raises ValueError if path holds none, or one of other settings;
    the file is left unchanged."""
    found, arrays = read_npz(path, "a checkpoint written")
    check_format(path, found, FORMAT)
    other = [f"{name} is {_short(theirs)} there and {_short(ours)} here"
             for name, theirs, ours in _differences(found.get("run"), settings)]
    if other:
        raise ValueError(f"{path} is of a run with other settings: {'; '.join(other)}; it is left as it is")
    try:
        theta, m, v = arrays["theta"], arrays["m"], arrays["v"]
        rngs = [np.random.default_rng() for _ in found["generators"]]
        for rng, state in zip(rngs, found["generators"]):
            rng.bit_generator.state = state
        slots = [Slots([float(p) for p in each["prior"]], list(each["merges"]), each["closest"],
                       float(each["tolerance"]), list(each.get("splits", []))) for each in found["slots"]]
        state = State(theta, Adam(m, v, int(found["t"])), rngs, slots, int(found["epoch"]), float(found["seconds"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a checkpoint written by microgmdgm, or is damaged: {error}") from None
    if not (theta.ndim == 2 and len(theta) == len(rngs) == len(slots) and m.shape == v.shape
            and np.isfinite(state.seconds)
            and all(a.dtype == "float32" and np.isfinite(a).all() for a in (theta, m, v))):
        raise ValueError(f"{path} is damaged: θ, m and v must be finite, of float32, with a row a generator")
    return state


def history(path):
    """The figures of each epoch in a checkpoint."""
    return read_npz(path, "a checkpoint written")[0]["history"]


def _differences(theirs, ours, prefix=""):
    """(name, theirs, ours) of the settings that differ; nested ones go by their own names."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys((*theirs, *ours)):
            yield from _differences(theirs.get(name), ours.get(name), name)
    elif theirs != ours:
        yield prefix or "the run", theirs, ours


def _short(value):
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"
