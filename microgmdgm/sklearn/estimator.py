"""The model as a scikit-learn estimator, for arrays with a few labels and classes without any.

    model = SemiUnsupervisedClassifier(n_new_classes=2).fit(X, y)      # y = −1 where there is no label
    model.predict(X)                                                   # the labels of y, and new-0, new-1

Imported only when asked for: `from microgmdgm.sklearn import SemiUnsupervisedClassifier`.
"""

import hashlib
import json
import math
import warnings
from dataclasses import asdict, fields, replace
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import checkpoint, settings
from ..backend import gpu, to_host
from ..batches import blocks
from ..data import Data, slot_prior
from ..evaluation import monitor
from ..generative import Familiarity, traits
from ..recipes import RECIPES, Recipe, for_slots, recipe_for
from ..signs import rising, signs
from ..trained import ROWS, Trained, read
from ..training import fit
from .labels import marked, plain, slots_of, unlabelled
from .tables import Columns, View, refuse_text

MINIMUM_SD = 1e-6  # of a column as the model sees it: less is rounding
SAMPLES = 8        # of z, for the bound of score_samples
AUTO = 5           # new classes, and as many extra slots, if their number is to be found
SMALL = 5_000      # rows: with fewer the networks are smaller
FAMILIAR = 4_000   # rows of X, about, that say how familiar others are
CHANGES = ("epochs", "classifier_epochs", "learning_rate", "alpha", "gamma", "beta", "adversarial_length", "sum_over_y",
           "samples")  # in the recipe
KINDS = {"n_new_classes": settings.SLOTS | "auto", "extra_classes": settings.SLOTS, "model": settings.MODEL,
         "recipe": settings.one_of(*RECIPES), "likelihood": settings.LIKELIHOOD | "auto",
         "augment": settings.SWITCH | "auto", "hidden_units": settings.SIZE | "auto", "hidden_layers": settings.LAYERS,
         "z_dimensions": settings.SIZE | "auto", "device": settings.one_of("cpu", "gpu"),
         "prior": settings.one_of("uniform", "labels", "an array"),
         **{field.name: field.type | None for field in fields(Recipe) if field.name in CHANGES}}


