"""What the figures call classes and slots."""

import numpy as np

from microgmdgm import data, plots
from microgmdgm.models import Model
from microgmdgm.trained import Trained

NAMES = data.SETS["fashion-mnist"].classes


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def panel():
    """Ten classes, of which the first two are labelled; the third slot holds all others, and a fourth is empty."""
    classes = np.repeat(np.arange(10), 5)
    return np.minimum(classes, 2), classes, (0, 1), 4, "title"


def test_figure_2_names_the_classes():
    axes = plots.figure_2([panel()], 10, NAMES).axes[0]
    assert ticks(axes.xaxis) == list(NAMES) and axes.get_xticklabels()[0].get_rotation() == 90
    assert ticks(axes.yaxis) == ["T-shirt", "trouser", *(f"{name}  (never labelled)" for name in NAMES[2:])]
    axes = plots.figure_2([panel()], 10).axes[0]
    assert ticks(axes.xaxis) == list("0123456789") and axes.get_xticklabels()[0].get_rotation() == 0


def test_slots_have_their_own_names_and_those_of_the_classes_in_them():
    axes = plots.slots(panel(), 10, NAMES).axes[0]
    assert ticks(axes.xaxis) == ["T-shirt\n→ T-shirt", "trouser\n→ trouser", "new-0\n→ pullover", "new-1\n→ empty"]
    assert ticks(axes.yaxis)[2] == "pullover  (never labelled)"
    assert ticks(plots.slots(panel(), 10).axes[0].xaxis) == ["0\n→ 0", "1\n→ 1", "new-0\n→ 2", "new-1\n→ empty"]


def test_the_latent_space_and_samples_name_the_classes():
    class Drawn:
        labelled_classes, image_shape, white = (0, 1), (2, 2), 1.0

        class model:
            K = 3

        @staticmethod
        def encode(x):
            return x

        @staticmethod
        def sample(n, slots, seed):
            return np.zeros((n, 4))
    rng = np.random.default_rng(0)
    figure = plots.latent(Drawn, rng.normal(size=(40, 3)), np.arange(40) % 3, "title", names=NAMES)
    assert [text.get_text() for text in figure.axes[0].texts] == ["T-shirt", "trouser", "pullover"]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["T-shirt", "trouser", "pullover (never labelled)"]
    assert ticks(plots.samples(Drawn, "title", names=NAMES).axes[0].yaxis) == ["T-shirt", "trouser", "new-0"]
    assert ticks(plots.samples(Drawn, "title").axes[0].yaxis) == ["0", "1", "new-0"]


def test_styles_and_walks_begin_and_end_with_the_images():
    rng = np.random.default_rng(0)
    model = Model("gm-dgm", (0.25,) * 4, X=9, Z=3, H=5)
    trained = Trained(model, model.layout.initial(rng), np.arange(9), 9, 1.0, (0, 1), (3, 3))
    x = rng.random((5, 9))
    again = trained.reconstruct(x).reshape(5, 3, 3)
    axes = plots.styles(trained, x, "title").axes[0]
    drawn = axes.images[0].get_array()
    assert ticks(axes.xaxis) == ["x", "reconstruction", "0", "1", "new-0", "new-1"] and drawn.shape == (5 * 4, 6 * 4)
    np.testing.assert_allclose(drawn[:3, :3], x[0].reshape(3, 3))
    np.testing.assert_allclose(drawn[4:7, 4:7], again[1])
    own = 8 + 4 * trained.predict(x)[2]
    np.testing.assert_allclose(drawn[8:11, own:own + 3], again[2], atol=1e-5)
    drawn = plots.walks(trained, x, "title").axes[0].images[0].get_array()
    assert drawn.shape == (4 * 4, 12 * 4)
    np.testing.assert_allclose(drawn[:3, :3], again[0], atol=1e-5)
    np.testing.assert_allclose(drawn[-4:-1, -4:-1], again[4], atol=1e-5)


def test_the_reliability_diagram_has_a_dot_for_each_confidence():
    """Eight rows at .75, of which six are right, and two at .95, both right, in a slot that is no class's own."""
    class Sure:
        class model:
            K = 3

        @staticmethod
        def predict_proba(x):
            return x
    q = np.array([[0.75, 0.25, 0.0]] * 8 + [[0.0, 0.05, 0.95]] * 2)
    axes = plots.calibration(Sure, q, np.repeat([0, 1], [6, 4]), 2, "title").axes[0]
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [(0.75, 0.75), (0.95, 1.0)])
    assert [text.get_text() for text in axes.texts] == ["80.0", "20.0"]
