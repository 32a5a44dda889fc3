"""What was found, and how sure: the open-set report of q(y|x).  Reading order: slots, figures, command."""

from .slots import LEAST, UNSURE, Report, Rows, Slot, alike, analyse, overlaps, profiles, report
