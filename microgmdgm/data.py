"""MNIST and Fashion-MNIST, scikit-learn's digits, or any .npz; and hiding labels and whole classes.

A data set of `SETS` is looked for in --data-dir, else in the folder that the environment variable
MICROGMDGM_DATA names, else in the user's cache, and then downloaded to that cache.  Such a folder
holds the four files itself, or in a folder by the data set's name.  The content of every file is
checked by its SHA-256, whether it lies there gzipped or not.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import settings
from .files import read_arrays

ENVIRONMENT = "MICROGMDGM_DATA"
LARGEST = 2**26     # bytes: more than any file of SETS has, so that what unpacks to more is none of them


@dataclass(frozen=True)
class IdxSet:
    """A data set of images and their classes in four IDX files, identified by their content."""
    title: str
    files: dict         # name: SHA-256 of the file, and of the gzipped one as the mirrors serve it
    mirrors: tuple      # addresses, without the name of the gzipped file
    classes: tuple = ()  # their names, if not 0, 1, …


SETS = {
    "mnist": IdxSet(
        "MNIST",
        {"train-images-idx3-ubyte": ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                                     "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
         "train-labels-idx1-ubyte": ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                                     "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
         "t10k-images-idx3-ubyte": ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
         "t10k-labels-idx1-ubyte": ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6")},
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")),
    "fashion-mnist": IdxSet(
        "Fashion-MNIST",
        {"train-images-idx3-ubyte": ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                                     "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
         "train-labels-idx1-ubyte": ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                                     "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
         "t10k-images-idx3-ubyte": ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
         "t10k-labels-idx1-ubyte": ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5")},
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
         "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
        ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")),
}
NAMES = (*(name for known in SETS for name in (known, f"{known}-validation")), "digits")  # that `load` knows


class DataError(ValueError):
    """Data that is not available or not valid."""


@dataclass(frozen=True)
class Data:
    """x (N,X) uint8 in 0…white or float, y (N,) classes 0…C−1, for training and for testing.
    image_shape is (h, w), or None for data that are no images.  The model sees x / white, and a Gaussian
    likelihood smooths x by noise one unit wide.  x_train may be any object that gives rows as arrays."""
    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    image_shape: tuple | None
    white: float = 255.0  # for a Bernoulli likelihood the largest value that x can take: x / white lies in [0, 1]
    classes: tuple = ()   # the names of the classes, if not 0, 1, …

    @property
    def C(self):
        """The number of true classes."""
        return int(self.y_train.max()) + 1

    @property
    def class_names(self):
        """What each class is called in figures and reports: (C,) texts."""
        return self.classes or tuple(map(str, range(self.C)))

    @property
    def fingerprint(self):
        """The first 16 hexadecimal digits of the SHA-256 of all arrays: the same data on every machine."""
        digest = hashlib.sha256(repr((self.image_shape, float(self.white))).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]


def load(dataset, data_dir=None, progressbar=False):
    """The data set "mnist" or "fashion-mnist", either with "-validation" appended, "digits", or the path of an .npz.
    Raises DataError if it is not available."""
    if str(dataset).endswith(".npz"):
        return npz(dataset)
    if dataset == "digits":
        return digits()
    name = str(dataset).removesuffix("-validation")
    if name not in SETS:
        raise DataError(f"the data set must be {', '.join(NAMES)} or the path of an .npz, not {dataset!r}")
    data = idx(name, data_dir, progressbar)
    return data if dataset == name else validation(data)


def digits():
    """scikit-learn's 8×8 digits: 1,797 images, of which every third is held out for testing."""
    from sklearn.datasets import load_digits
    bunch = load_digits()
    x, y = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    test = np.arange(len(x)) % 3 == 2
    return Data("digits", x[~test], y[~test], x[test], y[test], (8, 8), 16.0)


