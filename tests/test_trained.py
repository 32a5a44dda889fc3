"""A trained model from its file: it predicts, encodes, reconstructs and samples as before."""

import json

import numpy as np
import pytest

import microgmdgm
from microgmdgm.trained import Trained
from .conftest import MODELS, random_theta, small_model

PIXELS = np.array([0, 2, 3, 5, 6, 7, 8])


@pytest.fixture(params=MODELS, ids=lambda case: "-".join(case))
def trained(request):
    model = small_model(*request.param)
    theta = random_theta(model, np.random.default_rng(0)).astype(np.float32)
    return Trained(model, theta, PIXELS, 9, 16.0, (4, 7), (3, 3))


def images(n=12):
    return np.random.default_rng(1).integers(0, 17, (n, 9)).astype(np.uint8)


def test_a_model_comes_back_from_its_file(trained, tmp_path):
    trained.save(tmp_path / "model.npz")
    again = microgmdgm.load(tmp_path / "model.npz")
    assert again.model == trained.model and again.labelled_classes == (4, 7) and again.image_shape == (3, 3)
    x = images()
    for method in ("predict", "predict_proba", "encode", "reconstruct", "bound"):
        np.testing.assert_array_equal(getattr(again, method)(x), getattr(trained, method)(x))
    np.testing.assert_array_equal(again.sample(5, seed=3), trained.sample(5, seed=3))
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_what_it_gives_has_the_right_shapes_and_ranges(trained):
    x = images()
    q = trained.predict_proba(x)
    assert q.shape == (12, 4) and np.allclose(q.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(trained.predict(x), q.argmax(axis=1))
    assert trained.encode(x).shape == (12, 3) and trained.bound(x).shape == (12,)
    assert trained.reconstruct(x).shape == x.shape and trained.sample(5).shape == (5, 9)
    if trained.model.likelihood == "bernoulli":
        for pictures in (trained.reconstruct(x), trained.sample(50)):
            assert pictures[:, PIXELS].min() > 0 and pictures.max() < 16 and not pictures[:, [1, 4]].any()


def test_many_rows_are_one_row_many_times(trained, monkeypatch):
    x = images()
    whole = trained.encode(x), trained.predict_proba(x)
    monkeypatch.setattr("microgmdgm.trained.ROWS", 5)
    for found, expected in zip((trained.encode(x), trained.predict_proba(x)), whole):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_style_is_drawn_in_any_slot(trained):
    """In its own slot it is the reconstruction; a standard normal style is a sample."""
    x = images()
    style, y = trained.style(x), trained.predict(x)
    np.testing.assert_allclose(trained.draw(style, y), trained.reconstruct(x), rtol=1e-4, atol=1e-4)
    assert np.abs(trained.draw(style, (y + 1) % 4) - trained.reconstruct(x)).max() > 0.01
    eps = np.random.default_rng(3).standard_normal((5, 3))
    np.testing.assert_array_equal(trained.draw(eps, [0, 1, 2, 3, 0]), trained.sample(5, [0, 1, 2, 3, 0], seed=3))
    if trained.model.name == "gm-dgm":
        mu, logvar = trained.params["p(z|y)"]
        np.testing.assert_allclose(mu[y] + np.exp(logvar[y] / 2) * style, trained.encode(x), rtol=1e-4, atol=1e-5)


def test_samples_of_a_slot_differ_from_those_of_another(trained):
    a, b = trained.sample(400, 0, seed=1), trained.sample(400, 3, seed=1)
    assert np.abs(a.mean(axis=0) - b.mean(axis=0)).max() > 0.05


@pytest.mark.parametrize("x, message", [
    (np.zeros((3, 8)), r"shape \(N, 9\)"), (np.zeros(9), r"shape \(N, 9\)"),
    (np.full((1, 9), np.nan), "must be finite")])
def test_input_that_does_not_fit_is_refused(trained, x, message):
    with pytest.raises(ValueError, match=message):
        trained.predict(x)


def test_a_slot_that_is_not_there_is_refused(trained):
    with pytest.raises(ValueError, match="slots go from 0 to 3"):
        trained.sample(2, 4)


def test_files_that_are_no_model_are_refused(trained, tmp_path):
    path = tmp_path / "model.npz"
    trained.save(path)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:len(content) // 2]):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match="bad.npz is not a model saved by microgmdgm"):
            microgmdgm.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="is not a model saved by microgmdgm"):
        microgmdgm.load(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="is not a model saved by microgmdgm"):
        microgmdgm.load(tmp_path / "nowhere.npz")
    with np.load(path) as file:
        arrays = dict(file)
    settings = json.loads(str(arrays["settings"]))
    np.savez(tmp_path / "future.npz", **{**arrays, "settings": json.dumps({**settings, "format": 99})})
    with pytest.raises(ValueError, match="format 99"):
        microgmdgm.load(tmp_path / "future.npz")
    np.savez(tmp_path / "short.npz", **{**arrays, "theta": arrays["theta"][:-1]})
    with pytest.raises(ValueError, match="damaged: θ must have"):
        microgmdgm.load(tmp_path / "short.npz")
    np.savez(tmp_path / "pickled.npz", **{**arrays, "theta": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="is not a model saved by microgmdgm"):
        microgmdgm.load(tmp_path / "pickled.npz")
