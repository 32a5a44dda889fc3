"""The estimator as scikit-learn's users meet it."""

import json
import pickle
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import microgmdgm
from microgmdgm import recipes
from microgmdgm.sklearn import SemiUnsupervisedClassifier
from microgmdgm.sklearn.labels import marked, slots_of, unlabelled
from microgmdgm.trained import Trained
from .conftest import ON_GPU

QUICK = replace(recipes.FAST_TABLE, minimum_epoch=1500, classifier_epochs=2, epochs=2)
METHODS = ("predict", "predict_proba", "transform", "score_samples")


def quick(**parameters):
    """An estimator that learns in a moment."""
    return SemiUnsupervisedClassifier(**{"recipe": QUICK, "hidden_units": 40, "random_state": 0, **parameters})


def hide(y, known, labels, seed=0):
    """y with `labels` labels of each known class and −1 elsewhere."""
    rng, hidden = np.random.default_rng(seed), np.full(len(y), -1)
    for c in known:
        rows = rng.choice(np.flatnonzero(y == c), labels, replace=False)
        hidden[rows] = c
    return hidden


def blobs(N=90, seed=0):
    """Three well separated groups of points in four dimensions, and labels for ten of each of the first two."""
    rng = np.random.default_rng(seed)
    y = np.arange(N) % 3
    return np.eye(4)[y] * 6 + rng.normal(size=(N, 4)), y, hide(y, (0, 1), 10)


@pytest.fixture(scope="module")
def fitted():
    X, _, y = blobs()
    return quick(recipe=replace(QUICK, minimum_epoch=12_000, epochs=5)).fit(X, y)


def failures(estimator):
    return {"check_classifiers_classes": "it takes −1 for a class, but here, as in sklearn.semi_supervised, −1 is a "
                                         "row without a label; scikit-learn exempts its own by name"}


@parametrize_with_checks([quick()], expected_failed_checks=failures)
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)


def test_a_class_without_labels_is_found():
    X, y, given = blobs()
    model = quick().fit(X, given)
    assert model.classes_.tolist() == [0, 1, 2] and model.known_classes_.tolist() == [0, 1]
    assert model.new_classes_.tolist() == [2] and (model.predict(X) == y).mean() > 0.95
    assert model.score(X, given) > 0.95 and model.score(X, y) > 0.95
    assert (model.transduction_[given >= 0] == given[given >= 0]).all() and (model.transduction_ == y).mean() > 0.95
    assert model.n_iter_ == len(model.history_) == 4 and not model.monitor_["collapsed"]


def test_wine_with_a_hidden_class_and_the_default_settings():
    """A real table, none of its 59 wines of class 0 labelled."""
    wine = load_wine()
    model = SemiUnsupervisedClassifier(random_state=0).fit(wine.data, hide(wine.target, (1, 2), 10))
    found = model.predict(wine.data)
    assert (found[wine.target == 0] == 3).mean() > 0.9  # the label after 2
    assert (found == np.where(wine.target == 0, 3, wine.target)).mean() > 0.9


def test_images_are_told_by_their_shape():
    """scikit-learn's digits 0 to 4; 3 and 4 have no label."""
    X, y = load_digits(n_class=5, return_X_y=True)
    recipe = replace(recipes.FAST_SMALL, classifier_epochs=8, epochs=2, minimum_epoch=12_000)
    model = quick(n_new_classes=2, image_shape=(8, 8), recipe=recipe, hidden_units=100, z_dimensions=10)
    model.fit(X.astype(np.uint8), hide(y, (0, 1, 2), 10))
    assert model.likelihood_ == "bernoulli" and model.trained_.image_shape == (8, 8)
    slots = np.searchsorted(model.classes_, model.predict(X))
    pure = microgmdgm.evaluation.contingency(slots, y, 5, 5)
    assert pure.max(axis=0).sum() / len(y) > 0.9
    pictures, labels = model.sample(6, label=model.new_classes_[0])
    assert pictures.shape == (6, 64) and 0 <= pictures.min() and pictures.max() <= 16 and set(labels) == {3}