def idx(dataset, data_dir=None, progressbar=False):
    """A data set of SETS: for MNIST 60,000 training and 10,000 test images of 28×28."""
    folder = data_dir or os.environ.get(ENVIRONMENT)
    contents = [_read(Path(folder), dataset, file) if folder else _download(dataset, file, progressbar)
                for file in SETS[dataset].files]
    x_train, y_train, x_test, y_test = map(parse_idx, contents, SETS[dataset].files)
    return Data(dataset, x_train.reshape(len(x_train), -1), y_train.astype(np.int64),
                x_test.reshape(len(x_test), -1), y_test.astype(np.int64), x_train.shape[1:],
                classes=SETS[dataset].classes)


def validation(data, N=10_000):
    """The data with the last N training examples as the test set, to choose settings by."""
    return replace(data, name=f"{data.name}-validation", x_train=data.x_train[:-N], y_train=data.y_train[:-N],
                   x_test=data.x_train[-N:], y_test=data.y_train[-N:])


def read_npz(path):
    """{name: array} of an .npz without pickle.  Raises DataError."""
    try:
        return read_arrays(path)
    except ValueError as error:
        raise DataError(f"{path} cannot be read as an .npz without pickle: {error}") from None


def npz(path):
    """Arrays x_train (N,X), y_train (N,), or x and y, x_test, y_test and, for images, image_shape (h, w) from an
    .npz without pickle.  x is finite and not negative; its largest value counts as white.  Raises DataError."""
    arrays = read_npz(path)
    arrays = {f"{name}_train" if name in ("x", "y") else name: array for name, array in arrays.items()}
    missing = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in arrays]
    if missing:
        raise DataError(f"{path} must hold x_train, y_train, x_test and y_test, but lacks {', '.join(missing)}")
    x_train, y_train, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    width = x_train.shape[-1] if x_train.ndim else "width"
    for name, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(x) or x.shape[1] != width:
            raise DataError(f"{path}: x_{name} must be (N, {width}) and y_{name} (N,), N > 0, "
                            f"not {x.shape} and {y.shape}")
        if x.dtype.kind not in "uif" or not np.isfinite(x).all() or x.min() < 0:
            raise DataError(f"{path}: x_{name} must hold finite numbers, none negative: scale it, fill or drop rows")
        if y.dtype.kind not in "ui" or y.min() < 0 or y.max() > y_train.max():
            raise DataError(f"{path}: y_{name} must hold whole numbers from 0, and no class that y_train lacks; "
                            "where rows have no label, python run_mnist.py wants them as x and y")
    if len(found := np.unique(y_train)) <= y_train.max():
        raise DataError(f"{path}: y_train has {len(found)} classes, numbered up to {y_train.max()}: number them 0, 1, "
                        "… without gaps")
    shape = image_shape_in(arrays, x_train.shape[1], path)
    return Data(Path(path).stem, *shuffled(x_train, y_train.astype(np.int64)),
                *shuffled(x_test, y_test.astype(np.int64)), shape, float(max(x_train.max(), 1e-30)))


def shuffled(x, y):
    """Rows that are sorted by class in random order, for some measures look at the first ones; others as they are.
    x (N,X), y (N,) -> the same"""
    order = np.random.default_rng(0).permutation(len(y)) if (np.diff(y) >= 0).all() else slice(None)
    return x[order], y[order]


