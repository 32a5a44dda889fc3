"""The table of what the generative half is for: its figures, and what is committed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from microgmdgm import data
from microgmdgm.models import Model
from microgmdgm.trained import Trained
from tests import uses


def test_what_is_measured_of_a_model():
    """Images of noise in MNIST's place: others of noise are as familiar as they, brighter ones are not."""
    rng = np.random.default_rng(0)
    noise = [(60 * rng.random((n, 784))).astype(np.uint8) for n in (15_000, 500, 500)]
    y = np.arange(15_000) % 10
    images = replace(data.digits(), x_train=noise[0], y_train=y, x_test=noise[1], y_test=y[:500])
    model = Model("gm-dgm", (0.1,) * 10, X=784, Z=4, H=20)
    trained = Trained(model, model.layout.initial(rng), np.arange(784), 784, 255.0, ())
    found = uses.measured(trained, images, {"same": noise[2], "brighter": 4 * noise[2]})
    assert 0.4 < found["auroc"]["same"]["familiarity"] < 0.6 and found["auroc"]["brighter"]["familiarity"] > 0.99
    assert found["unfamiliar"]["MNIST"] < 0.05 and found["unfamiliar"]["brighter"] > 0.9
    assert found["class_from_z"] < 0.2
    kinds = uses.others(images, images)
    assert np.array_equal(kinds["Fashion-MNIST"], noise[1])
    assert np.array_equal(kinds["turned by a quarter"][0].reshape(28, 28), np.rot90(noise[1][0].reshape(28, 28)))
    assert np.array_equal(kinds["halves swapped"][0].reshape(28, 28)[:14], noise[1][0].reshape(28, 28)[14:])


def test_the_committed_figures_have_every_run_of_table_1():
    results = Path(__file__).parent.parent / "lessons" / "results"
    found, runs = (json.loads((results / name).read_text())["models"] for name in ("uses.json", "table1/summary.json"))
    for model in uses.MODELS:
        assert [run["seed"] for run in found[model]] == [run["seed"] for run in runs[model]["runs"]]
