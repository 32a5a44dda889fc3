"""A table of runs that survives interruption; `run_mnist.py` computes with it.

Reading order: job, executors, table1, folder, report, progress, options, command.
"""

from .job import Job, Source, Trainer, advance, run