@pytest.mark.parametrize("names, unlabelled, known, new", [
    (np.array(["ash", "beech", "oak"]), "-1", ["ash", "beech"], ["new-0", "new-1"]),
    (np.array(["ash", "new-0", "oak"], dtype=object), -1, ["ash", "new-0"], ["new-1", "new-2"]),
    (np.array([4, 7, 9]), -1, [4, 7], [8, 9]), (np.array([-5, -3, 9]), -1, [-5, -3], [0, 1]),
    (np.array([0.0, 2.0, 9.0]), -1, [0, 2], [3, 4])],
    ids=["strings", "objects, one of them new-0", "integers", "negative integers", "floats"])
def test_labels_of_every_kind(names, unlabelled, known, new):
    X, y, given = blobs()
    labels = names[y]
    labels[given < 0] = unlabelled
    model = quick(n_new_classes=2).fit(X, labels)
    assert model.known_classes_.tolist() == known and model.new_classes_.tolist() == new
    assert model.classes_.tolist() == known + new and set(model.predict(X)) <= set(known + new)
    assert model.score(X, labels) > 0.9


@pytest.mark.parametrize("y, known", [
    (["ash", None, "oak", float("nan")], ["ash", "oak"]), (["ash", "", "NA", "oak"], ["ash", "oak"]),
    (np.array(["a", "b", "", "-1"]), ["a", "b"]), ([3, 4, None, -1], [3, 4]), ([3.0, float("nan"), 4.0, -1.0], [3, 4]),
    ([True, False, None, None], [False, True])], ids=str)
def test_nothing_in_the_place_of_a_label_is_no_label(y, known):
    assert slots_of(marked(y), 1)[0].tolist() == known
    missing = [label is None or label != label or label in ("", "NA", "-1", -1) for label in y]
    assert unlabelled(marked(y)).tolist() == missing == unlabelled(np.asarray(y)).tolist()


@pytest.mark.parametrize("kind", ["Int64", "Float64", "string", "category", "object"])
def test_what_pandas_calls_missing_is_no_label(kind):
    pandas = pytest.importorskip("pandas")
    names = [7, 8, pandas.NA] if kind in ("Int64", "Float64") else ["ash", "oak", None if kind == "category" else pandas.NA]
    X, _, given = blobs()
    y = pandas.Series([names[label] for label in given], dtype=kind)
    model = quick().fit(pandas.DataFrame(X, columns=list("abcd")), y)
    assert model.known_classes_.tolist() == names[:2] and len(model.new_classes_) == 1
    assert model.score(pandas.DataFrame(X, columns=list("abcd")), y) > 0.9


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_a_column_of_text_is_refused_by_its_name(kind):
    pandas = pytest.importorskip("pandas")
    X, _, given = blobs()
    frame = pandas.DataFrame(X, columns=list("abcd")).assign(colour=pandas.Series(["red", "blue"] * 45, dtype=kind))
    with pytest.raises(ValueError, match="column 'colour' of X holds text, such as 'red': leave it out, or make numbers"):
        quick().fit(frame, given)


def test_without_any_label_it_clusters():
    X, y, _ = blobs()
    model = quick(n_new_classes=3).fit(X, np.full(len(y), -1))
    assert model.classes_.tolist() == [0, 1, 2] and len(model.known_classes_) == 0


def test_with_every_label_it_classifies_and_says_so():
    X, y, _ = blobs()
    with pytest.warns(UserWarning, match="no unlabelled rows"):
        model = quick().fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2] and len(model.new_classes_) == 0 and model.score(X, y) > 0.95


