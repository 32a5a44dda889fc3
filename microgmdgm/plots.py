"""The figures: Figure 2 of the paper, reliability, learning curves, samples, styles and walks, the latent space."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .evaluation import contingency, majority_map, reliability

MARKERS = "osD^v<>P*X"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00",
           "#56B4E9", "#999933", "#882255", "#444444", "#44AA99")  # distinct for colour-blind readers


def slot_names(labelled_classes, K, names=None):
    """Labelled classes under their own names, (C,) or None for numbers; found slots as new-0, new-1, …"""
    known = [names[c] if names else str(c) for c in labelled_classes]
    return known + [f"new-{k}" for k in range(K - len(known))]


def figure_2(panels, C, names=None):
    """Figure 2 of the paper: rows are true classes, from 0 at the bottom, columns the classes given to them,
    each slot standing for the class most common in it; each row sums to 1.  A panel a model, side by side.
    panels [(slots (N,), classes (N,), labelled classes, K, title), …], names (C,) of the classes -> Figure"""
    names = names or [str(c) for c in range(C)]
    figure = Figure(figsize=(1.6 + (1.0 + 0.52 * C) * len(panels), 1.4 + 0.5 * C), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (slots, classes, labelled, K, title) in zip(row, panels):
        given = majority_map(contingency(slots, classes, K, C))[slots]
        image = _shares(axes, contingency(given, classes, C, C))
        _columns(axes, names)
        axes.set_xlabel("class given to it")
        axes.set_title(title, fontsize=11)
        axes.set_ylabel("true class" if axes is row[0] else "")
        axes.set_yticks(range(C), _rows(labelled, names))
    figure.colorbar(image, ax=row, label="share of the true class", fraction=0.03)
    return figure


def slots(panel, C, names=None):
    """Figure 2 with one column per slot of y, under its name, grouped by the most common class in it."""
    found, classes, labelled, K, title = panel
    names = names or [str(c) for c in range(C)]
    counts = contingency(found, classes, K, C)
    slot_map = majority_map(counts)
    order = np.lexsort((np.arange(K), np.where(slot_map < 0, C, slot_map)))
    own = np.array(slot_names(labelled, K, names))[order]
    figure = Figure(figsize=(2.4 + 0.56 * K, 1.6 + 0.5 * C), layout="constrained")
    axes = figure.subplots()
    image = _shares(axes, counts[:, order])
    for column in np.flatnonzero(np.diff(slot_map[order])):
        axes.axvline(column + 0.5, color="white", linewidth=1.5)
    _columns(axes, [f"{name}\n→ {names[c] if c >= 0 else 'empty'}" for name, c in zip(own, slot_map[order])],
             fontsize=8)
    axes.set_xlabel("slot of the learnt y → most common class in it")
    axes.set_yticks(range(C), _rows(labelled, names))
    axes.set_ylabel("true class")
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.03)
    return figure


def _rows(labelled, names):
    return [name if c in labelled else f"{name}  (never labelled)" for c, name in enumerate(names)]


def _columns(axes, texts, **settings):
    """Texts below the columns, upright where they are long."""
    long = max(len(line) for text in texts for line in text.split("\n")) > 7
    axes.set_xticks(range(len(texts)), texts, rotation=90 if long else 0, **settings)


def _shares(axes, counts):
    """counts (C,columns), each row in shares of its sum."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto")
    for row, column in zip(*np.nonzero(share >= 0.001)):
        text = f"{share[row, column]:.2f}" if share[row, column] >= 0.01 else f"{share[row, column]:.3f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8 if share[row, column] >= 0.01 else 6.5,
                  color="black" if share[row, column] > 0.55 else "white")
    return image


def calibration(trained, x, classes, C, title):
    """The reliability diagram: of the examples of which q(y|x) is about equally sure, how many are right, each slot
    standing for the class most common in it.  The area of a dot is their share; on the diagonal q is as sure as it is
    right.     x (N,X), classes (N,) -> Figure"""
    q = trained.predict_proba(x)
    slots = q.argmax(axis=1)
    right = majority_map(contingency(slots, classes, trained.model.K, C))[slots] == classes
    share, said, true = reliability(q.max(axis=1), right)
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    axes.plot(said, true, color=COLOURS[0], linewidth=1)
    axes.scatter(said, true, s=8 + 300 * share, color=COLOURS[0], alpha=0.65, linewidths=0)
    for x, y, part in zip(said, true, share):
        axes.annotate(f"{100 * part:.1f}", (x, y), (0, -14), textcoords="offset points", ha="center", fontsize=7)
    axes.set(xlim=(0, 1.04), ylim=(-0.06, 1.04), ylabel="share that is right",
             xlabel="max q(y|x)\n(below each dot: its share of the examples, in percent)")
    axes.set_title(title, fontsize=11)
    return figure


