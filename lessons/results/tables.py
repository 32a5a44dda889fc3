"""The tables of README and of the page beside this file, drawn from the results: python lessons/results/tables.py [--check]

Between <!-- NAME --> and <!-- end --> stands what this program writes there.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import bootstrap

from microgmdgm.experiment.table1 import PAPER_TABLE_1, TITLES, table_1
from microgmdgm.files import whole
from microgmdgm.pages import png

HERE = Path(__file__).resolve().parent
README, RESULTS = HERE.parent.parent / "README.md", HERE / "README.md"
sys.path.insert(0, str(README.parent))

from tests import experiments, uses
from tests import worth as without_maps
from tests import real_cases as cases
from tests.benchmarks import growth as growing
from tests.benchmarks import report


def summary(folder):
    return json.loads((HERE / folder / "summary.json").read_text())


def metrics(folder):
    return [json.loads(line) for line in (HERE / folder / "metrics.jsonl").read_text().splitlines()]


def markdown(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows])


def table_1_of(folder="table1"):
    """Table 1: the paper's figures and ours, by the fast recipe if nothing else is said."""
    heads, rows = table_1(summary(folder)["models"])
    return markdown(["%, mean (SD)", *heads], [
        [f"*{title}*", *[""] * len(heads)] if cells is None else
        [f"**{title}**", *(f"**{cell}**" if cell else "" for cell in cells)] if title == "overall" else
        [title.replace("|", r"\|"), *cells] for title, cells in rows])


ELSEWHERE = ("Clean protocol", "Without naming", "precision", "recall")  # rows, or blocks, that README leaves out


def table1():
    """The same without what README leaves out."""
    lines, left_out = [], False
    for line in table_1_of().splitlines():
        if line.startswith("| *") and not line.startswith("| **"):
            left_out = any(word in line for word in ELSEWHERE)
        if not left_out and not any(line.startswith(f"| {word}") for word in ELSEWHERE):
            lines.append(line)
    return "\n".join(lines)


def facts():
    """What the prose says of the same runs."""
    found = summary("table1")
    models = found["models"]
    runs = [run for model in models.values() for run in model["runs"]]
    seconds = [run["seconds"] for run in runs]
    lowest = min(run["accuracy"] for run in runs)
    return (f"Command: `{found['command']}` ({found['device']}, NumPy {found['versions']['numpy']}), each run on one core: "
            f"{min(seconds):.0f} to {max(seconds):.0f} s; the first ten of the {len(runs)} in 19 minutes on two cores, "
            "seeds 5 to 9 by a second command and beside other work. The lowest run has "
            f"{100 * lowest:.1f} %.")


def digits():
    """One line on scikit-learn's digits."""
    model = summary("digits")["models"]["gm-dgm"]
    figures = [f"{100 * model['mean'][name]:.1f} ({100 * model['sd'][name]:.1f})"
               for name in ("accuracy_one_to_one", "accuracy", "accuracy_unlabelled_classes")]
    runs = ", ".join(f"{100 * run['accuracy_one_to_one']:.1f} with {run['classes_found']} classes" for run in model["runs"])
    seconds = [run["seconds"] for run in model["runs"]]
    return (f"one to one {figures[0]}: {runs}; overall {figures[1]}, never-labelled classes {figures[2]}, "
            f"{min(seconds):.0f} to {max(seconds):.0f} s a run, each on one core of two.")


def real_case(case):
    return json.loads((HERE / "real-cases" / f"{case}.json").read_text())


def real_cases():
    """The estimator against what one would use otherwise."""
    return cases.table([real_case(case) for case in cases.CASES if (HERE / "real-cases" / f"{case}.json").exists()])


OWN_DATA = (("mnist", (8, 9)), ("digits", (3, 4, 5, 6, 7)), ("satimage", (2, 5)), ("pendigits", (3, 4, 5, 6, 7)),
            ("letter", (20, 21, 22, 23, 24, 25)), ("cancer", (0,)))  # a case and its never-labelled classes


