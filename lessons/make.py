"""Write the notebooks: python lessons/make.py [01 02 …], or all of them where none is named.

A lesson is edited as NN-name.py (jupytext's percent format) or in Jupyter.  This script stamps its
badge and its installing cell, runs it in a clean kernel from its own folder, and writes NN-name.ipynb
with the outputs, so that it reads on the web.  Needs pip install -e '.[lessons]'.
"""

import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

REPOSITORY = "https://github.com/microgmdgm/microgmdgm"  # the public address: here and nowhere else
BRANCH = "main"
FOLDER = Path(__file__).parent


def sources(numbers=()):
    """The lessons' .py files in order, all or those whose numbers are given."""
    return sorted(path for path in FOLDER.glob("[0-9][0-9]-*.py") if not numbers or path.name[:2] in numbers)


def stamped(text, name):
    """The text of lesson `name` with the badge and the installing line of REPOSITORY."""
    colab = REPOSITORY.replace("https://github.com", "https://colab.research.google.com/github")
    badge = (f"# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
             f"({colab}/blob/{BRANCH}/lessons/{name}.ipynb)")
    text = re.sub(r"^# \[!\[Open in Colab\].*$", badge, text, count=1, flags=re.MULTILINE)
    raw = REPOSITORY.replace("https://github.com", "https://raw.githubusercontent.com")
    for what, address in (("PACKAGE", f"microgmdgm[colab] @ git+{REPOSITORY}"), ("LESSONS", f"{raw}/{BRANCH}/lessons")):
        text = re.sub(rf'^{what} = .*$', f'{what} = "{address}"', text, count=1, flags=re.MULTILINE)
    return text


def write(path, text):
    """Write text whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def notebook(source):
    """The notebook of a .py source, run in a clean kernel from its folder."""
    nb = jupytext.read(source)
    for i, cell in enumerate(nb.cells):
        cell.id = f"cell-{i:02}"  # the same each time, so that a diff shows what has changed
    nb.metadata = {"jupytext": {"formats": "ipynb,py:percent"}, "language_info": {"name": "python"},
                   "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    NotebookClient(nb, timeout=600, kernel_name="python3", record_timing=False,
                   resources={"metadata": {"path": str(FOLDER)}}).execute()
    return nb


def main(numbers):
    for source in sources(numbers):
        write(source, stamped(source.read_text(), source.stem))
        write(source.with_suffix(".ipynb"), nbformat.writes(notebook(source)) + "\n")
        print(source.with_suffix(".ipynb").name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
