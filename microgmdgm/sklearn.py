"""The model as a scikit-learn estimator, for arrays with a few labels and classes without any.

    model = SemiUnsupervisedClassifier(n_new_classes=2).fit(X, y)      # y = −1 where there is no label
    model.predict(X)                                                   # the labels of y, and new-0, new-1

Imported only when asked for: `from microgmdgm.sklearn import SemiUnsupervisedClassifier`.
"""

import json
import warnings
from dataclasses import asdict, replace
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .backend import gpu, to_host
from .batches import Task
from .data import Data, slot_prior
from .evaluation import monitor
from .labels import plain, slots_of, unlabelled
from .models import Model
from .recipes import RECIPES, SMALL, Recipe, recipe_for
from .tables import Columns, View
from .trained import ROWS, Trained, read
from .training import train

MINIMUM_SD = 1e-6  # of a column as the model sees it: less is rounding
SAMPLES = 8        # of z, for the bound of score_samples
CHANGES = ("epochs", "classifier_epochs", "learning_rate", "alpha", "gamma", "beta", "adversarial_length", "sum_over_y",
           "samples")


class SemiUnsupervisedClassifier(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator):
    """A classifier for data in which some classes have a few labels and others none (GM-DGM or M2 of
    Willetts, Roberts and Holmes, 2018).  Rows without a label have y = −1.

    n_new_classes       how many classes without any label there are, as far as is known
    extra_classes       more slots for them, so that one class may fill several
    prior               p(y) over all slots, known classes first.  "uniform", as in the paper: 1/C for each known
                        class, C the number of classes, and the rest shared equally by the other slots;
                        "labels": the same, but known classes as often as they are labelled; or an array.
                        It matters: the fast recipe uses the slots about as often as it says
    model, recipe       "gm-dgm" or "m2"; "fast", "paper" or a `Recipe`
    likelihood          of x: "bernoulli", "gaussian", or "auto", by what the columns hold (`tables.Columns`)
    image_shape         (h, w), where a row of X is an image of h·w pixels
    augment             whether q(y|x) is trained on randomly changed rows: affine maps of images, noise on tables;
                        "auto" and True do, where the recipe has a use for it
    hidden_units, hidden_layers, z_dimensions   of the networks; "auto": 500 units, or under 5,000 rows 200 for
                        images and 100 for tables; 100 dimensions of z for images and 10 for tables
    epochs, classifier_epochs, learning_rate, alpha, gamma, beta, adversarial_length, sum_over_y, samples
                        settings of the recipe; None: as the recipe has them
    random_state, device ("cpu" or "gpu"), verbose (1: a line an epoch)

    After `fit`: classes_, of which known_classes_ come first and new_classes_ follow (new-0, new-1, … among
    strings, the next free ones among numbers); transduction_, a label for every row of X, the given one where
    there was one; trained_, a `Trained` on what columns_ make of X; likelihood_, recipe_, history_ (the terms of
    each epoch), monitor_ (the collapse monitor on X), n_iter_ (epochs), n_features_in_, feature_names_in_."""

    def __init__(self, n_new_classes=1, *, extra_classes=0, prior="uniform", model="gm-dgm", recipe="fast",
                 likelihood="auto", image_shape=None, augment="auto", hidden_units="auto", hidden_layers=2,
                 z_dimensions="auto", epochs=None, classifier_epochs=None, learning_rate=None, alpha=None, gamma=None,
                 beta=None, adversarial_length=None, sum_over_y=None, samples=None, random_state=None, device="cpu",
                 verbose=0):
        self.n_new_classes = n_new_classes
        self.extra_classes = extra_classes
        self.prior = prior
        self.model = model
        self.recipe = recipe
        self.likelihood = likelihood
        self.image_shape = image_shape
        self.augment = augment
        self.hidden_units = hidden_units
        self.hidden_layers = hidden_layers
        self.z_dimensions = z_dimensions
        self.epochs = epochs
        self.classifier_epochs = classifier_epochs
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.gamma = gamma
        self.beta = beta
        self.adversarial_length = adversarial_length
        self.sum_over_y = sum_over_y
        self.samples = samples
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X, y):
        """Train on X (N,width) and labels y (N,), −1 ("-1" among strings) where there is none.
        Raises ValueError for what cannot be learnt from, Diverged as `train` does; warns where y has no
        unlabelled row and where y has collapsed, that is, says almost nothing of X."""
        self._check_settings()
        X, y = validate_data(self, X, y, ensure_min_samples=2)
        N, image = len(X), self.image_shape is not None
        if image and int(np.prod(self.image_shape)) != X.shape[1]:
            raise ValueError(f"image_shape {tuple(self.image_shape)} has {int(np.prod(self.image_shape))} pixels, "
                             f"but X has {X.shape[1]} features")
        xp = gpu() if self.device == "gpu" else np
        self.known_classes_, self.new_classes_, slots = slots_of(y, self.n_new_classes + self.extra_classes)
        parts = [part for part in (self.known_classes_, self.new_classes_) if len(part)]
        self.classes_ = np.concatenate(parts)
        self.columns_ = Columns.learn(X, self.likelihood, image)
        self.likelihood_ = self.columns_.likelihood
        self.recipe_ = self._recipe(slots, None if image else len(self.classes_))
        if self.verbose:
            print(f"{type(self).__name__}: {N} rows, {(slots >= 0).sum()} with a label; {self.columns_}; "
                  f"recipe {self.recipe_.name}")

        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        view = X if self.columns_.plain else View(X, self.columns_)
        shape = tuple(map(int, self.image_shape)) if image else None
        data = Data("X", view if xp is np else np.asarray(view[:]), slots, None, None,
                    shape if self.augment else None, self.columns_.white)
        task = Task.prepare(data, range(len(self.known_classes_)), None, [rng],
                            max(self.recipe_.minimum_sd, MINIMUM_SD), xp)
        model = self._model(slots, N, len(task.pixels), image)
        self.history_ = []
        for state, terms in train(model, self.recipe_, task, [rng]):
            self.history_.append({term: float(value[0]) for term, value in terms.items()})
            if self.verbose:
                print(f"epoch {len(self.history_)}: "
                      + ", ".join(f"{term} {value:.4g}" for term, value in self.history_[-1].items()), flush=True)
        self.n_iter_ = len(self.history_)
        self.trained_ = Trained(model, to_host(state.theta)[0].copy(), to_host(task.pixels), X.shape[1],
                                self.columns_.white, tuple(range(len(self.known_classes_))), shape)
        q = self._by_rows("predict_proba", X)
        self.transduction_ = self.classes_[np.where(slots >= 0, slots, q.argmax(axis=1))]
        self.monitor_ = monitor(q, model.prior)
        if self.monitor_["collapsed"]:
            information, used = self.monitor_["mutual_information"], self.monitor_["slots_used"]
            warnings.warn(f"y has collapsed: it says almost nothing of X (I(x;y) = {information:.2f} nats, {used} of "
                          f"{model.K} slots in use); try other n_new_classes, more labels, or more epochs",
                          ConvergenceWarning)
        return self

    def predict_proba(self, X):
        """q(y|x).     X (N,width) -> (N,K), columns as in classes_"""
        return self._by_rows("predict_proba", self._check(X))

    def predict(self, X):
        """The most probable class.     X (N,width) -> (N,)"""
        q = self.predict_proba(X)
        return self.classes_[q.argmax(axis=1)]

    def transform(self, X):
        """The mean of q(z|x,y) under the most probable y.     X (N,width) -> (N,Z)"""
        return self._by_rows("encode", self._check(X))

    def score_samples(self, X):
        """A bound on log p(x) in nats, Eq. 10 averaged over a few samples of z that all rows share; a density in
        the units of X for a Gaussian likelihood, of the columns that are not constant.     X (N,width) -> (N,)"""
        X = self._check(X)
        bound = np.mean([self._by_rows("bound", X, seed=seed, common=True) for seed in range(SAMPLES)], axis=0)
        return bound + np.concatenate([self.columns_.log_density(X[i:i + ROWS]) for i in range(0, len(X), ROWS)])

    def score(self, X, y, sample_weight=None):
        """The accuracy over the rows that have a label, that is, y other than −1."""
        y = np.asarray(y)
        labelled = ~unlabelled(y)
        if not labelled.any():
            raise ValueError("y has no labelled row, so that there is nothing to score")
        weight = None if sample_weight is None else np.asarray(sample_weight)[labelled]
        return accuracy_score(plain(y[labelled]), self.predict(X)[labelled], sample_weight=weight)

    def sample(self, n_samples=1, label=None):
        """Means of p(x|z), z ~ p(z|y), y = label or drawn from p(y).     -> X (n_samples,width), y (n_samples,)"""
        check_is_fitted(self)
        if label is not None and label not in self.classes_:
            raise ValueError(f"label must be one of {self.classes_.tolist()}, not {label!r}")
        random = check_random_state(self.random_state)
        prior = np.array(self.trained_.model.prior)
        slots = (random.choice(len(prior), n_samples, p=prior / prior.sum()) if label is None
                 else np.full(n_samples, np.flatnonzero(self.classes_ == label)[0]))
        h = self.trained_.sample(n_samples, slots, seed=random.randint(2**31 - 1))
        return self.columns_.inverse(h), self.classes_[slots]

    def save(self, path):
        """Write the fitted estimator as an .npz without pickle, whole or not at all."""
        check_is_fitted(self)
        params = self.get_params()
        params["prior"] = params["prior"] if isinstance(params["prior"], str) else list(map(float, params["prior"]))
        if not isinstance(params["random_state"], (Integral, type(None))):
            params["random_state"] = None  # a generator cannot be kept without pickle
        for name in ("recipe", "recipe_"):
            value = params.get(name, self.recipe_)
            params[name] = asdict(value) if isinstance(value, Recipe) else value
        if params["image_shape"] is not None:
            params["image_shape"] = list(map(int, params["image_shape"]))
        rest = {"likelihood": self.columns_.likelihood, "white": self.columns_.white, "monitor": self.monitor_,
                "history": self.history_, "known": len(self.known_classes_)}
        names = {"feature_names": self.feature_names_in_.astype(str)} if hasattr(self, "feature_names_in_") else {}
        self.trained_.save(path, estimator=json.dumps({"params": params, **rest}, default=_number),
                           classes=self.classes_, transduction=self.transduction_, kinds=self.columns_.kinds,
                           shift=self.columns_.shift, unit=self.columns_.unit, **names)

    @classmethod
    def load(cls, path):
        """The estimator that `save` wrote.  Raises ValueError where path holds none."""
        trained, extra = read(path)
        if "estimator" not in extra:
            raise ValueError(f"{path} holds a model but no estimator: use microgmdgm.load")
        try:
            rest = json.loads(str(extra["estimator"]))
            recipe = Recipe(**rest["params"].pop("recipe_"))
            if isinstance(rest["params"]["recipe"], dict):
                rest["params"]["recipe"] = Recipe(**rest["params"]["recipe"])
            self = cls(**rest["params"])
            self.columns_ = Columns(rest["likelihood"], rest["white"], extra["kinds"], extra["shift"], extra["unit"])
            self.classes_, self.transduction_ = extra["classes"], extra["transduction"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged estimator, or one of another version: {error}") from None
        self.trained_, self.recipe_, self.likelihood_ = trained, recipe, rest["likelihood"]
        self.history_, self.monitor_, self.n_iter_ = rest["history"], rest["monitor"], len(rest["history"])
        self.known_classes_, self.new_classes_ = np.split(self.classes_, [rest["known"]])
        self.n_features_in_, self._n_features_out = trained.width, trained.model.Z
        if "feature_names" in extra:
            self.feature_names_in_ = extra["feature_names"].astype(object)
        return self

    def _check_settings(self):
        """Raises ValueError where a parameter is not one that `fit` knows; the model and the recipe check theirs."""
        for name, least in (("n_new_classes", 0), ("extra_classes", 0), ("hidden_units", 1), ("hidden_layers", 1),
                            ("z_dimensions", 1)):
            value = getattr(self, name)
            automatic = name in ("hidden_units", "z_dimensions") and isinstance(value, str) and value == "auto"
            if not automatic and not (isinstance(value, Integral) and not isinstance(value, bool) and value >= least):
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
        for name, choices in (("likelihood", ("auto", "bernoulli", "gaussian")), ("augment", ("auto", True, False)),
                              ("device", ("cpu", "gpu"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {getattr(self, name)!r}")
        if not isinstance(self.recipe, Recipe) and self.recipe not in tuple(RECIPES):
            raise ValueError(f"recipe must be one of {', '.join(map(repr, RECIPES))} or a Recipe, not {self.recipe!r}")
        if isinstance(self.prior, str) and self.prior not in ("uniform", "labels"):
            raise ValueError(f"prior must be 'uniform', 'labels' or an array, not {self.prior!r}")
        if self.extra_classes and not self.n_new_classes:
            raise ValueError("extra_classes are more slots for new classes: ask for n_new_classes of at least 1")
        if self.image_shape is not None and (np.shape(self.image_shape) != (2,) or min(self.image_shape) < 1):
            raise ValueError(f"image_shape must be (h, w), not {self.image_shape!r}")

    def _recipe(self, slots, K):
        """The recipe with what this estimator's parameters change in it; K is None for images."""
        recipe = (self.recipe if isinstance(self.recipe, Recipe) else
                  recipe_for(self.recipe, len(slots), self.extra_classes, K))
        if not self.augment:
            recipe = replace(recipe, noise=0.0)
        return replace(recipe, **{name: getattr(self, name) for name in CHANGES if getattr(self, name) is not None})

    def _model(self, slots, N, X, image):
        """The model for X columns that vary.  Raises ValueError for a prior that does not fit."""
        known, new = len(self.known_classes_), len(self.new_classes_)
        K = known + new
        if not isinstance(self.prior, str):
            prior = tuple(map(float, self.prior))
            if len(prior) != K:
                raise ValueError(f"prior must have one value for each of the {K} slots, {known} known and {new} new, "
                                 f"not {len(prior)}")
        else:
            prior = slot_prior(known + self.n_new_classes if new else known, known, self.extra_classes if new else 0)
            if self.prior == "labels" and known:
                counts = np.bincount(slots[slots >= 0], minlength=known)
                prior = (*(counts / counts.sum() * sum(prior[:known])).tolist(), *prior[known:])
        H = (500 if N >= SMALL else 200 if image else 100) if self.hidden_units == "auto" else int(self.hidden_units)
        Z = (100 if image else 10) if self.z_dimensions == "auto" else int(self.z_dimensions)
        self._n_features_out = Z
        return Model(self.model, prior, X, Z, H, int(self.hidden_layers), self.likelihood_,
                     self.recipe_.output_sd)

    def _check(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False)

    def _by_rows(self, method, X, **options):
        """A method of `Trained` on X, few rows at a time, in float64, so that a row's result does not depend
        on its neighbours."""
        trained = replace(self.trained_, theta=self.trained_.theta.astype(np.float64))
        return np.concatenate([getattr(trained, method)(self.columns_.rows(X[i:i + ROWS]), **options)
                               for i in range(0, len(X), ROWS)])


def _number(value):
    """A NumPy number as JSON has it."""
    return value.item()