class SemiUnsupervisedClassifier(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator):
    """Classifier for data in which some classes have a few labels and others none: GM-DGM, or M2.

    Parameters
    ----------
    n_new_classes : int or "auto", default=1
        Number of classes without any label.  "auto" finds it: training starts with ten slots for them and merges
        those that are parts of one class (`microgmdgm.slots`).
    extra_classes : int, default=0
        Further slots for them, for training to start with; the fast recipe merges them as with "auto".  More of them
        find rarer classes: each slot should hold less of the data than the rarest class.
    prior : "uniform", "labels" or array of shape (n_slots,), default="uniform"
        p(y) over all slots, known classes first.  "uniform", as in the paper: 1/C for each known class, C the
        number of classes, and the rest shared equally by the other slots.  "labels": the same, but known classes
        as often as they are labelled.  The fast recipe uses the slots about as often as the prior says;
        where it merges them this is only where it starts.
    model : "gm-dgm" or "m2", default="gm-dgm"
    recipe : "fast", "paper" or Recipe, default="fast"
        How to train; see `microgmdgm.recipes`.
    likelihood : "auto", "bernoulli" or "gaussian", default="auto"
        p(x|z).  "auto" decides by what the columns hold (`microgmdgm.sklearn.tables`).
    image_shape : (h, w), optional
        For images: a row of X is an image of h·w pixels.
    augment : "auto" or bool, default="auto"
        Whether q(y|x) is trained on randomly changed rows, affine maps of images or noise on tables, as the recipe
        says ("auto", True), or on the rows themselves (False).
    hidden_units : "auto" or int, default="auto"
        Units of a hidden layer.  "auto": 500, or under 5,000 rows 200 for images and 100 for tables.
    hidden_layers : int, default=2
    z_dimensions : "auto" or int, default="auto"
        Dimensions of z.  "auto": 100 for images and 10 for tables.
    epochs, classifier_epochs, learning_rate, alpha, gamma, beta, adversarial_length, sum_over_y, samples : optional
        Settings of the recipe (`microgmdgm.recipes.Recipe`).  None leaves the recipe's own.
    random_state : int, RandomState or None, default=None
    device : "cpu" or "gpu", default="cpu"
    verbose : int, default=0
        1 prints one line per epoch.

    Attributes
    ----------
    classes_ : array of shape (n_slots,)
        known_classes_, then new_classes_: new-0, new-1, … among strings, the next free ones among numbers.
    transduction_ : array of shape (n_rows,)
        A label for every row of X, the given one if there was one.
    trained_ : microgmdgm.Trained
        The model, trained on X as columns_ transform it.
    columns_, likelihood_, recipe_ :
        What the columns hold, p(x|z), and the recipe as it was used.
    history_ : list of dict
        The terms of the objective in each epoch, in nats; n_iter_ is their number.
    merges_ : list of (epoch, slot, into slot, c)
        Which slots were merged as parts of one class, and c, how easily random maps mix the two; closest_ is the
        largest c of two slots that are left: the smaller, the surer their number.
    splits_ : list of (epoch, slot, new slot, times)
        Which new slots of images were split, because they held so many times as many rows as the median slot.
    familiarity_ : microgmdgm.generative.Familiarity
        What `unfamiliar` measures rows by.
    monitor_ : dict
        The collapse monitor on X (`microgmdgm.evaluation.monitor`).
    signs_ : list of str
        What seems to have gone wrong (`microgmdgm.signs`); `fit` warns of each.
    n_features_in_, feature_names_in_ :
        As in every estimator.

    References
    ----------
    Willetts, Roberts and Holmes (2018), Semi-unsupervised Learning with Deep Generative Models.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from microgmdgm.sklearn import SemiUnsupervisedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> given = np.where(np.arange(150) % 5 == 0, y, -1)    # every fifth row keeps its label, …
    >>> given[y == 0] = -1                                  # … but no row of class 0
    >>> model = SemiUnsupervisedClassifier(n_new_classes=1, random_state=0).fit(X, given)
    >>> model.known_classes_, model.new_classes_
    (array([1, 2]), array([3]))
    >>> bool((model.predict(X)[y == 0] == 3).mean() > 0.9)
    True
    """

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

    def fit(self, X, y, *, checkpoint=None):
        """Train on X (N,width) and labels y (N,), −1, NaN, None, pd.NA or an empty text for a row without one.
        checkpoint is the path of a file that each epoch writes, and from which a fit of the same X, y and parameters
        goes on as if it had not been interrupted.
        Raises ValueError for what cannot be learnt from, Diverged as `train` does; warns where y has no
        unlabelled row, and of each sign that something went wrong (`signs_`)."""
        self._check_settings()
        refuse_text(X)
        X, y = validate_data(self, X, y if y is None else marked(y), ensure_min_samples=2)
        if X.dtype.kind not in "biuf":
            raise ValueError(f"X must hold numbers, not {X.dtype}: make numbers of them")
        if self.image_shape is not None:
            settings.image_shape(self.image_shape, X.shape[1])
        slots = self._find_classes(y)
        self.columns_ = Columns.learn(X, self.likelihood, self.image_shape is not None)
        self.likelihood_ = self.columns_.likelihood
        self.recipe_ = self._recipe()
        prior = self._prior(slots)
        self._train(X, slots, prior, checkpoint)
        q = self._by_rows(Trained.predict_proba, X)
        self.transduction_ = self.classes_[np.where(slots >= 0, slots, q.argmax(axis=1))]
        self.familiarity_ = Familiarity(self._by_rows(traits, X[::math.ceil(len(X) / FAMILIAR)]))
        self.monitor_ = monitor(q, self.trained_.model.prior)
        self.signs_ = self._signs(q, slots, prior)
        for sign in self.signs_:
            warnings.warn(sign, ConvergenceWarning, stacklevel=2)
        return self

    def _signs(self, q, slots, prior):
        """What seems to be wrong after training.  With "auto" nobody knows how many new classes there are.
        q (N,K), slots (N,), prior: that at the beginning"""
        known, counted = self.known_classes_.tolist(), self.n_new_classes != "auto"
        hidden = self.n_new_classes if counted and (slots < 0).any() else 0
        none = [] if counted or len(self.new_classes_) else [
            "No new class was found: there is none, or a known one has swallowed it. Give n_new_classes, or labels."]
        if not (counted or self.recipe_.merges):
            none.append("No slots were merged, for the recipe has too few classifier_epochs, or no gamma: the number "
                        "of new classes is that of the slots that training began with.")
        return none + signs(q, self.trained_.model.prior, known, classes=len(known) + hidden, slots=slots,
                            new=sum(prior[len(known):]) if counted else None) + rising(self.history_,
                                                                                       self.recipe_.kl_warm_up)

    def _find_classes(self, y):
        """Set known_classes_, new_classes_ and classes_.     y (N,) -> the slot of each row, −1 without a label"""
        new, extra = self._spare()
        self.known_classes_, self.new_classes_, slots = slots_of(y, new + extra)
        self._name_slots(len(self.known_classes_) + len(self.new_classes_))
        return slots

    def _spare(self):
        """The numbers of slots for new classes, and of extra ones."""
        return (AUTO, AUTO) if self.n_new_classes == "auto" else (self.n_new_classes, self.extra_classes)

    def _name_slots(self, K):
        """Set new_classes_ and classes_, K in all."""
        self.new_classes_ = self.new_classes_[:K - len(self.known_classes_)]
        self.classes_ = np.concatenate([part for part in (self.known_classes_, self.new_classes_) if len(part)])

    def _train(self, X, slots, prior, path):
        """Set trained_, history_ and n_iter_; keep each epoch in a checkpoint at path, if that is given."""
        xp = gpu() if self.device == "gpu" else np
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        view = X if self.columns_.plain else View(X, self.columns_)
        data = Data("X", view if xp is np else np.asarray(view[:]), slots, None, None,
                    None if self.image_shape is None else tuple(map(int, self.image_shape)), self.columns_.white)
        recipe = replace(self.recipe_, minimum_sd=max(self.recipe_.minimum_sd, MINIMUM_SD))
        sizes, start, self.history_ = self._sizes(len(X)), None, []
        if path is not None:
            seed = int(self.random_state) if isinstance(self.random_state, Integral) else None
            run = {"data": _digest(view, slots), "image_shape": data.image_shape and [*data.image_shape],
                   "model": self.model, "recipe": asdict(recipe), "prior": [*prior], **sizes, "random_state": seed}
            if Path(path).exists():
                start, self.history_ = checkpoint.load(path, run), checkpoint.history(path)

        def keep(state):
            if path is not None:
                checkpoint.save(path, state.moved(to_host), run, self.history_)

        def watch(epoch, terms, models):
            self.history_.append({term: float(value[0]) for term, value in terms.items()})
            if self.verbose:
                line = ", ".join(f"{term} {value:.4g}" for term, value in self.history_[-1].items())
                print(f"epoch {epoch} of {self.recipe_.total_epochs}, {models[0].model.K} slots: {line}", flush=True)
        if self.verbose:
            print(f"{type(self).__name__}: {len(X)} rows, {(slots >= 0).sum()} with a label; {self.columns_}; "
                  f"recipe {recipe.name}")
        self.trained_, = fit(self.model, recipe, data, [rng], labelled_classes=range(len(self.known_classes_)),
                             labels_per_class=None, prior=prior, xp=xp, watch=watch, start=start, keep=keep, **sizes)
        self._name_slots(self.trained_.model.K)
        trained = self.trained_
        self.merges_, self.splits_, self.closest_ = trained.merges, trained.splits, trained.closest
        self.n_iter_, self._n_features_out = len(self.history_), self.trained_.model.Z

    def predict_proba(self, X):
        """q(y|x).     X (N,width) -> (N,K), columns as in classes_"""
        return self._by_rows(Trained.predict_proba, self._check(X))

    def predict(self, X):
        """The most probable class.     X (N,width) -> (N,)"""
        q = self.predict_proba(X)
        return self.classes_[q.argmax(axis=1)]

    def unfamiliar(self, X):
        """Whether a row is like nothing in the training data, which makes its class, known or new, a guess.  One row
        of those in a hundred counts as such too (`microgmdgm.generative.Familiarity`).     X (N,width) -> (N,) bool"""
        return self.familiarity_.unfamiliar(self._by_rows(traits, self._check(X)))

    def transform(self, X):
        """The mean of q(z|x,y) under the most probable y.     X (N,width) -> (N,Z)"""
        return self._by_rows(Trained.encode, self._check(X))

    def score_samples(self, X):
        """A bound on log p(x) in nats, Eq. 10 averaged over a few samples of z that all rows share; a density in
        the units of X for a Gaussian likelihood, of the columns that the model sees.     X (N,width) -> (N,)"""
        X = self._check(X)
        bound = np.mean([self._by_rows(Trained.bound, X, seed=seed, common=True) for seed in range(SAMPLES)], axis=0)
        return bound + np.concatenate([self.columns_.log_density(X[i:i + ROWS], self.trained_.pixels)
                                       for i in range(0, len(X), ROWS)])

    def score(self, X, y, sample_weight=None):
        """The accuracy over the rows that have a label."""
        y = column_or_1d(y)
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
        """Write the fitted estimator as an .npz without pickle, completely or not at all."""
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
                "history": self.history_, "signs": self.signs_, "known": len(self.known_classes_)}
        names = {"feature_names": self.feature_names_in_.astype(str)} if hasattr(self, "feature_names_in_") else {}
        self.trained_.save(path, estimator=json.dumps({"params": params, **rest}, default=_number),
                           classes=self.classes_, transduction=self.transduction_, kinds=self.columns_.kinds,
                           shift=self.columns_.shift, unit=self.columns_.unit, traits=self.familiarity_.known,
                           **names)

    @classmethod
    def load(cls, path):
        """The estimator that `save` wrote.  Raises ValueError if path holds none."""
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
            self.familiarity_ = Familiarity(extra["traits"])
            self.history_, self.monitor_, self.n_iter_ = rest["history"], rest["monitor"], len(rest["history"])
            self.signs_ = list(map(str, rest["signs"]))
            self._check_settings()
            settings.LIKELIHOOD(rest["likelihood"]), settings.POSITIVE(rest["white"])
            width, K, known = (trained.width,), (trained.model.K,), rest["known"]
            columns = [extra[name] for name in ("kinds", "shift", "unit")]
            if not all(column.shape == width and column.dtype.kind in "iuf" for column in columns) or (
                    self.classes_.shape != K or settings.ORDINAL(known) > K[0]):
                raise ValueError("its columns or classes do not fit its model")
            seen = extra["traits"]
            if not (len(seen) > 1 and seen.shape[1:] == (4,) and seen.dtype.kind == "f" and np.isfinite(seen).all()):
                raise ValueError("its traits must be finite numbers, four a row")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is a damaged estimator, or one of another version: {error}") from None
        self.trained_, self.recipe_, self.likelihood_ = trained, recipe, rest["likelihood"]
        self.merges_, self.splits_, self.closest_ = trained.merges, trained.splits, trained.closest
        self.known_classes_, self.new_classes_ = np.split(self.classes_, [known])
        self.n_features_in_, self._n_features_out = trained.width, trained.model.Z
        if "feature_names" in extra:
            self.feature_names_in_ = extra["feature_names"].astype(object)
        return self

    def _check_settings(self):
        """Raises ValueError if a parameter is not of its kind, or contradicts another."""
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if not (isinstance(value, Recipe) if name == "recipe" else name == "prior" and np.ndim(value)):
                settings.named(name, kind, value)
        if self.extra_classes and self.n_new_classes in (0, "auto"):
            raise ValueError("extra_classes are more slots for new classes: ask for n_new_classes of at least 1, "
                             "or for \"auto\" alone")

    def _recipe(self):
        """The recipe, with what this estimator's parameters change in it."""
        recipe = self.recipe
        if not isinstance(recipe, Recipe):
            recipe = for_slots(recipe_for(recipe, self.image_shape), len(self.classes_), len(self.known_classes_),
                               self._spare()[1])
        if not self.augment:
            recipe = replace(recipe, maps=0.0, noise=0.0)
        return replace(recipe, **{name: getattr(self, name) for name in CHANGES if getattr(self, name) is not None})

    def _sizes(self, N):
        """The sizes of the model for N rows."""
        image = self.image_shape is not None
        H = (500 if N >= SMALL else 200 if image else 100) if self.hidden_units == "auto" else int(self.hidden_units)
        Z = (100 if image else 10) if self.z_dimensions == "auto" else int(self.z_dimensions)
        return {"Z": Z, "H": H, "hidden_layers": int(self.hidden_layers), "likelihood": self.likelihood_}

    def _prior(self, slots):
        """p(y) of each slot, a tuple.  Raises ValueError if a given one does not fit."""
        known, new = len(self.known_classes_), len(self.new_classes_)
        if not isinstance(self.prior, str):
            try:
                prior = tuple(map(float, self.prior))
            except (TypeError, ValueError):
                prior = ()
            if len(prior) != known + new:
                raise ValueError(f"prior must have one number for each of the {known + new} slots, {known} known and "
                                 f"{new} new, not {repr(self.prior)[:60]}")
            return prior
        count, extra = self._spare() if new else (0, 0)
        prior = slot_prior(known + count, known, extra)
        if self.prior == "labels" and known:
            counts = np.bincount(slots[slots >= 0], minlength=known)
            prior = (*(counts / counts.sum() * sum(prior[:known])).tolist(), *prior[known:])
        return prior

    def _check(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False)

    def _by_rows(self, function, X, **options):
        """A function of a `Trained` and rows, such as one of its methods, on X, a few rows at a time, in float64, so
        that the result of a row does not depend on the others."""
        trained = replace(self.trained_, theta=self.trained_.theta.astype(np.float64))
        return np.concatenate([function(trained, self.columns_.rows(X[i:i + ROWS]), **options)
                               for i in range(0, len(X), ROWS)])


def _digest(x, slots):
    """The first 16 hexadecimal digits of the SHA-256 of the training data."""
    digest = hashlib.sha256(np.ascontiguousarray(slots))
    for block in blocks(x):
        digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()[:16]


def _number(value):
    """A NumPy number in a type that JSON keeps."""
    return value.item()
