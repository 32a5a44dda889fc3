"""README's tables, drawn from the results beside this file: python lessons/results/tables.py [--check]

Between <!-- NAME --> and <!-- end --> in README.md stands what this program writes there.
"""

import json
import re
import sys
from pathlib import Path

from microgmdgm.results import TITLES, table_1

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"


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
            f"{found['versions']['numpy']}): {min(seconds):.0f} to {max(seconds):.0f} s a run, "
            f"{sum(seconds) / 2 / 60:.0f} minutes in all. The lowest of the {len(runs)} runs has {100 * lowest:.1f} %.")


def digits():
    """One line on scikit-learn's digits."""
    model = summary("digits")["models"]["gm-dgm"]
    figures = [f"{100 * model['mean'][name]:.1f} ({100 * model['sd'][name]:.1f})"
               for name in ("accuracy", "accuracy_unlabelled_classes")]
    seconds = [run["seconds"] for run in model["runs"]]
    return (f"overall {figures[0]}, never-labelled classes {figures[1]}, {min(seconds):.0f} to {max(seconds):.0f} s a run, "
            "two at a time.")


def paper_recipe():
    """The paper's recipe by epoch, every seed."""
    found, lines = summary("paper-recipe"), metrics("paper-recipe")
    last = max(m["epoch"] for m in lines)
    heads = ["epoch", *(f"{TITLES[model]}: {what}" for model in found["models"]
                        for what in ("bound, nats", "accuracy, %", "never-labelled, %", "slots in use"))]
    rows = []
    for epoch in sorted({e for e in (1, 3, 5, 10, 20, 40) if e < last} | {last}):
        cells = [f"{epoch}"]
        for model in found["models"]:
            here = [m for m in lines if (m["model"], m["epoch"]) == (model, epoch)]
            cells += [f"{sum(m['L(x)'] for m in here) / len(here):.1f}", *(" ".join(f"{m[figure] * scale:.{digits}f}"
                      for m in here) for figure, scale, digits in (("accuracy", 100, 1),
                                                                   ("accuracy_unlabelled_classes", 100, 1),
                                                                   ("slots_used", 1, 0)))]
        rows.append(cells)
    return markdown(heads, rows)


def settings():
    """One setting of the paper's recipe changed at a time, seed 0."""
    rows = []
    for folder in sorted((HERE / "paper-settings").iterdir()):
        command = json.loads((folder / "config.json").read_text())["command"]
        lines = metrics(folder)
        rows.append([f"`{command.partition('--epochs 3')[2].strip() or 'as it is'}`",
                     *(f"{100 * m['accuracy']:.1f} ({100 * m['accuracy_unlabelled_classes']:.1f}), {m['slots_used']}"
                       for m in lines)])
    return markdown(["`python run_mnist.py --recipe paper --epochs 3` …", "epoch 1", "epoch 2", "epoch 3"], rows)


TABLES = {"table1": table1, "facts": facts, "digits": digits, "paper-recipe": paper_recipe, "settings": settings}


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
