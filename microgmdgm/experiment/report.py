"""report.html: an experiment on one page with its pictures, which are also files of their own."""

import html
from functools import partial

import numpy as np

from .. import plots
from ..files import whole
from ..pages import document, drawn, pairs, picture, table
from .table1 import TITLES, in_words, merge_rows, seed_rows, table_1, warnings_of

FIGURES = (  # heading, kind, caption of what is drawn from the data with a trained model
    ("Figure 2", "figure2", "Each row is a true class and sums to 1; each column is a class given, where each slot of "
     "the learnt y stands for the class most common in it."),
    ("Slots", "slots", "The same with a column a slot, under its name and the class most common in it."),
    ("Calibration", "calibration", "Of the test examples of which q(y|x) is about equally sure, how many are right, "
     "where each slot stands for the class most common in it; below the diagonal q is surer than right."),
    ("Samples of each slot", "samples", "Means of p(x|z) with z drawn from p(z|y)."),
    ("One style in all slots", "styles", "Each row: a test image x, its reconstruction, and its style in every slot: z "
     "at the same place in each p(z|y)."),
    ("Walks", "walks", "Each row: means of p(x|z) on a straight line of z from one of these images to the next."),
    ("Latent space", "latent", "Means of q(z|x,y) in two dimensions, by t-SNE."))


def write(folder, data):
    """Write the pictures and report.html of a Folder for the runs that were finished, each model's by its run with
    the highest bound.  Without data (None) the pictures that need them stay as they are.  Raises OSError."""
    best = {name: folder.best(name) for name, runs in folder.runs.items() if runs}
    title = f"{' and '.join(TITLES[name] for name in best)} on {TITLES.get(folder.data_name, folder.data_name)}"
    pictures = {("curves", ""): partial(plots.learning_curves, folder.metrics, title),
                **(_from_data(folder, best, data) if data else {})}
    for key, draw in pictures.items():
        if image := drawn(_file(folder, *key).name, draw):
            with whole(_file(folder, *key)) as file:
                file.write(image)
    keys = [("curves", ""), *((kind, name) for _, kind, _ in FIGURES for name in best)]
    images = {key: _file(folder, *key).read_bytes() for key in keys if _file(folder, *key).exists()}
    with whole(folder.path / "report.html") as file:
        file.write(page(folder, images).encode())


def is_drawn(folder):
    """Is there a report of all finished runs, with the pictures that need the data?"""
    page, runs = folder.path / "report.html", folder.path / "summary.json"
    return (page.exists() and page.stat().st_mtime >= runs.stat().st_mtime  # the page is written last
            and all(_file(folder, kind, name).exists()
                    for name in folder.runs for kind in ("figure2", "slots", "latent")))  # samples: of images alone


def _file(folder, kind, name):
    return folder.path / ("-".join(filter(None, (kind, name))) + ".png")


def _from_data(folder, best, data):
    """{(kind, model or "" for both): what draws it}     best {model: (result, Trained)}"""
    models = {name: folder.runs[name] for name in best}
    title = {name: f"{TITLES[name]} on {TITLES.get(data.name, data.name)}" for name in models}
    chosen = {name: f"highest bound of {len(runs)} runs, seed {best[name][0]['seed']}" if len(runs) > 1 else
              f"seed {best[name][0]['seed']}" for name, runs in models.items()}
    pictures, names = {}, data.class_names
    panels = {name: (trained.predict(data.x_test), data.y_test, trained.labelled_classes, trained.model.K,
                     f"{title[name]}, {chosen[name]}: accuracy {result['accuracy']:.3f}")
              for name, (result, trained) in best.items()}
    for name, (result, trained) in best.items():
        where = f"{title[name]}, {chosen[name]}"
        pictures["figure2", name] = partial(plots.figure_2, [panels[name]], data.C, names)
        pictures["slots", name] = partial(plots.slots, panels[name], data.C, names)
        pictures["calibration", name] = partial(plots.calibration, trained, data.x_test, data.y_test, data.C,
                                               f"{where}:\ncalibration of q(y|x)")
        if data.image_shape:
            used = np.unique(panels[name][0])
            pictures["samples", name] = partial(plots.samples, trained, f"{where}:\nsamples of each slot in use", used,
                                                names=names)
            first = data.x_test[np.unique(data.y_test, return_index=True)[1][:10]]  # one of each class
            pictures["styles", name] = partial(plots.styles, trained, first, f"{where}:\none style in all slots",
                                               names=names)
            pictures["walks", name] = partial(plots.walks, trained, first, f"{where}:\nwalks in z")
        pictures["latent", name] = partial(plots.latent, trained, data.x_test, data.y_test,
                                           f"{where}:\nmeans of z, test data", names=names)
    if len(models) > 1:
        pictures["figure2", ""] = partial(plots.figure_2, list(panels.values()), data.C, names)
    return pictures


