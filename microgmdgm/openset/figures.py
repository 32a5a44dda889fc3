"""The figures of the open-set report, in colours that are distinct for colour-blind readers."""

from functools import partial

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

KNOWN, NEW = "#0072B2", "#E69F00"
FEATURES = 30  # at most, of a table's profile


def figures(report, x=None, image_shape=None):
    """What draws each figure that fits: {name: function without arguments}.  x (N,width) are the rows of the report,
    for images."""
    images = image_shape is not None and x is not None
    found = {"examples": partial(examples, report, x, image_shape)} if images else {}
    found |= {"sizes": partial(sizes, report), "overlaps": partial(overlaps, report)}
    if report.classes:
        found["truth"] = partial(truth, report)
    if report.profile is not None and not images:
        found["profile"] = partial(profile, report)
    return found


def labels(report):
    """The names of the slots, with "new" added if the name does not say so."""
    return [slot.name if slot.known or slot.name.startswith("new") else f"{slot.name} (new)" for slot in report.slots]


def sizes(report):
    """One bar per slot, its length the number of rows, and beside it how sure they are."""
    K = len(report.slots)
    figure = Figure(figsize=(7, 1.4 + 0.3 * K), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(K), [slot.size for slot in report.slots], color=[KNOWN if s.known else NEW for s in report.slots],
              hatch=["" if slot.known else "//" for slot in report.slots], edgecolor="white")
    for k, slot in enumerate(report.slots):
        sure = f" {100 * slot.confidence:.0f} % sure" if slot.size else " empty"
        axes.text(slot.size, k, sure, va="center", fontsize=8)
    axes.set_yticks(range(K), labels(report), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlabel("rows")
    axes.set_ylabel("slot")
    axes.set_title("Size of each slot, and mean probability of its rows")
    axes.legend(handles=[Patch(color=KNOWN, label="known class"),
                         Patch(facecolor=NEW, hatch="//", edgecolor="white", label="new")], fontsize=8)
    return figure


def overlaps(report):
    """The overlaps of all pairs of slots; pairs that look like parts of one class are framed."""
    K, names = len(report.slots), [slot.name for slot in report.slots]
    o = np.where(np.eye(K, dtype=bool), np.nan, report.overlaps)
    figure = Figure(figsize=(2.6 + 0.42 * K, 1.9 + 0.4 * K), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(o, cmap="cividis", vmin=0, vmax=1)
    for j in range(K):
        for k in range(K):
            if j != k and o[j, k] >= 0.005:
                axes.text(k, j, f"{o[j, k]:.2f}", ha="center", va="center", fontsize=6,
                          color="black" if o[j, k] > 0.55 else "white")
            if any({names[j], names[k]} <= set(group) for group in report.alike) and o[j, k] > report.threshold:
                axes.add_patch(Rectangle((k - 0.5, j - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2))
    axes.set_xticks(range(K), labels(report), fontsize=8, rotation=90)
    axes.set_yticks(range(K), labels(report), fontsize=8)
    axes.set_xlabel("slot")
    axes.set_ylabel("slot")
    axes.set_title(f"Overlap of slots; framed: more than {report.threshold:.2f}")
    figure.colorbar(image, ax=axes, label="Bhattacharyya coefficient")
    return figure


def truth(report):
    """How each slot splits by the truth: columns are slots and sum to 1."""
    K, C = len(report.slots), len(report.classes)
    counts = np.array([[slot.truth.get(name, 0) for slot in report.slots] for name in report.classes])
    share = counts / np.maximum(counts.sum(axis=0), 1)
    figure = Figure(figsize=(2.6 + 0.5 * K, 1.9 + 0.4 * C), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for c, k in zip(*np.nonzero(share >= 0.005)):
        axes.text(k, c, f"{share[c, k]:.2f}", ha="center", va="center", fontsize=7,
                  color="black" if share[c, k] > 0.55 else "white")
    axes.set_xticks(range(K), labels(report), fontsize=8, rotation=90)
    axes.set_yticks(range(C), report.classes, fontsize=8)
    axes.set_xlabel("slot")
    axes.set_ylabel("true class")
    axes.set_title("How each slot splits by the truth")
    figure.colorbar(image, ax=axes, label="share of the slot")
    return figure


def examples(report, x, image_shape):
    """One row per slot: its most typical images on the left, its least typical on the right."""
    h, w = image_shape
    columns = max([len(slot.typical) for slot in report.slots] + [1])
    K = len(report.slots)
    rows = [row for slot in report.slots for row in slot.typical + slot.untypical]
    shown = np.asarray(x[rows], dtype=float)
    lo, hi = shown.min(initial=0.0), shown.max(initial=1e-9)
    canvas = np.full((K * (h + 1), (2 * columns + 1) * (w + 1)), lo)
    for k, slot in enumerate(report.slots):
        for place, row in [*enumerate(slot.typical), *enumerate(slot.untypical, start=columns + 1)]:
            canvas[k * (h + 1):k * (h + 1) + h, place * (w + 1):place * (w + 1) + w] = x[row].reshape(h, w)
    figure = Figure(figsize=(1.6 + 0.45 * (2 * columns + 1), 1.2 + 0.45 * K), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray_r", vmin=lo, vmax=hi)
    for k in range(1, K):
        axes.axhline(k * (h + 1) - 1, color="#bbbbbb", linewidth=0.6)
    axes.set_yticks(np.arange(K) * (h + 1) + h / 2, labels(report), fontsize=8)
    axes.set_xticks([columns * (w + 1) / 2, (1.5 * columns + 1) * (w + 1)], ["most typical", "least typical"])
    axes.set_ylabel("slot")
    axes.set_title("Examples of each slot")
    return figure


def profile(report):
    """What sets each slot of a table apart: its means, in standard deviations from the mean of all rows."""
    K = len(report.slots)
    order = np.argsort(-np.abs(report.profile).max(axis=0), kind="stable")[:FEATURES]
    values, names = report.profile[:, order], [report.feature_names[i] for i in order]
    limit = max(float(np.abs(values).max(initial=0)), 1e-9)
    figure = Figure(figsize=(2.8 + 0.55 * K, 1.9 + 0.26 * len(order)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values.T, cmap="PuOr", norm=TwoSlopeNorm(0, -limit, limit), aspect="auto")
    for k in range(K):
        for i in range(len(order)):
            axes.text(k, i, f"{values[k, i]:+.1f}", ha="center", va="center", fontsize=6,
                      color="white" if abs(values[k, i]) > 0.6 * limit else "black")
    axes.set_xticks(range(K), labels(report), fontsize=8, rotation=90)
    axes.set_yticks(range(len(order)), names, fontsize=8)
    axes.set_xlabel("slot")
    axes.set_ylabel("feature")
    left_out = report.profile.shape[1] - len(order)
    axes.set_title("Feature profile of each slot" + (f" ({left_out} features left out)" if left_out else ""))
    figure.colorbar(image, ax=axes, label="standard deviations from the mean of all rows")
    return figure
