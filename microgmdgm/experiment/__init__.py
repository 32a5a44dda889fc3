"""A table of runs that nothing can lose: what `run_mnist.py` computes with.

Reading order: job, executors, checkpoint, table1, folder, report, progress, options, command.
"""

from .job import Job, Source, Trainer, advance, run
