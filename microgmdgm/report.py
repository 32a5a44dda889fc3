"""report.html: one page with all of an experiment, pictures inside; and the same pictures as files."""

import base64
import html
import io

from . import plots
from .files import whole
from .results import TITLES, seed_rows, table, warnings

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d9d9d9; --paper: #fff; --panel: #f6f6f4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e3; --soft: #a5a29d; --line: #45433f; --paper: #191817; --panel: #24221f } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.2rem; max-width: 76rem; color: var(--ink); background: var(--paper);
       font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0 }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }
p { max-width: 46rem } .soft { color: var(--soft); font-size: .9rem }
.warn { border-left: .3rem solid #d55e00; background: var(--panel); padding: .4rem .8rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 8rem }
th.part { font-weight: 400; font-style: italic; color: var(--soft); padding-top: .7rem }
figure { margin: 0; overflow-x: auto } .large img { min-width: 38rem } figcaption { color: var(--soft); font-size: .85rem }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; display: block }
.side { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)) }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); padding: .6rem .8rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; font-size: .9rem }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
@media print { body { max-width: none; padding: 0; font-size: 9pt } figure, tr { break-inside: avoid }
  h2 { break-after: avoid } .wide, figure { overflow: visible } .large img { min-width: 0 } }
"""


def write(folder, data):
    """Write the pictures and report.html of a Folder whose config names `data`, for the runs that were
    finished.  The best run of each model is drawn.  Raises OSError."""
    models = {name: runs for name, runs in folder.runs.items() if runs}
    best = {name: folder.best(name) for name in models}
    title = {name: f"{TITLES[name]} on {TITLES.get(data.name, data.name)}" for name in models}
    chosen = {name: f"best of {len(runs)} runs, seed {best[name][0]['seed']}" if len(runs) > 1 else
              f"seed {best[name][0]['seed']}" for name, runs in models.items()}
    pictures = {}
    panels = {name: (trained.predict(data.x_test), data.y_test, trained.labelled_classes, trained.model.K,
                     f"{title[name]}, {chosen[name]}: accuracy {result['accuracy']:.3f}")
              for name, (result, trained) in best.items()}
    for name, (result, trained) in best.items():
        where = f"{title[name]}, {chosen[name]}"
        pictures["figure2", name] = plots.figure_2([panels[name]], data.C)
        pictures["slots", name] = plots.slots(panels[name], data.C)
        if data.image_shape:
            pictures["samples", name] = plots.samples(trained, f"{where}: samples of each slot")
        pictures["latent", name] = plots.latent(trained, data.x_test, data.y_test, f"{where}: means of z, test data")
    if len(models) > 1:
        pictures["figure2", ""] = plots.figure_2(list(panels.values()), data.C)
    pictures["curves", ""] = plots.learning_curves(
        folder.metrics, f"{' and '.join(TITLES[name] for name in models)} on {TITLES.get(data.name, data.name)}")
    images = {}
    for (kind, name), picture in pictures.items():
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=120)
        images[kind, name] = buffer.getvalue()
        with whole(folder.path / ("-".join(filter(None, (kind, name))) + ".png")) as file:
            file.write(buffer.getvalue())
    with whole(folder.path / "report.html") as file:
        file.write(page(folder, data, images).encode())


def page(folder, data, images):
    """The HTML of the report.     images {(kind, model or ""): PNG}"""
    config, summary = folder.config, folder.summary()
    models = summary["models"]
    names = " and ".join(TITLES[name] for name in models)
    job = config["job"]
    intended = len(config["models"]) * len(config["seeds"])
    count = sum(len(model["runs"]) for model in models.values())
    heads, rows = table(models)
    figures = [("Figure 2", "figure2", "Each row is a true class and sums to 1; each column is a class given, where each "
                "slot of the learnt y stands for the class most common in it."),
               ("Slots", "slots", "The same with a column a slot, under its name and the class most common in it."),
               ("Samples of each slot", "samples", "Means of p(x|z) with z drawn from p(z|y)."),
               ("Latent space", "latent", "Means of q(z|x,y) in two dimensions, by t-SNE.")]
    parts = [
        f"<h1>{html.escape(names)} on {html.escape(TITLES.get(data.name, data.name))}</h1>",
        f"<p>{_labels(job, data.C)} y has {data.C + job['extra_classes']} slots. {count} of {intended} runs finished; last epoch, {len(data.x_test)} test examples, nothing chosen by them.</p>",
        *(f'<p class="warn">{html.escape(warning)}</p>' for warning in warnings(models)),
        "<h2>Table 1</h2>", _table(["percent, mean (SD)", *heads], rows),
        '<p class="soft">The paper names each slot by the class most common in it among the very test examples that it '
        "then scores; the clean protocol uses the training examples for that. The paper’s columns are for MNIST with "
        "100 labels for each of 0 1 2 8 9, ten runs.</p>",
        "<h2>Learning curves</h2>", _picture(images["curves", ""], "Learning curves", "", large=True)]
    for heading, kind, caption in figures:
        shown = [(name, images[kind, name]) for name in models if (kind, name) in images]
        if shown:
            parts += [f"<h2>{heading}</h2>", '<div class="side">',
                      *(_picture(png, f"{heading}, {TITLES[name]}", caption, large=kind in ("figure2", "slots")) for name, png in shown),
                      "</div>"]
    parts += ["<h2>Every run</h2>", _table(*seed_rows(models)),
              '<p class="soft">Accuracies and NMI in percent; I(x;y) and the bound on log p(x) in nats; slots in use; '
              "seconds of training.</p>",
              "<h2>How it was made</h2>", f"<pre>{html.escape(config['command'])}</pre>",
              _list({"hardware": config["device"], **config["versions"]}), "<h2>Settings</h2>",
              _list({**job, "model": names, "seeds": _short(config["seeds"]), "recipe": job["recipe"]["name"]}),
              "<h3>Recipe</h3>", _list(job["recipe"])]
    return (f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" '
            f'content="width=device-width, initial-scale=1">\n<title>{html.escape(names)}: report</title>\n'
            f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n")


def _labels(job, C):
    known, each = job["labelled_classes"], job["labels_per_class"]
    never = " ".join(str(c) for c in range(C) if c not in known)
    if not known:
        return "No labels."
    return (f"Labels: {'all' if each is None else each} for each of the classes {' '.join(map(str, known))}"
            + (f"; none for {never}." if never else "."))


def _short(seeds):
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else seeds[0]


def _table(heads, rows):
    """rows: lists of cells, or (title, cells or None for a heading)."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    for row in rows:
        if row[1] is None:
            lines.append(f'<tr><th class="part" colspan="{len(heads)}">{html.escape(row[0])}</th></tr>')
        else:
            cells = row if isinstance(row, list) else [row[0], *row[1]]
            lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return '<div class="wide"><table>' + "\n".join(lines) + "</table></div>"


def _picture(png, alt, caption, large=False):
    """large: to be moved about on a small screen rather than made small."""
    code = base64.b64encode(png).decode()
    return (f'<figure{" class=large" if large else ""}><img alt="{html.escape(alt)}" src="data:image/png;base64,{code}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")


def _list(items):
    return "<dl>" + "".join(f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>"
                            for name, value in items.items()) + "</dl>"
