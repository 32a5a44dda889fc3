"""A heat: contenders whose step is the same, to rounding, take turns; median, spread and ratio to ours."""

from contextlib import ExitStack

import numpy as np

from . import worker
from .worker import Failed, Worker

WARM, TURN = 0.25, 0.35  # seconds of a turn without and with a clock
PARITY = 1e-4            # relative difference, of the objective and of the gradient of each array in its norm


class Unequal(ArithmeticError):
    """A contender computes something else."""


def differences(layout, found, ours):
    """Relative differences of (objective, gradient (P,)) from ours: of the objective, and the largest of an array."""
    views, reference = layout.views(found[1]), layout.views(ours[1])
    return {"objective": float(abs(found[0] / ours[0] - 1)),
            "gradient": max(float(np.linalg.norm(a - b) / np.linalg.norm(b))
                            for network in reference for a, b in zip(views[network], reference[network]))}


def admit(contenders, problem, say):
    """Whether each computes the same step as "ours", in processes that are not timed.
    -> {name: {title, differences}, or {title, why it is absent}}.  Raises Unequal, and Failed where ours fails."""
    results, found = {}, {}
    for name, who in contenders.items():
        results[name] = {"title": who.title}
        code = who.module, who.maker
        try:
            if code not in found:
                with Worker({}) as ask:
                    found[code] = ask(worker.value_and_gradient, who, problem)
        except Failed as error:
            _absent(results, name, error, say)
            continue
        relative = differences(problem.model.layout, found[code], found["ours", "Ours"])
        if not max(relative.values()) <= PARITY:
            raise Unequal(f"{name} must compute the step of ours to {PARITY}, but differs by {relative}")
        results[name]["relative_differences"] = relative
    return results


def _absent(results, name, error, say):
    """A peer may be missing, or unfit for this machine; ours may not."""
    if name.startswith("ours"):
        raise error
    results[name]["absent"] = str(error)
    say(f"{name} is absent: {error}")


def quartiles(values):
    return dict(zip(("lower", "median", "upper"), (round(float(v), 4) for v in np.percentile(values, [25, 50, 75]))))


def run(entries, rounds, say):
    """Turns, forth and back.     entries {name: (Contender, Problem)} -> {name: figures, or why it is absent}
    Ratios to the entry "ours", where there is one, are those of medians of the same round."""
    with ExitStack() as stack:
        asks, results = {}, {}
        for name, (who, problem) in entries.items():
            results[name], ask = {}, stack.enter_context(Worker(who.environment))
            try:
                results[name].update(ask(worker.prepare, who, problem))
                asks[name] = ask
            except Failed as error:
                _absent(results, name, error, say)
        turns = {name: [] for name in asks}
        for i in range(rounds):
            for name in asks if i % 2 == 0 else reversed(asks):
                turns[name].append(asks[name](worker.turn, WARM, TURN))
            say(f"round {i + 1} of {rounds}")
        for name, ask in asks.items():
            seconds, cores = zip(*turns[name])
            results[name].update(ms=quartiles(1000 * np.concatenate(seconds)), steps=sum(map(len, seconds)),
                                 cores_used=round(float(np.median(cores)), 2), peak_mb=ask(worker.peak_memory))
            if "ours" in turns:
                results[name]["ratio"] = quartiles([np.median(theirs) / np.median(ours) for (theirs, _), (ours, _)
                                                    in zip(turns[name], turns["ours"])])
    return results