def page(folder, images):
    """The HTML of the report.     images {(kind, model or ""): PNG}"""
    config, summary, dataset = folder.config, folder.summary(), folder.data_name
    models = summary["models"]
    names = " and ".join(TITLES[name] for name in models)
    job, classes = config["job"], config["classes"]
    intended = len(config["models"]) * len(config["seeds"])
    count = sum(len(model["runs"]) for model in models.values())
    heads, rows = table_1(models, dataset)
    parts = [
        f"<h1>{html.escape(names)} on {html.escape(TITLES.get(dataset, dataset))}</h1>",
        f"<p>{_labels(job, classes)} y has {len(classes) + job['extra_classes']} slots. {count} of {intended} runs "
        "finished; last epoch, held-out test examples, nothing chosen by them.</p>",
        *(['<p class="warn">MNIST could neither be found nor downloaded: these runs are on scikit-learn’s 8×8 digits. '
           "Name a folder with MNIST by --data-dir and run the command again.</p>"] if config.get("fallback") else []),
        *(f"<p><strong>{html.escape(sentence)}</strong></p>" for sentence in in_words(models)),
        *(f'<p class="warn">{html.escape(warning)}</p>' for warning in warnings_of(models)),
        '<p class="soft">A slot is a value of y that the model learnt; labelled classes have one each, the others are '
        "for classes without labels. I(x;y), at most the logarithm of the number of slots, is how many nats y says of "
        "x; y has collapsed where that is almost nothing. An empty slot is one that no test example falls into.</p>",
        "<h2>Table 1</h2>", table(["percent, mean (SD)", *heads], rows),
        '<p class="soft">The paper names each slot by the class most common in it among the very test examples that it '
        "then scores; the clean protocol uses the training examples for that."
        + (" The paper’s columns are for MNIST with 100 labels for each of 0 1 2 8 9, ten runs."
           if dataset.startswith("mnist") else "") + "</p>",
        *(["<h2>Learning curves</h2>", picture(images["curves", ""], "Learning curves", "", large=True)]
          if ("curves", "") in images else [])]
    for heading, kind, caption in FIGURES:
        shown = [(name, images[kind, name]) for name in models if (kind, name) in images]
        if shown:
            parts += [f"<h2>{heading}</h2>", '<div class="side">',
                      *(picture(content, f"{heading}, {TITLES[name]}", caption, large=kind in ("figure2", "slots"))
                        for name, content in shown),
                      "</div>"]
    heads, rows = merge_rows(models)
    if rows:
        parts += ["<h2>One class, one slot</h2>",
                  '<p class="soft">Slots that random maps of an image mix are parts of one class and become one. '
                  "c says how much they mix: 1 where no map tells them apart, 0 where none confuses them. The smaller "
                  "the largest c of two that are left, the surer the number of classes. A new slot that then holds "
                  "almost twice as many examples as the median one is split: two classes may share it.</p>",
                  table(heads, rows)]
    parts += ["<h2>Every run</h2>", table(*seed_rows(models)),
              '<p class="soft">Accuracies and NMI in percent; I(x;y) and the bound on log p(x) in nats; slots in use; '
              "seconds of training.</p>",
              "<h2>How it was made</h2>", f"<pre>{html.escape(config['command'])}</pre>",
              pairs({"hardware": config["device"], **config["versions"]}), "<h2>Settings</h2>",
              pairs({**job, "model": names, "seeds": _short(config["seeds"]), "recipe": job["recipe"]["name"]}),
              "<h3>Recipe</h3>", pairs(job["recipe"])]
    return document(f"{names}: report", parts)


def _labels(job, classes):
    """Which classes have how many labels, in a sentence.     classes: the names of all"""
    known, each = job["labelled_classes"], job["labels_per_class"]
    between = " " if max(map(len, classes)) < 3 else ", "
    never = between.join(name for c, name in enumerate(classes) if c not in known)
    if not known:
        return "No labels."
    labelled = between.join(classes[c] for c in known)
    return (f"Labels: {'all' if each is None else each} for each of the classes {labelled}"
            + (f"; none for {never}." if never else "."))


def _short(seeds):
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else seeds[0]
