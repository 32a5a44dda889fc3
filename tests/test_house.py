"""The house: how long the paper's floor is, and which way imports go."""

import ast
from pathlib import Path

import pytest

import microgmdgm

HOUSE = Path(microgmdgm.__file__).parent
PAPER = ("backend", "parameters", "layers", "distributions", "models", "marginal", "invariance", "objectives", "adam")
LEARNING = ("gradcheck", "recipes", "files", "data", "augmentation", "noise", "batches", "slots", "trained", "state",
            "merging", "machine", "training", "checkpoint", "evaluation", "signs", "generative", "plots", "pages")
ROOMS = {"experiment": ("job", "executors", "table1", "folder", "report", "progress", "options", "command"),
         "sklearn": ("labels", "tables", "estimator"),
         "openset": ("analysis", "figures", "tables", "command")}
ORDER = ["settings", *PAPER, *LEARNING, *(f"{room}.{name}" for room, names in ROOMS.items() for name in names)]


def imports(module):
    """The modules of the package that a module imports, also within its functions."""
    path = HOUSE / (module.replace(".", "/") + ".py")
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[:len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for name in [".".join([*base, alias.name]) for alias in node.names] + [".".join(base)]:
                if name in ORDER:
                    yield name
                if name in ROOMS:  # what a room's __init__ gives
                    yield {"sklearn": "sklearn.estimator", "openset": "openset.analysis", "experiment": "experiment.job"}[name]


def test_every_file_has_its_place_in_the_reading_order():
    found = {path.relative_to(HOUSE).with_suffix("").as_posix().replace("/", ".") for path in HOUSE.glob("**/*.py")}
    assert {name for name in found if not name.endswith("__init__")} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_file_uses_only_those_above_it(module):
    assert all(ORDER.index(name) < ORDER.index(module) for name in imports(module)), list(imports(module))


def test_the_paper_is_read_in_an_evening():
    lines = sum(len((HOUSE / f"{name}.py").read_text().splitlines()) for name in PAPER)
    assert lines < 1000


def test_the_command_shows_the_experiment_on_a_page():
    assert len((HOUSE.parent / "run_mnist.py").read_text().splitlines()) <= 80
