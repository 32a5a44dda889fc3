"""The assignments: solutions get all marks, empty notebooks none, and each wrong answer loses its own marks.

Each is built once, which grades its solutions; the empty notebook is graded by `otter run`, as a teacher does it.
Wrong answers are slips in the solutions.  They are graded in this process, by otter's own tests, which is quicker
than a kernel for each; that both give the same is tested too.
"""

import ast
import re
import sys
import zipfile
from functools import cache, partial
from unittest.mock import patch

import numpy as np
import pytest

for module in ("jupytext", "otter"):
    pytest.importorskip(module, reason="otter-grader is not installed: pip install -e '.[teach]'")

import matplotlib.pyplot as plt
import nbformat
from otter.execute import Checker
from otter.nbmeta_config import NBMetadataConfig
from otter.run import main as otter_run

from lessons.assignments import make
from .wrong_answers import ANY, FUNCTIONS, TRAINING, Odd

sys.path.insert(0, str(make.CHECKS.parent))  # it lies beside the notebook, in the zip
assignment = pytest.mark.parametrize("number", make.MASTERS)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of each assignment, built: the solutions have then got all marks."""
    dist = tmp_path_factory.mktemp("dist")

    @cache
    def build(number):
        folder = make.build(make.MASTERS[number], dist)
        for archive, content in ((f"{folder.name}.zip", "student"), ("autograder.zip", "autograder")):
            zipfile.ZipFile(folder / archive).extractall(folder / content)
        return folder
    return build


@pytest.fixture(scope="module")
def solved(built):
    """The folder of each assignment, and all names of its solved notebook after a run of it."""
    @cache
    def run(number):
        folder = built(number)
        return folder, executed(code(folder / f"{folder.name}-solved.ipynb"))
    return run


def executed(cells):
    """The names after code was run as a notebook's cells are."""
    names = {"__name__": "__main__"}
    for cell in cells:
        try:
            with patch.object(plt, "show"):
                exec(cell, names)
        except Exception:
            pass  # as in otter's grading, the next cell runs all the same
    plt.close("all")
    return names


def by_otter(path, names):
    """{"question test": what otter says where it failed, else None} of the tests of a question."""
    return {f"{path.stem} {result.test_case.body.test_func.__name__.removeprefix('test_')}":
            None if result.passed else result.message.splitlines()[-1]
            for result in Checker.check(str(path), NBMetadataConfig(), global_env=names).test_case_results}


def graded(names, folder):
    """The same, of all tests of an assignment."""
    return {name: said for path in sorted((folder / "autograder/tests").glob("q*.py"))
            for name, said in by_otter(path, names).items()}


def code(notebook):
    return [cell.source for cell in nbformat.read(notebook, 4).cells
            if cell.cell_type == "code" and "grader" not in cell.source]


def run(notebook, folder):
    """The results of `otter run` with the autograder of a built assignment."""
    return otter_run(str(notebook), autograder=str(folder / "autograder.zip"), output_dir=None, no_logo=True)


def slipped(cells, slips):
    """The cells with each (right, wrong) of the slips put in."""
    for right, wrong in slips:
        assert sum(cell.count(right) for cell in cells) == 1, right
        cells = [cell.replace(right, wrong) for cell in cells]
    return cells


@assignment
def test_an_empty_notebook_gets_no_marks(number, built):
    folder = built(number)
    empty = folder / "student" / f"{folder.name}.ipynb"
    results = run(empty, folder)
    assert (results.total, results.possible) == (0, 20)
    assert set(results.results) == {path.stem for path in (folder / "autograder/tests").glob("q*.py")}
    here = graded(executed(code(empty)), folder)
    assert None not in here.values()
    assert any("not written yet" in message for message in here.values())


@assignment
def test_students_get_no_solution_and_no_hidden_test(number, built):
    folder = built(number)
    student, master = folder / "student", make.MASTERS[number].read_text()
    text = "".join(path.read_text() for path in student.rglob("*") if path.is_file())
    assert "SOLUTION" not in text and "hidden=True" not in text and "Points: 1" not in text
    hidden_tests = re.findall(r"^# HIDDEN\n(.*?)\n\n# %%", master, re.DOTALL | re.MULTILINE)
    for message in (re.findall(r'"([^"]+)"', hidden)[-1] for hidden in hidden_tests):
        assert message not in text
    assert len(hidden_tests) >= 4
    for solution in re.findall(r"# BEGIN SOLUTION NO PROMPT\n(.*?)\n *# END SOLUTION", master, re.DOTALL):
        assert solution.splitlines()[-1].strip() not in text
    assert make.REPOSITORY in text


@assignment
def test_the_marks_are_those_of_the_first_page(number):
    text = make.MASTERS[number].read_text()
    by_tests = sum(sum(map(int, marks.split(","))) for marks in re.findall(r"^# points: \[(.*)\]$", text, re.MULTILINE))
    by_hand = sum(map(int, re.findall(r"^# points: (\d+)$", text, re.MULTILINE)))
    assert f"| **Points** | {by_tests + by_hand}: {by_tests} by tests, {by_hand} for the written questions |" in text
    assert by_tests == 20