def own_data():
    """Six rows of the same, and how well P(new), and the bound on log p(x), tell known rows from new ones in them."""
    methods = ("ours", "k-means", "bic")
    figures = {"accuracy_one_to_one": "one to one", "accuracy_unlabelled_classes": "never-labelled classes"}
    rows, aurocs, by_bound = [], [], []
    for case, hidden in OWN_DATA:
        result = real_case(case)
        runs = {method: [run for run in result["runs"] if (run["method"], tuple(run["hidden"])) == (method, hidden)]
                for method in methods}
        rows.append([f"{result['case']}, {' '.join(map(str, hidden))}",
                     *(cases.cell([run[figure] for run in runs[method]]) for figure in figures for method in methods)])
        for figure, values in (("auroc_new", aurocs), ("auroc_bound", by_bound)):
            values.append(np.mean([run[figure] for run in runs["ours"]]))
    heads = [f"{title}: {cases.METHODS[method]}" if method == "ours" else cases.METHODS[method]
             for title in figures.values() for method in methods]
    return markdown(["data, never labelled", *heads], rows) + (
        "\n\nIn these rows 1 − P(known), the probability of all new classes together, tells never-labelled from known "
        f"classes with an AUROC of {min(aurocs):.3f} to {max(aurocs):.3f}; a low `score_samples` does with {min(by_bound):.2f} to {max(by_bound):.2f}.")


PUBLISHED = {  # accuracy in percent, by the protocol of the row
    "semi-supervised, 10 labels a class": "93.2 (0.6) M2 in Pyro, 96.7 M1+M2, 99.0 ADGM",
    "unsupervised, 20 slots": "96.3 (0.9) the paper's successor",
    "unsupervised, 10 slots": "94.5 VaDE's best run, 71.6 (4.4) its mean over 20 seeds; 98.4 IMSAT",
}


def experiment(name):
    return json.loads((HERE / "experiments" / f"{name}.json").read_text())


def hardware(found):
    return f"two runs at a time on two cores ({found['device']}, NumPy {found['versions']['numpy']})."


def regimes():
    """Where other things are known than in Table 1."""
    found = experiment("regimes")
    return (experiments.table(found, published=PUBLISHED)
            + f"\n\nEvery row: `python run_mnist.py --runs 10` with its settings; {hardware(found)}")


def splits():
    """Other classes labelled, or fewer examples of each."""
    found = experiment("splits")
    return (experiments.table(found)
            + f"\n\nEvery row: `python run_mnist.py` with its settings; {hardware(found)}")


def others():
    """Other data, and parts of MNIST."""
    found = experiment("others")
    return (experiments.table(found)
            + f"\n\nEvery row: `python -m tests.experiments others`, which leaves out images; {hardware(found)}")


def what_for():
    """What the generative half is for."""
    return uses.table(json.loads((HERE / "uses.json").read_text()))


def worth():
    """What the generative half is worth to q(y|x) without maps."""
    return without_maps.table(json.loads((HERE / "worth.json").read_text()))


def ablation():
    """The recipe taken apart, at half its epochs, on validation images."""
    found = experiment("ablation")
    return (experiments.table(found)
            + f"\n\nEvery row: `python run_mnist.py {experiments.HALF}` with its settings; {hardware(found)}")


def schedules():
    """How maps and weights change, where other things are labelled: mean (SD), and the lowest run."""
    found = experiment("schedules")
    rows = experiment("ablation")["rows"] | found["rows"]
    cells = []
    for change, arguments in {"the recipe": experiments.HALF, **experiments.SCHEDULES}.items():
        titles = [change, *(f"{labels}, {change}" for labels in experiments.LABELS)]
        accuracies = [[run["accuracy"] for run in rows[title]["runs"]] for title in titles]
        cells.append([change, experiments.settings(arguments),
                      *(f"{cases.cell(values)}; {100 * min(values):.1f}" for values in accuracies)])
    return (markdown(["overall; lowest run", "settings", "labelled 0 1 2 8 9", *experiments.LABELS], cells)
            + f"\n\nEvery cell: `python run_mnist.py {experiments.HALF}` with those of its row and its column "
            f"({', '.join(f'`{options}`' for options in experiments.LABELS.values())}); {hardware(found)}")


def settings():
    """One setting of the paper's recipe changed at a time, seed 0, one BLAS thread."""
    rows = []
    for folder in sorted((HERE / "paper-settings").iterdir()):
        command = json.loads((folder / "config.json").read_text())["command"]
        cells = [f"{100 * m['accuracy']:.1f} ({100 * m['accuracy_unlabelled_classes']:.1f}), {m['slots_used']}"
                 for m in metrics(folder)]
        options = re.split(r"--epochs \d+|--out", command)[1].strip()
        rows.append([f"`{options}`" if options else "as it is", *(cells + ["not run"] * 3)[:3]])
    return markdown(["`python run_mnist.py --recipe paper` …", "epoch 1", "epoch 2", "epoch 3"], rows)


