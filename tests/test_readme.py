"""README's tables are what the results say."""

import importlib.util
import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parent.parent / "lessons" / "results"
spec = importlib.util.spec_from_file_location("tables", RESULTS / "tables.py")
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)


def test_readme_is_drawn_from_the_results():
    text = tables.README.read_text()
    assert tables.drawn(text) == text, "run python lessons/results/tables.py"


def test_a_figure_changed_by_hand_is_found():
    text = tables.README.read_text()
    mean = json.loads((RESULTS / "table1" / "summary.json").read_text())["models"]["gm-dgm"]["mean"]["accuracy"]
    assert text.count(f"**{100 * mean:.1f} (") >= 1
    assert tables.drawn(text.replace(f"**{100 * mean:.1f} (", "**99.9 (")) == text


@pytest.mark.parametrize("folder", ["table1", "digits"])
def test_every_mean_is_that_of_every_run(folder):
    for model in tables.summary(folder)["models"].values():
        for figure, mean in model["mean"].items():
            values = [run[figure] for run in model["runs"] if run[figure] is not None]
            assert mean == pytest.approx(sum(values) / len(values))
