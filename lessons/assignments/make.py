"""Build the assignments: python -m lessons.assignments.make [1 2 …], or all of them where none is named.

An assignment is edited as N-name.py (jupytext's percent format), with its solutions and tests inside, in
otter-grader's format.  This script writes, in dist/N-name beside it, what students get, N-name.zip, what grades
them, autograder.zip, and the solved notebook; but nothing where the solutions do not get all marks.
Needs pip install -e '.[teach]'.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from otter.assign import main as assign

from lessons.make import REPOSITORY

FOLDER = Path(__file__).parent
CHECKS = FOLDER.parent / "checks.py"  # the tests' sentences, as in the lessons
MASTERS = {path.name[0]: path for path in sorted(FOLDER.glob("[0-9]-*.py"))}


def notebook(master):
    """The master as a notebook, which installs the package from REPOSITORY."""
    text = master.read_text().replace('"microgmdgm[teach]"', f'"microgmdgm[teach] @ git+{REPOSITORY}"')
    return jupytext.reads(text, "py:percent")


def build(master, dist=FOLDER / "dist"):
    """Write dist/N-name, whole or not at all.     -> its path.  Raises RuntimeError where a solution fails a test."""
    name = master.stem
    dist.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dist) as partial:
        partial = Path(partial)
        for own in (CHECKS, *master.parent.glob("*.npz")):  # what a master names in its `files:`
            shutil.copy(own, partial)
        nbformat.write(notebook(master), partial / f"{name}.ipynb")
        assign(str(partial / f"{name}.ipynb"), str(partial), no_pdfs=True)
        built = partial / "built"
        shutil.make_archive(str(built / name), "zip", partial / "student")
        next(partial.glob("autograder/*-autograder_*.zip")).rename(built / "autograder.zip")
        (partial / "autograder" / f"{name}.ipynb").rename(built / f"{name}-solved.ipynb")
        shutil.rmtree(dist / name, ignore_errors=True)
        built.rename(dist / name)
    return dist / name


def main(numbers):
    unknown = [number for number in numbers if number not in MASTERS]
    if unknown:
        print(f"the assignments are {', '.join(MASTERS)}, not {', '.join(unknown)}", file=sys.stderr)
        sys.exit(2)
    for number in numbers or MASTERS:
        print(build(MASTERS[number]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