SENSITIVE = {"accuracy": "overall", "accuracy_unlabelled_classes": "never labelled", "accuracy_one_to_one": "one to one"}


def sensitivity():
    """One setting that the paper leaves open changed at a time, both models, the same seeds, after 20 epochs."""
    changed = [summary(folder) for folder in sorted((HERE / "paper-settings-20").iterdir())]
    seeds, models = [run["seed"] for run in changed[0]["models"]["m2"]["runs"]], ("m2", "gm-dgm")
    rows = {"as it is": {model: [m for m in metrics("paper-recipe") if (m["model"], m["epoch"]) == (model, 20)
                                 and m["seed"] in seeds] for model in models}}
    for found in changed:
        option = found["command"].partition("--epochs 20 ")[2]
        rows[f"`{option}`"] = {model: found["models"][model]["runs"] for model in models}
    cells = []
    for title, runs in rows.items():
        m2, gm_dgm = ({run["seed"]: run["accuracy"] for run in runs[model]} for model in models)
        ahead = np.array([100 * (gm_dgm[seed] - m2[seed]) for seed in seeds])
        cells.append([title, *(cases.cell([run[name] for run in runs[model]]) for model in models for name in SENSITIVE),
                      f"{np.mean(ahead):.1f} points, in {np.sum(ahead > 0)} of {len(seeds)}"])
    heads = [f"{TITLES[model]}, {text}" for model in models for text in SENSITIVE.values()]
    return markdown(["after 20 epochs", *heads, "GM-DGM is ahead by, in seeds"], cells) + (
        f"\n\nEvery row: `python run_mnist.py --model both --recipe paper --sum sparse --runs {len(seeds)} --epochs 20` with "
        f"its setting; {hardware(changed[0])}")


PUBLIC = {10: (60.6, 5.6), 20: (66.6, 5.0), 50: (72.2, 5.1)}  # RuiShu/vae-clustering, seven logs: mean, SD


def interval(differences):
    """The mean of paired differences and its 95 % interval, by bootstrap over seeds (SciPy's BCa).     -> text"""
    found = bootstrap((differences,), np.mean, n_resamples=100_000, rng=0).confidence_interval
    return f"{np.mean(differences):.1f} points (95 % interval {found.low:.1f} to {found.high:.1f})"


def paper_recipe():
    """The paper's recipe: Table 1, what the paper's sentences come to, and accuracy by epoch."""
    found = summary("paper-recipe")
    runs = {model: result["runs"] for model, result in found["models"].items()}
    minutes = min(run["seconds"] for each in runs.values() for run in each) / 60
    command = (f"Command: `{found['command']}`, seeds {' '.join(str(run['seed']) for run in runs['m2'])} "
               f"({found['device']}, NumPy {found['versions']['numpy']}), each run on one core, {minutes:.0f} minutes or "
               "more, most beside other work. What the paper says, by these runs (M2 and GM-DGM where there are two figures):")
    return "\n\n".join([table_1_of("paper-recipe"), command, claims(runs),
                        by_epoch("paper-recipe", "overall", "never labelled", "slots used"), exact_and_sparse()])


def claims(runs):
    """What the paper says, by our runs {model: [result, …]}."""
    def ours(model, figure):
        return np.array([run[figure] for run in runs[model]])

    def both(figure, scale=100, digits=1):
        return " and ".join(f"{scale * ours(model, figure).mean():.{digits}f}" for model in runs)
    ahead = 100 * (ours("gm-dgm", "accuracy") - ours("m2", "accuracy"))
    paper = {model: 100 * PAPER_TABLE_1[model]["accuracy"][0] for model in runs}
    best = runs["gm-dgm"][ours("gm-dgm", "bound").argmax()]
    return "\n".join([
        f"- *GM-DGM beats M2*: in {np.sum(ahead > 0)} seeds of {len(ahead)}, by {interval(ahead)}; the paper's means "
        f"differ by {paper['gm-dgm'] - paper['m2']:.1f}. The runs of GM-DGM have {_each(ours('gm-dgm', 'accuracy'))} %, "
        f"those of M2 {_each(ours('m2', 'accuracy'))} %.",
        f"- *M2's y collapses*: not here, where some classes have labels: I(x;y) is {both('mutual_information', 1, 2)} nats "
        f"of at most {np.log(15):.2f}. M2's y says as much of x, but less of the digit: the normalised mutual information "
        f"with the true class is {both('nmi')} %. [Without any label](#without-any-label) it does collapse.",
        f"- *Labelled classes suffer too*: {both('accuracy_labelled_classes')} % of their images lie in a slot named by "
        f"their class, and {both('accuracy_one_to_one_labelled_classes')} % in its one slot: the others are in new slots "
        "or with other digits.",
        f"- *The best run*: by the bound, which needs no test labels, it is GM-DGM's seed {best['seed']}, with "
        f"{100 * best['accuracy']:.1f} %; by accuracy, as in the paper's Figure 2, "
        f"{100 * ours('gm-dgm', 'accuracy').max():.1f} %. log p(x) is {both('log_p_x', 1)} nats: it hardly tells the two "
        "models apart."])