def test_it_clones_pickles_and_comes_back_from_its_file(fitted, tmp_path):
    X, _, y = blobs()
    again = clone(fitted).fit(X, y)
    fitted.save(tmp_path / "model.npz")
    for other in (again, pickle.loads(pickle.dumps(fitted)), SemiUnsupervisedClassifier.load(tmp_path / "model.npz")):
        for method in METHODS:
            np.testing.assert_array_equal(getattr(other, method)(X), getattr(fitted, method)(X))
        for name in ("classes_", "known_classes_", "new_classes_", "transduction_", "n_iter_", "history_", "monitor_",
                     "likelihood_", "recipe_", "n_features_in_"):
            np.testing.assert_equal(getattr(other, name), getattr(fitted, name))
        assert str(other.get_params()) == str(fitted.get_params())
        np.testing.assert_array_equal(other.sample(4)[0], fitted.sample(4)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_all_parameters_and_names_come_back_from_a_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    X, _, y = blobs()
    frame, labels = pandas.DataFrame(X, columns=list("abcd")), np.array(["ash", "oak", "-1"])[np.where(y < 0, 2, y)]
    model = quick(prior=np.array([0.3, 0.3, 0.4]), random_state=np.random.RandomState(3), alpha=5.0).fit(frame, labels)
    model.save(tmp_path / "model.npz")
    again = SemiUnsupervisedClassifier.load(tmp_path / "model.npz")
    assert again.predict(frame).tolist() == model.predict(frame).tolist()
    assert again.feature_names_in_.tolist() == list("abcd") and again.alpha == 5.0 and again.prior == [0.3, 0.3, 0.4]
    assert again.random_state is None  # a generator is not kept


def test_files_that_hold_no_estimator_are_refused(fitted, tmp_path):
    path = tmp_path / "model.npz"
    fitted.save(path)
    with pytest.raises(ValueError, match="load it with SemiUnsupervisedClassifier.load"):
        microgmdgm.load(path)
    fitted.trained_.save(tmp_path / "trained.npz")
    with pytest.raises(ValueError, match="no estimator: use microgmdgm.load"):
        SemiUnsupervisedClassifier.load(tmp_path / "trained.npz")
    with np.load(path) as file:
        arrays = dict(file)
    settings = json.loads(str(arrays["estimator"]))
    settings["params"]["unknown"] = 1
    np.savez(tmp_path / "other.npz", **{**arrays, "estimator": json.dumps(settings)})
    with pytest.raises(ValueError, match="damaged estimator, or one of another version"):
        SemiUnsupervisedClassifier.load(tmp_path / "other.npz")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="is not a model saved by microgmdgm"):
        SemiUnsupervisedClassifier.load(path)


def test_pipelines_and_grid_searches():
    X, y, given = blobs()
    search = GridSearchCV(make_pipeline(StandardScaler(), quick()), {"semiunsupervisedclassifier__beta": [4.0, 8.0]},
                          cv=2, error_score="raise").fit(X, given)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all() and (search.predict(X) == y).mean() > 0.9
    assert search.best_estimator_[-1].recipe_.beta == search.best_params_["semiunsupervisedclassifier__beta"]


def test_frames_in_and_out():
    pandas = pytest.importorskip("pandas")
    X, _, y = blobs()
    frame = pandas.DataFrame(X, columns=["length", "width", "height", "weight"])
    model = quick(z_dimensions=3).fit(frame, pandas.Series(y)).set_output(transform="pandas")
    assert model.feature_names_in_.tolist() == list(frame) and model.predict(frame).shape == (90,)
    assert list(model.transform(frame)) == [f"semiunsupervisedclassifier{i}" for i in range(3)]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["width", "length", "height", "weight"]])
    objects = pandas.Series(np.where(y < 0, None, y)).map({0: "ash", 1: "oak"}).where(y >= 0, -1).astype(object)
    assert quick().fit(frame, objects).classes_.tolist() == ["ash", "oak", "new-0"]


def test_settings_of_the_recipe_and_the_model_arrive():
    X, _, y = blobs()
    model = quick(model="m2", epochs=1, classifier_epochs=1, alpha=3.0, gamma=7.0, beta=2.0, learning_rate=1e-4,
                  adversarial_length=0.1, likelihood="gaussian", hidden_layers=1, z_dimensions=4, extra_classes=2,
                  recipe="fast", augment=False).fit(X, y)
    assert (model.recipe_.alpha, model.recipe_.gamma, model.recipe_.beta, model.recipe_.noise) == (3.0, 7.0, 2.0, 0.0)
    assert model.trained_.model.name == "m2" and model.trained_.model.Z == 4 and len(model.new_classes_) == 3
    np.testing.assert_allclose(model.trained_.model.prior, [1 / 3, 1 / 3, 1 / 9, 1 / 9, 1 / 9])
    assert SemiUnsupervisedClassifier(epochs=1, classifier_epochs=1, random_state=0).fit(X, y).recipe_ == replace(
        recipes.FAST_TABLE, epochs=1, classifier_epochs=1, merge_from=0)
    small, large, table = (recipes.recipe_for("fast", shape) for shape in ((8, 8), (16, 12), None))
    assert (small, large, table) == (recipes.FAST_SMALL, recipes.FAST, recipes.FAST_TABLE)
    assert recipes.for_slots(table, 15, 5, 5) == recipes.for_slots(table, 15, 0, 5) == replace(table, beta=7.5)
    for extra in (5, 1, 0):
        small, large = (recipe if extra else replace(recipe, merge_from=0) for recipe in (recipes.FAST_SMALL, recipes.FAST))
        assert recipes.for_slots(recipes.FAST_SMALL, 15, 5, extra) == recipes.for_slots(recipes.FAST_SMALL, 15, 0, extra) == small
        assert recipes.for_slots(recipes.FAST, 15, 1, extra) == large
        model = SemiUnsupervisedClassifier(extra_classes=extra, image_shape=(28, 28))
        model.classes_ = np.arange(15)
        for model.known_classes_, smooth_from in (np.arange(5), 0), (np.arange(0), 3):
            assert model._recipe() == replace(large, smooth_from=smooth_from)
        for shape in ((28, 28), None):
            assert recipes.for_slots(recipes.recipe_for("paper", shape), 15, 0, extra) == recipes.PAPER