def learning_curves(metrics, title):
    """Accuracy, the bound and the collapse monitor by epoch: one line per run; for three runs
    or more of a model, their median with a band from lowest to highest.     metrics: of metrics.jsonl -> Figure"""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = (("accuracy", "accuracy on test data", "fraction"),
              ("L(x)", "bound on log p(x), training batches", "nats"),
              ("mutual_information", "I(x; y) on test data", "nats"))
    joint = min((m["epoch"] for m in metrics if m["joint"]), default=1)
    for axes, (figure_name, heading, unit) in zip(figure.subplots(1, 3), panels):
        for model, colour, line in (("gm-dgm", "#0072B2", "-"), ("m2", "#D55E00", "--")):
            runs = {}
            for m in metrics:
                if m["model"] == model and figure_name in m:
                    runs.setdefault(m["seed"], {})[m["epoch"]] = m[figure_name]
            style = {"color": colour, "linestyle": line}
            if len(runs) < 3:
                for seed, points in runs.items():
                    axes.plot(points.keys(), points.values(), marker=".", alpha=0.8,
                              label=f"{model}, seed {seed}", **style)
            else:
                epochs = sorted(set.intersection(*(set(points) for points in runs.values())))
                values = np.array([[points[epoch] for epoch in epochs] for points in runs.values()])
                axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
                axes.plot(epochs, np.median(values, axis=0), marker="." if len(epochs) < 30 else None,
                          label=f"{model}, median of {len(runs)} runs", **style)
        if joint > 1:
            axes.axvline(joint - 0.5, color="grey", linewidth=1, linestyle=":")
        axes.set_title(heading)
        axes.set_xlabel("epoch (left of the dotted line: q(y|x) alone)" if joint > 1 else "epoch")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(title)
    return figure


def _grid(x, trained, title):
    """Images (rows, columns, width) side by side: the figure, its axes, and the middles of rows and columns."""
    (rows, columns), (h, w) = x.shape[:2], trained.image_shape
    canvas = np.pad(x.reshape(rows, columns, h, w), ((0, 0), (0, 0), (0, 1), (0, 1)))  # a white line between pictures
    h, w = h + 1, w + 1
    figure = Figure(figsize=(1.2 + 0.5 * columns, 0.8 + 0.5 * rows), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas.transpose(0, 2, 1, 3).reshape(rows * h, columns * w), cmap="gray_r", vmin=0, vmax=trained.white)
    for k in range(1, rows):
        axes.axhline(k * h - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=11)
    return figure, axes, np.arange(rows) * h + h / 2, np.arange(columns) * w + w / 2


def samples(trained, title, slots=None, columns=10, seed=0, names=None):
    """A row of samples p(x|z), z ~ p(z|y), of each of the slots, or of all.  For images."""
    names = slot_names(trained.labelled_classes, trained.model.K, names)
    slots = np.arange(trained.model.K) if slots is None else np.asarray(slots)
    x = trained.sample(len(slots) * columns, np.repeat(slots, columns), seed).reshape(len(slots), columns, -1)
    figure, axes, rows, _ = _grid(x, trained, title)
    axes.set_yticks(rows, [names[k] for k in slots])
    axes.set_ylabel("slot")
    return figure


def styles(trained, x, title, names=None):
    """Images, their reconstructions, and each in its own style in every slot.     x (N,width), a row an image"""
    N, K = len(x), trained.model.K
    drawn = trained.draw(np.repeat(trained.style(x), K, axis=0), np.tile(np.arange(K), N)).reshape(N, K, -1)
    names = slot_names(trained.labelled_classes, K, names)
    figure, axes, _, columns = _grid(
        np.concatenate([x[:, None], trained.reconstruct(x)[:, None], drawn], axis=1), trained, title)
    axes.set_xticks(columns, ["x", "reconstruction", *names], rotation=90)
    return figure


def walks(trained, x, title, columns=12):
    """From each image to the next one, in a straight line between their z, with the y of the nearer; for GM-DGM y
    has no part in p(x|z).     x (N,width)"""
    z, y, share = trained.encode(x), trained.predict(x), np.linspace(0, 1, columns)[:, None]
    drawn = [trained.decode((1 - share) * z[i] + share * z[i + 1], np.where(share[:, 0] < 0.5, y[i], y[i + 1]))
             for i in range(len(x) - 1)]
    return _grid(np.stack(drawn), trained, title)[0]


def latent(trained, x, classes, title, points=2000, names=None):
    """The means of z of some test points in two dimensions (t-SNE), marked by true class."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits
    x, classes = x[:points], classes[:points]
    z = trained.encode(x)
    z = np.pad(z, ((0, 0), (0, max(2 - z.shape[1], 0))))  # t-SNE starts from two coordinates
    with threadpool_limits(1):  # several wait for each other by spinning: six times as long beside another program
        place = TSNE(init="pca", perplexity=min(30, (len(z) - 1) / 3), random_state=0).fit_transform(z)
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    axes = figure.subplots()
    for c in np.unique(classes):
        here = place[classes == c]
        name = names[c] if names else str(c)
        known = c in trained.labelled_classes
        axes.scatter(*here.T, s=11, marker=MARKERS[c % 10], color=COLOURS[c % 10], alpha=0.65,
                     linewidths=0, label=name if known else f"{name} (never labelled)")
        axes.text(*np.median(here, axis=0), name, fontsize=15 if len(name) < 3 else 10, weight="bold",
                  ha="center", va="center", bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1})
    axes.set_xlabel("first t-SNE coordinate")
    axes.set_ylabel("second t-SNE coordinate")
    axes.set_title(title, fontsize=11)
    axes.legend(title="true class", fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
