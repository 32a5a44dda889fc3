"""The options of run_mnist.py, their checks, and the recipe that they ask for."""

import argparse
import shlex
import sys
from dataclasses import replace

from ..data import NAMES
from ..recipes import RECIPES, changed, for_slots, recipe_for
from ..settings import COUNT, EPOCHS, FEW, LAYERS, MORE_EPOCHS, ORDINAL, SEED, SIZE, SLOTS


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, and exit code 2."""
        self.exit(2, f"run_mnist.py: error: {' '.join(message.split())} (see --help)\n")


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action):
        """With the default, unless that is None: then the help says what it stands for."""
        return action.help if action.default is None else super()._get_help_string(action)


def of(kind):
    """The type, in the sense of argparse, of a kind of setting."""
    def parse(text):
        try:
            return kind.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(error) from None
    return parse


def parser():
    """All options with their defaults, None where that depends on others or on the data."""
    made = Parser(description="Train GM-DGM or M2 where some classes have a few labels and others none, "
                                "score it by the paper's protocol, and set the paper's Table 1 beside it.",
                    formatter_class=Formatter)

    def add(option, kind=None, **others):
        made.add_argument(option, **({"type": of(kind)} if kind else {}), **others)
    add("--table1", action="store_true", help="the paper's Table 1: --model both --runs 10")
    add("--model", choices=("gm-dgm", "m2", "both"), help="which model to train (default: gm-dgm)")
    add("--recipe", choices=tuple(RECIPES), default="fast",
        help="how to train it; see Two recipes in lessons/results/README.md")
    add("--runs", FEW, metavar="N", help="how many runs of each model (default: 1)")
    add("--seed", SEED, default=0, metavar="S", help="seed of the first run; the others follow, S+1, …")
    add("--epochs", EPOCHS, metavar="E", help="epochs on the whole model (default: the recipe's: "
        + ", ".join(f"{recipe.epochs} for {name}" for name, recipe in RECIPES.items()) + ")")
    add("--classifier-epochs", MORE_EPOCHS, metavar="E", help="epochs before these, on q(y|x) alone (default: the "
        "recipe's)")
    add("--dataset", metavar=f"{{{','.join(NAMES)},FILE.npz,FILE.csv}}",
        help="…-validation scores the last 10,000 training images, not the test set; an .npz is your own: x, y "
        "with -1 where there is no label, and, if you like, x_test, y_test, image_shape; so is a .csv, with a line of "
        "column names "
        "(default: mnist, or scikit-learn's digits where MNIST is neither here nor can be downloaded)")
    add("--label-column", metavar="NAME", help="column of your own .csv that has the labels (default: label)")
    add("--new-classes", SLOTS | "auto", metavar="N", default="auto",
        help="how many classes of your own data have no label, or auto, which finds it")
    add("--data-dir", metavar="DIR", help="folder with the four files of MNIST, or of the data set named, or with a "
        "folder by its name that has them (default: the one that MICROGMDGM_DATA names, or else a download into the "
        "user's cache)")
    add("--labelled-classes", ORDINAL, nargs="*", metavar="C", default=[0, 1, 2, 8, 9],
        help="classes that have labels; none: unsupervised, all: semi-supervised")
    add("--labels-per-class", COUNT | "all", metavar="N",
        help="labels of each of them, or all (default: 100, or 10 on digits)")
    add("--extra-classes", SLOTS, metavar="N",
        help="slots of y beyond the true number of classes; more find rarer ones (default: 5, or 0 where all classes "
             "are labelled)")
    add("--sum", choices=("exact", "sparse"), help="the sum over y (default: the recipe's)")
    add("--likelihood", choices=("auto", "bernoulli", "gaussian"), default="auto",
        help="p(x|z); auto: by what your own data hold, bernoulli for images")
    add("--hidden-layers", LAYERS, default=2, metavar="N", help="hidden layers of each network")
    add("--hidden-units", SIZE, metavar="N",
        help="units of each hidden layer (default: 500, or 200 on digits)")
    add("--z-dimensions", SIZE, metavar="N",
        help="dimensions of z (default: 100, or 10 for a table of your own)")
    add("--samples", FEW, default=1, metavar="N", help="samples of z for each pair of an example and a class")
    add("--set", nargs="+", action="extend", metavar="NAME=VALUE", default=[],
        help="other settings of the recipe, such as alpha=1; recipes.py has them all")
    add("--gpu", action="store_true", help="compute on the GPU, all runs of a model at once")
    add("--jobs", FEW, metavar="N", help="runs at a time, each in a process of one BLAS thread (default: as many "
        "as cores, never more than runs); 1: one run at a time, on all cores")
    add("--dask", metavar="ADDRESS", help="compute on a Dask cluster, such as tcp://host:8786")
    add("--out", metavar="DIR", help="folder for the results (default: results/<dataset>-<recipe>-<date and time>)")
    add("--resume", metavar="DIR", help="go on with the interrupted runs in DIR, with their settings: finished ones "
        "are not run again; beside it only --data-dir, --jobs, --dask and --quiet")
    add("--quiet", action="store_true", help="print nothing but the table at the end")
    return made


def parse(arguments):
    """The options of a command line, after all checks that need no data; exits with code 2 if one is
    invalid.     -> argparse.Namespace"""
    made = parser()
    asked = made.parse_args(arguments)
    asked.command = shlex.join(["python", "run_mnist.py", *(sys.argv[1:] if arguments is None else arguments)])
    asked.fallback = False  # whether digits replace MNIST: command.find_data decides
    given = {name for name, value in vars(asked).items()
             if name not in ("command", "fallback") and value != made.get_default(name)}
    foreign = sorted(given - {"resume", "data_dir", "jobs", "dask", "quiet"})
    if "resume" in given and foreign:
        made.error(f"--resume takes its settings from its folder: leave out --{foreign[0].replace('_', '-')}")
    if asked.gpu and given & {"jobs", "dask"}:
        made.error("--gpu computes all runs at once: leave out --jobs and --dask")
    if given >= {"jobs", "dask"}:
        made.error("--dask uses all workers of its cluster: leave out --jobs")
    asked.model = asked.model or ("both" if asked.table1 else "gm-dgm")
    asked.runs = asked.runs or (10 if asked.table1 else 1)
    return asked


def fill(asked, data):
    """Check the options that depend on the data, and fill in the missing ones.  Raises ValueError."""
    classes = asked.labelled_classes
    unknown = [c for c in classes if not 0 <= c < data.C]
    if unknown:
        raise ValueError(f"--labelled-classes must be classes of {data.name}, 0 to {data.C - 1}, not {unknown[0]}")
    if len(set(classes)) < len(classes):
        raise ValueError(f"--labelled-classes names a class twice: {' '.join(map(str, classes))}")
    if asked.labels_per_class is None:
        asked.labels_per_class = 10 if data.name == "digits" else 100
    if asked.hidden_units is None:
        asked.hidden_units = 200 if data.name == "digits" else 500
    if asked.extra_classes is None:
        asked.extra_classes = 0 if len(classes) == data.C else 5
    asked.z_dimensions = asked.z_dimensions or 100
    asked.likelihood = "bernoulli" if asked.likelihood == "auto" else asked.likelihood
    if asked.likelihood == "gaussian" and data.x_train.dtype.kind == "f":
        raise ValueError(f"--likelihood gaussian needs whole numbers, such as bytes, for its noise is as wide as their "
                         f"steps, but {data.name} holds fractions: round them, or give x and y as data of your own")


def labels_of_each(asked):
    """The number of labels of each labelled class, None for all."""
    return None if asked.labels_per_class == "all" else asked.labels_per_class


def recipe_of(asked, data):
    """The recipe with what the command line changes in it."""
    changes = {"epochs": asked.epochs, "classifier_epochs": asked.classifier_epochs, "sum_over_y": asked.sum,
               "samples": asked.samples}
    changes = {name: value for name, value in changes.items() if value is not None}
    recipe = for_slots(recipe_for(asked.recipe, data.image_shape), data.C + asked.extra_classes,
                       len(asked.labelled_classes), asked.extra_classes)
    return changed(replace(recipe, **changes), asked.set)