def test_the_prior_follows_the_labels_or_what_is_given():
    X, y, _ = blobs()
    given = hide(y, (0,), 5) + hide(y, (1,), 15) + 1
    model = quick(prior="labels").fit(X, given)
    np.testing.assert_allclose(model.trained_.model.prior, [1 / 6, 1 / 2, 1 / 3])
    assert quick(prior=[0.2, 0.3, 0.5]).fit(X, given).trained_.model.prior == (0.2, 0.3, 0.5)


def test_densities_are_in_the_units_of_the_data(fitted):
    """Ten times the numbers have a tenth of the density in each of four columns."""
    X, _, y = blobs()
    other = clone(fitted).fit(10 * X, y)
    np.testing.assert_allclose(other.score_samples(10 * X), fitted.score_samples(X) - 4 * np.log(10), atol=0.05)
    np.testing.assert_allclose(other.predict_proba(10 * X), fitted.predict_proba(X), atol=0.01)


def test_pixels_that_the_model_does_not_see_have_no_density():
    """Half of the pixels hardly vary, and are left out: their scale does not matter."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(60, 8)), 1e-3 * rng.normal(size=(60, 8))])
    model = quick(recipe=replace(recipes.FAST, epochs=1, classifier_epochs=1, minimum_epoch=500), image_shape=(4, 4),
                  likelihood="gaussian", prior=[0.5, 0.5]).fit(X, np.where(np.arange(60) < 9, 0, -1))
    assert model.trained_.pixels.tolist() == [*range(8)]
    assert model.columns_.log_density(X, model.trained_.pixels) == pytest.approx(-8 * np.log(model.columns_.unit[0]))
    bounds = [model._by_rows(Trained.bound, X, seed=seed, common=True) for seed in range(8)]
    np.testing.assert_allclose(model.score_samples(X), np.mean(bounds, axis=0) - 8 * np.log(model.columns_.unit[0]))


def test_unlikely_rows_have_a_lower_density(fitted):
    X, _, _ = blobs()
    assert fitted.score_samples(X).min() > fitted.score_samples(X + 30).max()


def test_samples_have_the_label_asked_for_and_the_data_s_units(fitted):
    """Also after a short training, samples of a class are nearer to its rows than to those of another."""
    X, y, _ = blobs()
    means = np.array([X[y == label].mean(axis=0) for label in (0, 1, 2)])
    for label in (0, 1, 2):
        drawn, labels = fitted.sample(50, label)
        assert (labels == label).all()
        assert np.linalg.norm(drawn.mean(axis=0) - means, axis=1).argmin() == label
    drawn, labels = fitted.sample(300)
    assert set(labels) == {0, 1, 2} and drawn.shape == (300, 4)
    with pytest.raises(ValueError, match=r"label must be one of \[0, 1, 2\], not 7"):
        fitted.sample(1, 7)


def test_a_collapsed_fit_warns():
    """M2 without labels on the paper's objective, the paper's example of collapse."""
    X, _, _ = blobs()
    recipe = replace(recipes.PAPER, epochs=1, minimum_epoch=500)
    with pytest.warns(ConvergenceWarning, match="y has collapsed: .*nats"):
        model = quick(n_new_classes=4, model="m2", recipe=recipe).fit(X, np.full(len(X), -1))
    assert model.monitor_["collapsed"]


def test_slots_that_a_recipe_does_not_merge_are_said():
    X, _, y = blobs()
    with pytest.warns(ConvergenceWarning, match="No slots were merged, for the recipe has too few classifier_epochs"):
        quick(n_new_classes="auto").fit(X, y)


def test_a_checkpoint_is_of_one_image_shape_and_any_whole_number_is_a_seed(tmp_path):
    X, _, y = blobs()
    model = quick(image_shape=(2, 2), random_state=np.int64(3), recipe=replace(QUICK, epochs=1, classifier_epochs=1))
    model.fit(X, y, checkpoint=tmp_path / "kept.npz")
    with pytest.raises(ValueError, match=r"image_shape is \[2, 2\] there and \[4, 1\] here"):
        model.set_params(image_shape=(4, 1)).fit(X, y, checkpoint=tmp_path / "kept.npz")


def test_a_sound_fit_does_not_warn():
    X, _, y = blobs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(X, y)


@pytest.mark.parametrize("change, parameters, message", [
    (lambda X, y: (np.where(X == X[5, 2], np.nan, X), y), {}, "contains NaN"),
    (lambda X, y: (np.where(X == X[5, 2], np.inf, X), y), {}, "contains infinity"),
    (lambda X, y: (X[:, 0], y), {}, "Expected 2D array, got 1D array"),
    (lambda X, y: (X[None], y), {}, "3"),
    (lambda X, y: (X, y[:-1]), {}, "inconsistent numbers of samples"),
    (lambda X, y: (X, np.full(90, 4)), {}, "there is only one class"),
    (lambda X, y: (X, np.where(y == 0, 0, -1)), {"n_new_classes": 0}, "there is only one class"),
    (lambda X, y: (X[:3], np.array([0, 1, -1])), {"n_new_classes": 2}, "n_samples=3 should be >= the number"),
    (lambda X, y: (X[:1], y[:1]), {}, "minimum of 2 is required"),
    (lambda X, y: (np.array([["a", "b"]] * 90), y), {}, "not compatible with arrays of bytes/strings"),
    (lambda X, y: (X, y + 0.5), {}, "Unknown label type: continuous"),
    (lambda X, y: (X, np.array(["a", 2] * 45, dtype=object)), {}, "y mixes strings with other labels"),
    (lambda X, y: (np.ones((90, 3)), y), {}, "all 3 columns of X are constant"),
    (lambda X, y: (X, y), {"image_shape": (3, 3)}, r"image_shape must be \(h, w\) with h·w = 4, not \(3, 3\)"),
    (lambda X, y: (X, y), {"image_shape": 4}, r"image_shape must be \(h, w\) with h·w = 4, not 4"),
    (lambda X, y: (X, y), {"prior": [0.5, 0.5]}, "one number for each of the 3 slots, 2 known and 1 new"),
    (lambda X, y: (X, y), {"prior": [0.5, 0.5, 0.5]}, "must be positive and sum to 1"),
    (lambda X, y: (X, y), {"prior": "even"}, "prior must be uniform or labels or an array, not 'even'"),
    (lambda X, y: (X, y), {"n_new_classes": -1}, "n_new_classes must be a whole number from 0 to 1,000 or auto, not -1"),
    (lambda X, y: (X, y), {"n_new_classes": 1.5}, "n_new_classes must be a whole number"),
    (lambda X, y: (X, y), {"n_new_classes": 0, "extra_classes": 2}, "n_new_classes of at least 1"),
    (lambda X, y: (X, y), {"model": "vae"}, "must be gm-dgm or m2, not 'vae'"),
    (lambda X, y: (X, y), {"recipe": "slow"}, "recipe must be paper or fast, not 'slow'"),
    (lambda X, y: (X, y), {"likelihood": "poisson"}, "likelihood must be bernoulli or gaussian or auto, not 'poisson'"),
    (lambda X, y: (X, y), {"likelihood": "bernoulli"}, "a Bernoulli likelihood needs columns of two values"),
    (lambda X, y: (X, y), {"device": "tpu"}, "device must be cpu or gpu, not 'tpu'"),
    (lambda X, y: (X, y), {"epochs": 0}, "epochs must be a whole number from 1 to 1,000,000 or none, not 0"),
    (lambda X, y: (X, y), {"classifier_epochs": -1}, "classifier_epochs must be a whole number from 0"),
    (lambda X, y: (X, y), {"prior": None}, "prior must be uniform or labels or an array, not None"),
    (lambda X, y: (X, y), {"learning_rate": float("nan")}, "learning_rate must be a number from 0 to 1,000 or none, not nan"),
    (lambda X, y: (X, y), {"gamma": np.inf}, "gamma must be a number from 0 to 1,000,000 or none, not inf"),
    (lambda X, y: (X, y), {"hidden_units": "many"}, "hidden_units must be a whole number from 1 to 100,000 or auto, not 'many'")])
def test_bad_input_is_refused_in_one_clear_line(change, parameters, message):
    X, _, y = blobs()
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(*change(X, y))


def test_nothing_is_predicted_before_the_fit_or_for_other_columns(fitted):
    X, _, y = blobs()
    for method in (*METHODS, "sample", "save"):
        with pytest.raises(NotFittedError):
            getattr(quick(), method)(3 if method == "sample" else "nowhere.npz" if method == "save" else X)
    for method in METHODS:
        with pytest.raises(ValueError, match="X has 3 features, but SemiUnsupervisedClassifier is expecting 4"):
            getattr(fitted, method)(X[:, :3])
        assert len(getattr(fitted, method)(X[:1])) == 1
    with pytest.raises(ValueError, match="no labelled row"):
        fitted.score(X, np.full(len(y), -1))


@pytest.mark.parametrize("width", [1, 10_000])
def test_one_feature_and_ten_thousand(width):
    _, y, given = blobs()
    X = np.random.default_rng(0).normal(size=(90, width)) + 4.0 * y[:, None]
    model = quick(recipe=replace(QUICK, minimum_epoch=500)).fit(X, given)
    assert model.predict_proba(X).shape == (90, 3) and model.transform(X).shape == (90, 10)
    assert np.isfinite(model.score_samples(X)).all() and model.sample(2)[0].shape == (2, width)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_file_mapped_into_memory_is_never_copied_whole(dtype, tmp_path, monkeypatch):
    """A copy in float64 would be 128 MB, one in float32 64 MB."""
    N, width = 80_000, 200
    shape = (10, 20) if dtype is np.uint8 else None
    rng = np.random.default_rng(0)
    X = np.memmap(tmp_path / "X", dtype, "w+", shape=(N, width))
    y = np.arange(N) % 4
    X[:] = rng.integers(0, 200, (N, width)) * (0.5 + 0.5 * (np.arange(width) % 4 == y[:, None]))
    monkeypatch.setattr("microgmdgm.batches.BLOCK", 2**18)
    recipe = replace(QUICK, epochs=1, classifier_epochs=0, unlabelled_batch=1000)
    model = quick(n_new_classes=2, image_shape=shape, recipe=recipe, hidden_units=20, z_dimensions=5)
    tracemalloc.start()
    model.fit(X, hide(y, (0, 1), 20))
    model.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48e6, f"{peak / 1e6:.0f} MB"


def test_verbose_says_what_was_chosen(capsys):
    X, _, y = blobs()
    quick(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("SemiUnsupervisedClassifier: 90 rows, 20 with a label; gaussian likelihood, columns: 4 real; "
                        "recipe fast")
    assert len(lines) == 5 and lines[4].startswith("epoch 4 of 4, 3 slots: L(x) ")
    quick().fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("device", [ON_GPU])
def test_the_gpu_gives_a_model_too(device):
    X, y, given = blobs()
    assert (quick(device=device.lower()).fit(X, given).predict(X) == y).mean() > 0.95


def test_the_example_of_its_docstring_runs():
    import doctest

    from microgmdgm.sklearn import estimator
    assert doctest.testmod(estimator).attempted == 9 and doctest.testmod(estimator).failed == 0


def test_rows_like_nothing_seen_are_unfamiliar(fitted, tmp_path):
    X, *_ = blobs(600, seed=1)
    far = X + 30 * np.eye(4)[0]
    assert fitted.unfamiliar(X).mean() < 0.1 and fitted.unfamiliar(far).mean() > 0.9
    fitted.save(tmp_path / "model.npz")
    loaded = SemiUnsupervisedClassifier.load(tmp_path / "model.npz")
    assert np.array_equal(loaded.unfamiliar(X), fitted.unfamiliar(X))