def image_shape_in(arrays, width, path):
    """image_shape (h, w) of the arrays read from path, None if there is none.  Raises DataError."""
    try:
        return settings.image_shape(arrays["image_shape"], width) if "image_shape" in arrays else None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def parse_idx(content, name):
    """The array in an IDX file of unsigned bytes: two zero bytes, 8 (the type), the number of
    dimensions, each size as a big-endian 32-bit integer, then the values.  Raises DataError."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 0 < content[3] <= 4:
        raise DataError(f"{name} is not an IDX file of bytes: it must begin with 00 00 08 and one to four dimensions, "
                        f"but begins with {content[:4].hex(' ') or 'nothing'}")
    ndim = content[3]
    header = 4 + 4 * ndim
    shape = struct.unpack(f">{ndim}I", content[4:header]) if len(content) >= header else ()
    if len(shape) != ndim or not 0 < math.prod(shape) == len(content) - header:
        raise DataError(f"{name} is truncated or empty: its header promises shape {shape}, "
                        f"but {max(len(content) - header, 0)} bytes follow")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read(folder, dataset, file):
    """The verified content of one file of a data set, gzipped or not, in a folder or its subfolder DATASET."""
    below = folder / dataset
    here = below if below.is_dir() else folder
    for path in (here / file, here / f"{file}.gz"):
        if path.is_file():
            return _verify(path, dataset, file)
    missing = [n for n in SETS[dataset].files if not any((here / f).is_file() for f in (n, f"{n}.gz"))]
    raise DataError(f"{folder} must hold the four files of {SETS[dataset].title}, gzipped or not, itself or in a "
                    f"folder {dataset}; {here} lacks {', '.join(missing)} (with or without .gz)")


def _verify(path, dataset, file):
    """The decompressed content of path, if its SHA-256 is that of the original."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as opened:
            content = opened.read(LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; delete it and download it again") from None
    found, (expected, _) = hashlib.sha256(content).hexdigest(), SETS[dataset].files[file]
    if found == expected:
        return content
    for other in SETS.values():
        if found == other.files[file][0]:
            raise DataError(f"{path} is of {other.title}: name a folder with {SETS[dataset].title} by --data-dir or "
                            f"{ENVIRONMENT}, or put its files into a folder {dataset} below this one")
    if content[:3] != b"\0\0\x08":
        parse_idx(content, str(path))
    raise DataError(f"{path} is not the original but truncated or altered: expected SHA-256 {expected}, "
                    f"found {found}; delete it and download it again")


def _download(dataset, file, progressbar):
    """The verified content of one file, from the user's cache or the first mirror that has it."""
    import pooch
    pooch.get_logger().setLevel("WARNING")
    known, cache = SETS[dataset], pooch.os_cache("microgmdgm") / dataset
    errors = []
    for mirror in known.mirrors:
        try:
            path = pooch.retrieve(f"{mirror}{file}.gz", known_hash=known.files[file][1], fname=f"{file}.gz",
                                  path=cache, progressbar=progressbar)
            return _verify(Path(path), dataset, file)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
            terse = type(error).__module__.startswith("requests")  # their messages fill a page
            errors.append(f"{mirror}: {type(error).__name__ if terse else str(error).splitlines()[0]}")
    raise DataError(f"{known.title} is neither in {cache} nor can it be downloaded ({'; '.join(errors)}); put the "
                    f"four files into a folder and name it with --data-dir or {ENVIRONMENT}, or use --dataset digits")


def hide_labels(y, labelled_classes, labels_per_class, rng):
    """Which examples keep their label: (indices (L,), slots (L,)), `labels_per_class` of each labelled
    class at random, or all where it is None.  The i-th labelled class has slot i.
    Raises ValueError if there are too few."""
    keep = []
    for label in labelled_classes:
        members = np.flatnonzero(y == label)
        if not 0 < (labels_per_class or 1) <= len(members):
            raise ValueError(f"class {label} has {len(members)} training examples, "
                             f"fewer than the {labels_per_class or 1} labels asked for")
        keep.append(members if labels_per_class is None else rng.choice(members, labels_per_class, replace=False))
    slots = np.repeat(np.arange(len(keep)), np.array([*map(len, keep)], dtype=int))
    return np.concatenate([*keep, np.empty(0)]).astype(np.int64), slots


def slot_prior(C, labelled, extra):
    """π over the slots: 1/C for each of the labelled classes, which come first; what is left is
    shared equally by the slots of the C − labelled other classes and the extra ones."""
    hidden = C - labelled + extra
    if labelled == C and extra:
        raise ValueError(f"all {C} classes are labelled, so that their prior leaves nothing for "
                         f"{extra} extra slots: use --extra-classes 0")
    return (1 / C,) * labelled + ((C - labelled) / C / max(hidden, 1),) * hidden