FIGURES = {"overall": ("accuracy", 100), "never labelled": ("accuracy_unlabelled_classes", 100),
           "I(x;y), nats": ("mutual_information", 1), "slots used": ("slots_used", 1)}


def by_epoch(folder, *titles):
    """Mean (SD) over the runs of each model after some epochs that all of them have, beside the public logs."""
    figures = {title: FIGURES[title] for title in titles}
    runs, rows = {"m2": {}, "gm-dgm": {}}, []
    for m in metrics(folder):
        runs[m["model"]].setdefault(m["seed"], {})[m["epoch"]] = m
    last = max(min(map(max, of_model.values())) for of_model in runs.values())
    for epoch in [*(epoch for epoch in (1, 3, 10, 20, 50) if epoch < last), last]:
        rows.append([str(epoch), *(cases.cell([run.get(epoch, {}).get(name) for run in of_model.values()], unit)
                                   for of_model in runs.values() for name, unit in figures.values()),
                     "{:.1f} ({:.1f})".format(*PUBLIC[epoch]) if epoch in PUBLIC else ""])
    heads = [f"{TITLES[model]}, {title}" for model in runs for title in figures]
    return markdown(["epoch", *heads, "public GMVAE logs, no labels"], rows)


def without_labels():
    """The paper's recipe where nothing is labelled and y has ten slots."""
    found = json.loads((HERE / "paper-without-labels" / "config.json").read_text())
    return by_epoch("paper-without-labels", "overall", "I(x;y), nats", "slots used") + (
        f"\n\nCommand: `{found['command']}`, seed by seed, each run stopped after the last epoch of its model "
        f"here or later; both models at a time on two cores ({found['device']}, NumPy {found['versions']['numpy']}).")


def exact_and_sparse():
    """The epochs in which the two sums differ, of one seed."""
    exact, sparse = ({m["epoch"]: m["accuracy"] for m in metrics(f"paper-settings/1-{name}")}
                     for name in ("as-it-is", "sparse"))
    same = sorted(epoch for epoch in exact if epoch > summary("paper-recipe")["job"]["recipe"]["exact_epochs"])
    return (f"GM-DGM, seed 0, has {_each(exact[epoch] for epoch in same)} % after epochs {same[0]} to {same[-1]} with the "
            f"exact sum throughout, and {_each(sparse[epoch] for epoch in same)} % with the sparse one from epoch {same[0]} "
            "on: one seed cannot tell them apart.")


def paper_recipe_figure():
    """The same as curves, a line a run, with the paper's Table 1."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    for model, colour, line in (("gm-dgm", "#0072B2", "-"), ("m2", "#D55E00", "--")):
        runs = {}
        for m in metrics("paper-recipe"):
            if m["model"] == model:
                runs.setdefault(m["seed"], []).append(100 * m["accuracy"])
        for seed, accuracy in runs.items():
            axes.plot(range(1, len(accuracy) + 1), accuracy, line, color=colour, linewidth=1.2,
                      label=None if seed else f"{TITLES[model]}, {len(runs)} runs")
        mean, sd = (100 * value for value in PAPER_TABLE_1[model]["accuracy"])
        axes.errorbar(len(accuracy) + 2.5, mean, sd, color=colour, marker="s", capsize=4, linestyle="none",
                      label=f"{TITLES[model]}, paper's Table 1, mean and SD")
    mean, sd = zip(*PUBLIC.values())
    axes.errorbar(list(PUBLIC), mean, sd, color="#444444", marker="o", capsize=4, linestyle=":",
                  label="public GMVAE logs, no labels, ten slots, mean and SD")
    axes.set_title("The paper's recipe on MNIST")
    axes.set_xlabel("epoch (squares: the paper's, of unknown number)")
    axes.set_ylabel("accuracy on the test set, %")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _each(values):
    return ", ".join(f"{100 * value:.1f}" for value in values)


def benchmark():
    """A training step, ours and others'."""
    result = json.loads((HERE / "benchmark" / "benchmark.json").read_text())
    return f"{report.table(result)}\n\n{report.prose(result)}"