@assignment
def test_solutions_get_all_marks_in_this_process_too(number, solved):
    folder, names = solved(number)
    here = graded(names, folder)
    assert set(here.values()) == {None}, here


def test_nothing_is_built_from_a_solution_that_fails(tmp_path):
    master, dist = tmp_path / "1-wrong.py", tmp_path / "dist"
    (right, wrong), = FUNCTIONS["1"]["relu, no mask"][0]
    master.write_text(make.MASTERS["1"].read_text().replace(right, wrong))
    with pytest.raises(RuntimeError, match="the gradient with respect to a is not that of your value"):
        make.build(master, dist)
    assert not list(dist.iterdir())


def test_an_unknown_assignment_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        make.main(["7"])
    assert ended.value.code == 2 and capsys.readouterr().err == "the assignments are 1, 2, 3, 4, not 7\n"


def questions(folder):
    """[(a question's tests, the names that they look at)] of an assignment, without what is given."""
    return [(path, {argument.arg for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
                    for argument in node.args.args} - {"prior", "digits"})
            for path in sorted((folder / "autograder/tests").glob("q*.py"))]


def failed(number, slips, built, trained):
    """{"question test": its message} of the tests that a solution with slips in it fails; without training, those of
    its functions."""
    folder = built(number)
    cells = slipped(code(folder / f"{folder.name}-solved.ipynb"), slips)
    if not trained:
        cells = cells[:next(i for i, cell in enumerate(cells) if 'data.load("digits")' in cell)]
    names = executed(cells)
    return {name: said for path, looked_at in questions(folder) if looked_at <= names.keys()
            for name, said in by_otter(path, names).items() if said}


def cases(wrong):
    return pytest.mark.parametrize("number, what", [(number, what) for number in wrong for what in wrong[number]])


@cases(FUNCTIONS)
def test_a_wrong_function_loses_its_own_marks(number, what, built):
    slips, lost, said = FUNCTIONS[number][what]
    found = failed(number, slips, built, trained=False)
    assert found.keys() == lost
    assert any(said in message for message in found.values()), found


@cases(TRAINING)
def test_a_wrong_training_loses_its_marks(number, what, built):
    slips, lost, said = TRAINING[number][what]
    found = failed(number, slips, built, trained=True)
    assert found.keys() == lost
    assert any(said in message for message in found.values()), found


FORMS = ANY | {  # answers of the wrong form
    "the value is missing": (lambda right, *a, **k: right(*a, **k)[1], "must|stops|the value"),
    "[0] forgotten in the value": (lambda right, *a, **k: (right(*a, **k), right(*a, **k)[1]),
                                   "must|stops|takes the first"),
    "nothing": (lambda right, *a, **k: None, "returns nothing"),
    "no gradient": (lambda right, *a, **k: (right(*a, **k)[0], lambda d: None), "gradient|must|stops"),
    "too many gradients": (lambda right, *a, **k: (right(*a, **k)[0], lambda d: (0.0,) * 9), "gradients|must|stops"),
    "a pullback that exits": (lambda right, *a, **k: (right(*a, **k)[0], lambda d: sys.exit(1)),
                              "gradient|pullback|must|stops"),
}
NO_FUNCTION = {"nothing at all": (None, "a function is asked for"), "a number": (0.5, "a function is asked for"),
               "of other arguments": (lambda: 0, "the arguments of the text: TypeError")}
VALUES = None, ..., 0.5, np.nan, "0.5", [], {}, {"accuracy": "high"}, np.zeros((7, 7, 7)), [[1.0, 2.0], [3.0]], len, Odd()


@assignment
def test_any_answer_is_told_in_a_sentence(number, solved):
    """Whatever stands in the place of a function or of what was trained: some test fails, and each that fails says
    why; none stops in the test's own code."""
    folder, names = solved(number)
    tests = questions(folder)
    for asked in sorted({name for _, looked_at in tests for name in looked_at}):
        answers = {str(value): (value, "must") for value in VALUES}
        if callable(right := names[asked]):
            answers = NO_FUNCTION | {form: (partial(answer, right), said) for form, (answer, said) in FORMS.items()}
        assert len(answers) >= 10
        for form, (answer, said) in answers.items():
            told = [message for path, looked_at in tests if asked in looked_at
                    for message in by_otter(path, names | {asked: answer}).values() if message]
            assert told and all(re.match("(Wrong|AssertionError): .{20}", each) for each in told), (asked, form, told)
            assert any(re.search(said, each) for each in told), (asked, form, told)


def test_otter_run_takes_the_same_marks(built, tmp_path):
    folder = built("1")
    wrong = nbformat.read(folder / f"{folder.name}-solved.ipynb", 4)
    slips, lost, _ = FUNCTIONS["1"]["gaussian, no half"]
    for cell, source in zip(wrong.cells, slipped([cell.source for cell in wrong.cells], slips)):
        cell.source = source
    nbformat.write(wrong, tmp_path / "wrong.ipynb")
    results = run(tmp_path / "wrong.ipynb", folder)
    assert lost == {"q1 standard", "q1 scipy"} and results.total == 20 - 1 - 1
