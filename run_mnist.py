#!/usr/bin/env python3
"""The experiment of Willetts, Roberts and Holmes (2018): python run_mnist.py [--help]

A model learns to tell ten digits apart where 0 1 2 8 9 have a hundred labels each and 3 4 5 6 7 have none.
"""

import sys

from microgmdgm.experiment import Job, command, options
from microgmdgm.openset import command as own
from microgmdgm.training import Diverged


def job_of(asked, data, threads):
    """What a run is, apart from its model and seed.  Raises ValueError where the data do not allow it."""
    options.fill(asked, data)
    return Job(
        model="", seeds=(),                               # "gm-dgm" or "m2", a run a seed: the folder names them
        # Hidden labels: only so many of these classes are kept; y has a slot for each class and extra ones.
        labelled_classes=tuple(asked.labelled_classes),
        labels_per_class=options.labels_of_each(asked),
        extra_classes=asked.extra_classes,
        # Model: z, the networks, and p(x|z).
        Z=asked.z_dimensions, H=asked.hidden_units, hidden_layers=asked.hidden_layers, likelihood=asked.likelihood,
        # Training: q(y|x) alone, then Eq. 2.
        recipe=options.recipe_of(asked, data),
        fingerprint=data.fingerprint, threads=threads, gpu=asked.gpu)


def main(arguments=None):
    asked = options.parse(arguments)
    command.interruptible()
    try:
        if own.holds(asked.resume or asked.dataset):      # an array of one's own, with no table to make
            return own.run(asked)
        folder = command.old_folder(asked) if asked.resume else None
        if folder and not folder.unfinished:              # all that is left to do is to show it
            return command.show_again(asked, folder)
        source, data = command.find_data(asked)           # MNIST, downloaded on first use
        folder = folder or command.new_folder(asked, data, job_of)
        command.check_fingerprint(source, data, folder)
    except (ValueError, OSError, MemoryError, Diverged) as error:
        return command.fail(error)
    code = command.train(asked, folder, source)           # each run hides labels, trains its model and is scored
    return command.show(folder, data) or code             # Table 1, the paper's beside ours; report.html


if __name__ == "__main__":
    sys.exit(main())
