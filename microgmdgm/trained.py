"""A trained model: its predictions, and its file."""

from dataclasses import asdict, dataclass

import numpy as np

from . import settings
from .backend import namespace, to_host
from .files import check_format, read_npz, write_npz
from .marginal import exact
from .models import Model, bound_given_y, decode, encode, log_q_y, mean_x, prior_sample
from .slots import compact

FORMAT = 2
ROWS = 1000  # examples at a time, so that memory stays bounded


@dataclass(frozen=True)
class Trained:
    """θ (P,) of a model, and how its X inputs lie in the data: x / white, and of its columns `pixels`.
    The first slots are the labelled classes, in order; the rest were found.
    If slots were merged or split, `merges` and `splits` say which and `closest` how sure their number is, as in
    `slots.Slots`.
    θ may be on a GPU, which then computes; arguments and results are on the host."""
    model: Model
    theta: object
    pixels: np.ndarray
    width: int
    white: float
    labelled_classes: tuple
    image_shape: tuple | None = None
    merges: tuple = ()
    closest: float | None = None
    splits: tuple = ()

    @classmethod
    def of(cls, model, theta, slots, task):
        """The model with θ (P,), trained on a Task, without the slots that are gone."""
        return cls(*compact(model, theta, slots), to_host(task.pixels), task.x.shape[1], task.white,
                   task.labelled_classes, task.image_shape, tuple(map(tuple, slots.merges)), slots.closest,
                   tuple(map(tuple, slots.splits)))

    @property
    def params(self):
        return self.model.layout.views(self.theta)

    def inputs(self, x):
        """x (N,width) in the data's own units -> (N,X) as the model sees it, where θ is.  Raises ValueError."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.width:
            raise ValueError(f"x must have shape (N, {self.width}), as in training, not {x.shape}")
        x = x[:, self.pixels].astype(self.theta.dtype) / self.theta.dtype.type(self.white)
        if not np.isfinite(x).all():
            raise ValueError("x must be finite, but holds NaN or infinity: fill or drop those rows")
        return namespace(self.theta).asarray(x)

    def predict_proba(self, x):
        """q(y|x).     x (N,width) -> (N,K)"""
        return np.concatenate([np.exp(to_host(log_q_y(self.params["q(y|x)"], part)[0])) for part in self._parts(x)])

    def predict(self, x):
        """The most probable slot.     x (N,width) -> (N,)"""
        return self.predict_proba(x).argmax(axis=1)

    def encode(self, x):
        """The mean of q(z|x,y) under the most probable y.     x (N,width) -> (N,Z)"""
        return np.concatenate([to_host(encode(self.params, x=part, y=y)[0][0]) for part, y in self._with_slots(x)])

    def reconstruct(self, x):
        """The mean of p(x|z) at that z, in the data's units.     (N,width) -> (N,width)"""
        return np.concatenate([self.decode(encode(self.params, x=part, y=y)[0][0], y)
                               for part, y in self._with_slots(x)])

    def sample(self, n, y=None, seed=0):
        """n means of p(x|z), z ~ p(z|y), in the data's units.     y a slot, or slots (n,); drawn from
        p(y) if it is None -> (n,width)"""
        rng = np.random.default_rng(seed)
        if y is None:
            y = rng.choice(self.model.K, n, p=np.array(self.model.prior) / sum(self.model.prior))
        y = np.broadcast_to(y, (n,))
        if n and not (0 <= y.min() and y.max() < self.model.K):
            raise ValueError(f"slots go from 0 to {self.model.K - 1}, but y holds {y.min()} to {y.max()}")
        return self.draw(rng.standard_normal((n, self.model.Z)), y)

    def style(self, x):
        """What z says that y does not: its place in p(z|y), (z − μ(y)) / σ(y), or z itself for M2, at the mean of
        q(z|x,y) under the most probable y.     x (N,width) -> (N,Z)"""
        z, y = self.encode(x), self.predict(x)
        if self.model.name == "m2":
            return z
        mu, logvar = (to_host(a)[y] for a in self.params["p(z|y)"])
        return (z - mu) * np.exp(-0.5 * logvar)

    def draw(self, style, y):
        """The means of p(x|z) at the z of a style in slot y.     (N,Z), (N,) -> (N,width)"""
        xp = namespace(self.theta)
        style, y = xp.asarray(style, dtype=self.theta.dtype), xp.asarray(y)
        return self.decode(prior_sample(self.model, self.params, y=y, eps=style)[0], y)

    def decode(self, z, y):
        """The means of p(x|z), or of p(x|y,z) for M2, in the data's units.     z (N,Z), y (N,) -> (N,width)"""
        xp = namespace(self.theta)
        z, y = xp.asarray(z, dtype=self.theta.dtype), xp.asarray(y)
        h, _ = decode(self.model, self.params, z, y=y)
        mean, _ = mean_x(self.model, h)
        x = np.zeros((len(z), self.width), dtype=self.theta.dtype)
        x[:, self.pixels] = to_host(mean) * self.white
        return x

    def bound(self, x, seed=0, common=False):
        """L(x), exact over y and with one sample of z, in nats.  Eq. 10.     x (N,width) -> (N,)
        With the same noise for all rows, the bound of a row does not depend on the others, but a mean over rows
        is less exact."""
        xp, rng, bounds = namespace(self.theta), np.random.default_rng(seed), []
        for part in self._parts(x, ROWS // self.model.K + 1):
            log_q, _ = log_q_y(self.params["q(y|x)"], part)
            pairs = exact(log_q)
            if common:
                eps = np.tile(np.random.default_rng(seed).standard_normal(self.model.Z), (len(pairs.y), 1))
            else:
                eps = rng.standard_normal((len(pairs.y), self.model.Z))
            eps = xp.asarray(eps, dtype=self.theta.dtype)
            L_xy, _ = bound_given_y(self.model, self.params, x=part, y=pairs.y, eps=eps, example=pairs.example)
            each = xp.exp(log_q) * (xp.reshape(L_xy, log_q.shape) - log_q)
            bounds.append(to_host(xp.sum(each, axis=1)))
        return np.concatenate(bounds)

    def _parts(self, x, rows=ROWS):
        x = np.asarray(x)
        return (self.inputs(x[i:i + rows]) for i in range(0, max(len(x), 1), rows))

    def _with_slots(self, x):
        return ((part, log_q_y(self.params["q(y|x)"], part)[0].argmax(axis=1)) for part in self._parts(x))

    def save(self, path, **others):
        """Write the model and other arrays as an .npz without pickle, completely or not at all."""
        settings = {"format": FORMAT, "model": asdict(self.model), "width": self.width, "white": self.white,
                    "labelled_classes": [int(c) for c in self.labelled_classes], "image_shape": self.image_shape,
                    "merges": self.merges, "closest": self.closest, "splits": self.splits}
        write_npz(path, settings, theta=to_host(self.theta), pixels=self.pixels, **others)


def load(path):
    """The model that `Trained.save` wrote.  Raises ValueError if path holds none."""
    trained, others = read(path)
    if others:
        raise ValueError(f"{path} holds more than a model: load it with SemiUnsupervisedClassifier.load")
    return trained


def read(path):
    """The model in a file, and the other arrays in it, by name.  Raises ValueError if it holds no model."""
    found, arrays = read_npz(path, "a model saved")
    check_format(path, found, FORMAT)
    try:
        model = Model(**{**found["model"], "prior": tuple(found["model"]["prior"])})
        theta, pixels = arrays.pop("theta"), arrays.pop("pixels")
        width, white = settings.COUNT(found["width"]), settings.POSITIVE(found["white"])
        classes = tuple(map(settings.ORDINAL, found["labelled_classes"]))
        merges, closest = tuple(map(tuple, found["merges"])), found["closest"]
        splits = tuple(map(tuple, found.get("splits", ())))  # older files have none
        shape = found["image_shape"] and settings.image_shape(found["image_shape"], width)
        if not (theta.dtype.kind == "f" and np.isfinite(theta).all() and pixels.dtype.kind in "iu"):
            raise ValueError("θ must hold finite numbers, and pixels whole ones")
        if theta.shape != (model.layout.size,) or pixels.shape != (model.X,):
            raise ValueError(f"θ must have {model.layout.size} elements and there must be {model.X} pixels, not "
                             f"{theta.shape} and {pixels.shape}")
        if not 0 <= pixels.min() <= pixels.max() < width or len(classes) > model.K:
            raise ValueError(f"pixels must be columns of {width}, and labelled classes at most {model.K}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a model saved by microgmdgm, or is damaged: {error}") from None
    return Trained(model, theta, pixels, width, white, classes, shape, merges, closest, splits), arrays