def growth():
    """How time and memory grow with rows, slots and columns."""
    found = json.loads((HERE / "benchmark" / "growth.json").read_text())
    points = {(point["against"], point["at"]): point for point in found["points"]}

    def grown(against):
        least, most = growing.SIZES[against][0], growing.SIZES[against][-1]
        a, b = points[against, least], points[against, most]
        return (f"from {least:,} to {most:,} {against} " + ", ".join(
            f"{name} takes {b[phase] / a[phase]:.1f} times as long" for phase, name in growing.PHASES.items())
            + f", and the process holds {a['peak_mb']:,} and {b['peak_mb']:,} MB")
    usual = ", ".join(f"{value:,} {name}" for name, value in found["usual"].items())
    return ("By the recipe for tables, on random bytes, where nothing else is said " + usual + ": "
            + "; ".join(map(grown, growing.SIZES)) + ", the pages of the file that it has read among them"
            f". `{found['command']}`, one thread, beside one other program ({found['device']}, NumPy "
            f"{found['numpy']}).")


def peer():
    """Accuracy against time, beside Pyro's example."""
    found = json.loads((HERE / "benchmark" / "peer.json").read_text())
    ours, theirs = (np.array(found["curves"][name]) for name in ("ours", "pyro"))
    seconds = ours[-1, 0]
    then, best = theirs[theirs[:, 0] <= seconds][-1], theirs[theirs[:, 1].argmax()]
    level = ours[ours[:, 1] >= best[1]][0]
    return (f"With 100 labels of every digit, the semi-supervised case, which others can do too: `{found['commands']['ours']}` "
            f"has {100 * ours[-1, 1]:.1f} % of the test images after {seconds:.0f} s. {found['what']} "
            f"(`{found['commands']['pyro']}`) has {100 * then[1]:.1f} % at that time, and {100 * theirs[-1, 1]:.1f} % after "
            f"{theirs[-1, 0]:.0f} s, when it is still rising; ours has passed its best, {100 * best[1]:.1f} %, after "
            f"{level[0]:.0f} s. One seed each, one thread each, beside one other program ({found['device']}; "
            f"{found['versions']}). It has no random maps of images, without which ours is worse too ([what each part is "
            "worth](#what-each-part-is-worth)).")


def peer_figure():
    """The same as curves."""
    found = json.loads((HERE / "benchmark" / "peer.json").read_text())
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axes = figure.subplots()
    for name, colour, line in (("ours", "#0072B2", "-"), ("pyro", "#D55E00", "--")):
        seconds, accuracy = np.array(found["curves"][name]).T
        axes.semilogx(seconds, 100 * accuracy, line, color=colour, marker=".", label=found["titles"][name])
    axes.set_title("MNIST, 100 labels of every digit, one thread")
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("accuracy on the test set, %")
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right", fontsize=8)
    return figure


TABLES = {README: {"table1": table1, "facts": facts, "own-data": own_data},
          RESULTS: {"table1-whole": table_1_of, "digits": digits, "real-cases": real_cases, "regimes": regimes,
                    "splits": splits, "others": others, "uses": what_for, "worth": worth, "ablation": ablation,
                    "schedules": schedules, "paper-recipe": paper_recipe, "without-labels": without_labels,
                    "settings": settings, "sensitivity": sensitivity, "benchmark": benchmark, "growth": growth,
                    "peer": peer}}


def drawn(page):
    """The text of a page with each table as the results have it."""
    text = page.read_text()
    for name, draw in TABLES[page].items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?\n?(<!-- end -->)", re.DOTALL)
        assert len(mark.findall(text)) == 1, f"{page.name} must hold <!-- {name} --> … <!-- end --> once"
        text = mark.sub(lambda found: found[1] + draw() + "\n" + found[2], text)
    return text


if __name__ == "__main__":
    stale = [page for page in TABLES if drawn(page) != page.read_text()]
    if "--check" in sys.argv:
        sys.exit(f"{stale[0]} is not what the results say: run python lessons/results/tables.py" if stale else 0)
    for page in stale:
        page.write_text(drawn(page))
    for path, figure in {"paper-recipe/accuracy.png": paper_recipe_figure, "benchmark/peer.png": peer_figure}.items():
        with whole(HERE / path) as file:
            file.write(png(figure()))
