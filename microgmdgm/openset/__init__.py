"""What was found, and how sure: the open-set report of q(y|x).  Reading order: analysis, figures, command."""

from .analysis import LEAST, UNSURE, Report, Rows, Slot, alike, analyse, overlaps, profiles, report
