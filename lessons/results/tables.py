"""README's tables, drawn from the results beside this file: python lessons/results/tables.py [--check]

Between <!-- NAME --> and <!-- end --> in README.md stands what this program writes there.
"""

import json
import re
import sys
from pathlib import Path

from microgmdgm.results import table_1

HERE = Path(__file__).resolve().parent
README = HERE.parent.parent / "README.md"
sys.path.insert(0, str(README.parent))

from tests import real_cases as cases
from tests.benchmarks import report


def summary(folder):
    return json.loads((HERE / folder / "summary.json").read_text())


def metrics(folder):
    return [json.loads(line) for line in (HERE / folder / "metrics.jsonl").read_text().splitlines()]


def markdown(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows])


def table1():
    """Table 1: the paper's figures and ours."""
    models = summary("table1")["models"]
    heads, rows = table_1(models)
    return markdown(["%, mean (SD)", *heads], [
        [f"*{title}*", *[""] * len(heads)] if cells is None else
        [f"**{title}**", *(f"**{cell}**" if cell else "" for cell in cells)] if title == "overall" else [title, *cells]
        for title, cells in rows])


def facts():
    """What the prose says of the same runs."""
    found = summary("table1")
    models = found["models"]
    runs = [run for model in models.values() for run in model["runs"]]
    seconds = [run["seconds"] for run in runs]
    lowest = min(run["accuracy"] for run in runs)
    return (f"Command: `{found['command']}`; {len(runs)} runs, two at a time on two cores ({found['device']}, NumPy "
            f"{found['versions']['numpy']}) that had other work too: {min(seconds):.0f} to {max(seconds):.0f} s a run. "
            f"The lowest of the {len(runs)} runs has {100 * lowest:.1f} %.")


def digits():
    """One line on scikit-learn's digits."""
    model = summary("digits")["models"]["gm-dgm"]
    figures = [f"{100 * model['mean'][name]:.1f} ({100 * model['sd'][name]:.1f})"
               for name in ("accuracy", "accuracy_unlabelled_classes")]
    seconds = [run["seconds"] for run in model["runs"]]
    return (f"overall {figures[0]}, never-labelled classes {figures[1]}, {min(seconds):.0f} to {max(seconds):.0f} s a "
            "run, two at a time.")


def real_cases():
    """The estimator against what one would use otherwise."""
    files = [HERE / "real-cases" / f"{case}.json" for case in cases.CASES]
    return cases.table([json.loads(path.read_text()) for path in files])


def settings():
    """One setting of the paper's recipe changed at a time, seed 0, one BLAS thread."""
    rows = []
    for folder in sorted((HERE / "paper-settings").iterdir()):
        command = json.loads((folder / "config.json").read_text())["command"]
        cells = [f"{100 * m['accuracy']:.1f} ({100 * m['accuracy_unlabelled_classes']:.1f}), {m['slots_used']}"
                 for m in metrics(folder)]
        options = re.split(r"--epochs \d+|--out", command)[1].strip()
        rows.append([f"`{options}`" if options else "as it is", *(cells + ["not run"] * 3)[:3]])
    last = metrics("paper-settings/8-unsupervised")[-1]
    return markdown(["`python run_mnist.py --recipe paper` …", "epoch 1", "epoch 2", "epoch 3"], rows) + (
        "\n\nWithout labels and with ten slots the objective is that of the GMVAE, of which seven public logs "
        "(RuiShu/vae-clustering) have 60.6 (5.6) % at epoch 10, by the same map from slots to digits. Ours has "
        f"{100 * last['accuracy']:.1f} % at epoch {last['epoch']}.")


def benchmark():
    """A training step, ours and others'."""
    result = json.loads((HERE / "benchmark" / "benchmark.json").read_text())
    return f"{report.table(result)}\n\n{report.prose(result)}"


TABLES = {"table1": table1, "facts": facts, "digits": digits, "real-cases": real_cases, "settings": settings,
          "benchmark": benchmark}


def drawn(text):
    """README's text with each table as the results have it."""
    for name, draw in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        assert len(mark.findall(text)) == 1, f"README.md must hold <!-- {name} --> … <!-- end --> once"
        text = mark.sub(lambda found: found[1] + draw() + found[2], text)
    return text


if __name__ == "__main__":
    old = README.read_text()
    new = drawn(old)
    if "--check" in sys.argv:
        sys.exit("README.md is not what the results say: run python lessons/results/tables.py" if new != old else 0)
    README.write_text(new)
