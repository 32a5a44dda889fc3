"""README and the pages beside it say what the results say, and what they show works as written."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import microgmdgm
from microgmdgm.experiment import options

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "lessons" / "results"
spec = importlib.util.spec_from_file_location("tables", RESULTS / "tables.py")
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)
README = tables.README.read_text()
PAGES = {name: (ROOT / name).read_text() for name in (
    "README.md", "lessons/README.md", "lessons/TEACHING.md", "lessons/running.md", "lessons/results/README.md")}
each_page = pytest.mark.parametrize("page", PAGES)


def section(heading):
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)[1]


def commands(text):
    """Lines of code blocks, and what stands in backticks within lines."""
    return [line.split("  #")[0].strip() for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE)] \
        + re.findall(r"`([^`\n]+)`", text)


def run(code, folder):
    """What a program prints in that folder."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_is_read_in_minutes():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", tables.TABLES, ids=["README", "results"])
def test_a_page_is_drawn_from_the_results(page):
    assert tables.drawn(page) == page.read_text(), "run python lessons/results/tables.py"


def test_a_figure_changed_by_hand_is_found(tmp_path, monkeypatch):
    mean = json.loads((RESULTS / "table1" / "summary.json").read_text())["models"]["gm-dgm"]["mean"]["accuracy"]
    figure = f"**{100 * mean:.1f} ("
    assert figure in README
    page = tmp_path / "README.md"
    page.write_text(README.replace(figure, "**99.9 ("))
    monkeypatch.setitem(tables.TABLES, page, tables.TABLES[tables.README])
    assert tables.drawn(page) == README != page.read_text()


@pytest.mark.parametrize("folder", ["table1", "digits"])
def test_every_mean_is_that_of_every_run(folder):
    for model in tables.summary(folder)["models"].values():
        for figure, mean in model["mean"].items():
            values = [run[figure] for run in model["runs"] if run[figure] is not None]
            assert mean == pytest.approx(sum(values) / len(values))


def test_the_first_model_trains_as_written(tmp_path):
    code = re.search(r"```python\n(.*?)```", section("A first model in Python"), re.DOTALL)[1]
    printed = run(code, tmp_path).splitlines()
    epochs = [line for line in printed if re.fullmatch(r"epoch \d+: objective -\d+\.\d nats", line)]
    assert len(epochs) == microgmdgm.recipes.FAST_SMALL.total_epochs and len(printed) == len(epochs) + 3
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "model.npz").exists()


def test_the_example_of_own_data_runs_as_written(tmp_path):
    code = re.search(r"```python\n(.*?)```", section("Your own data"), re.DOTALL)[1]
    own = ("import numpy as np\nfrom sklearn.datasets import load_iris\nX, y = load_iris(return_X_y=True)\n"
           "y = np.where((np.arange(150) % 5 == 0) & (y > 0), y, -1)\nX_new = X[:3]\n")
    assert "nearest known class" in run(own + code, tmp_path)


def test_the_two_commands_are_there_and_install_what_they_need():
    first, second = (line for line in commands(section("Two commands")) if re.match(r"pip|python", line))
    assert (first, second) == ("pip install -r requirements.txt", "python run_mnist.py")
    assert (ROOT / "requirements.txt").read_text().split() == ["-e", "."]       # neither tests, Jupyter nor Dask
    assert (ROOT / second.split()[1]).exists()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest, newest = re.search(r"Python (3\.\d+) to (3\.\d+)", README).groups()
    versions = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    assert project["requires-python"] == f">={oldest}" and (versions[0], versions[-1]) == (oldest, newest)


def test_the_tests_command_is_there_and_its_extra_brings_pytest():
    install, start = re.findall(r"^    (.*)$", section("Tests"), re.MULTILINE)
    assert (install, start) == ("pip install -e '.[test]'", "OPENBLAS_NUM_THREADS=1 pytest -n auto")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"pytest", "pytest-xdist"} <= {line.split(">")[0] for line in extras["test"]}
    assert "jupyterlab" in {line.split(">")[0] for line in extras["lessons"]}   # README: jupyter lab lessons


@each_page
def test_every_extra_and_module_that_is_named_exists(page):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"'\.\[([a-z0-9,]+)\]'", PAGES[page]):
        assert set(named.split(",")) <= set(extras)
    for module in re.findall(r"python -m (tests\.\w+)", PAGES[page]):
        assert importlib.util.find_spec(module), module


@each_page
def test_every_command_that_is_named_is_one_that_the_program_takes(page, capsys):
    names = {name for action in options.parser()._actions for name in action.option_strings}
    for command in commands(PAGES[page]):
        if re.fullmatch("--[a-z0-9-]+", command):
            assert command in names
        elif command.startswith(("python run_mnist.py", "--")):
            arguments = shlex.split(command.removeprefix("python run_mnist.py").replace("…", ""))
            try:
                options.parser().parse_args(arguments)
            except SystemExit as end:
                assert not end.code, (command, capsys.readouterr().err)


@each_page
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        if anchor:
            heads = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
                     for head in re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)]
            assert anchor in heads, target


def test_the_names_from_the_paper_to_the_code_exist():
    names = re.findall(r"`([a-z_0-9]+(?:\.\w+)+)`", section("From the paper to the code"))
    assert len(names) > 15
    for name in names:
        module, _, attribute = f"microgmdgm.{name.removeprefix('microgmdgm.')}".rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_layout_names_every_file_and_room():
    house = Path(microgmdgm.__file__).parent
    there = {path.name for path in house.glob("*.py")} - {"__init__.py"}
    there |= {f"{path.parent.name}/" for path in house.glob("*/__init__.py")}
    _, _, table = section("How the code is laid out").partition("| block |")
    assert sorted(re.findall(r"`(\w+(?:\.py|/))`", table)) == sorted(there)
