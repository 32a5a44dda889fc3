"""The assignments: solutions get all marks, empty notebooks none, and each wrong answer loses its own marks.

Each is built once, which grades its solutions; the empty notebook is graded by `otter run`, as a teacher does it.
Wrong answers are slips in the solutions.  They are graded in this process, by otter's own tests, which is quicker
than a kernel for each; that both give the same is tested too.
"""

import re
import sys
import zipfile
from functools import cache

import pytest

for module in ("jupytext", "otter"):
    pytest.importorskip(module, reason="otter-grader is not installed: pip install -e '.[teach]'")

import matplotlib.pyplot as plt
import nbformat
from otter.execute import Checker
from otter.nbmeta_config import NBMetadataConfig
from otter.run import main as otter_run

from lessons.assignments import make
from .wrong_answers import FUNCTIONS, TRAINING

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


def graded(cells, tests, monkeypatch):
    """{"question test": what otter says where it failed, else None} of code run as a notebook's cells are."""
    monkeypatch.setattr(plt, "show", lambda: None)
    names = {"__name__": "__main__"}
    for cell in cells:
        try:
            exec(cell, names)
        except Exception:
            pass  # as in otter's grading, the next cell runs all the same
    plt.close("all")
    found = {}
    for path in sorted(tests.glob("q*.py")):
        for result in Checker.check(str(path), NBMetadataConfig(), global_env=names).test_case_results:
            test = result.test_case.body.test_func.__name__.removeprefix("test_")
            found[f"{path.stem} {test}"] = None if result.passed else result.message.splitlines()[-1]
    return found


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
def test_an_empty_notebook_gets_no_marks(number, built, monkeypatch):
    folder = built(number)
    empty = folder / "student" / f"{folder.name}.ipynb"
    results = run(empty, folder)
    assert (results.total, results.possible) == (0, 20)
    assert set(results.results) == {path.stem for path in (folder / "autograder/tests").glob("q*.py")}
    here = graded(code(empty), folder / "autograder/tests", monkeypatch)
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
def test_solutions_get_all_marks_in_this_process_too(number, built, monkeypatch):
    folder = built(number)
    here = graded(code(folder / f"{folder.name}-solved.ipynb"), folder / "autograder/tests", monkeypatch)
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


def failed(number, slips, built, monkeypatch, epochs=None):
    """{"question test": its message} of the tests that a solution with slips in it fails; epochs of training, if few."""
    folder = built(number)
    cells = slipped(code(folder / f"{folder.name}-solved.ipynb"), slips)
    if epochs:
        cells = [re.sub(r"epochs=\d+", f"epochs={epochs}", cell) for cell in cells]
    found = graded(cells, folder / "autograder/tests", monkeypatch)
    return {name: message for name, message in found.items() if message}


def cases(wrong):
    return pytest.mark.parametrize("number, what", [(number, what) for number in wrong for what in wrong[number]])


@cases(FUNCTIONS)
def test_a_wrong_function_loses_its_own_marks(number, what, built, monkeypatch):
    slips, lost, said = FUNCTIONS[number][what]
    found = failed(number, slips, built, monkeypatch, epochs=1)
    if number != "1":
        found = {name: message for name, message in found.items() if not name.startswith("q5 ")}
    assert found.keys() == lost
    assert any(said in message for message in found.values()), found


@cases(TRAINING)
def test_a_wrong_training_loses_its_marks(number, what, built, monkeypatch):
    slips, lost, said = TRAINING[number][what]
    found = failed(number, slips, built, monkeypatch)
    assert found.keys() == lost
    assert any(said in message for message in found.values()), found


FORMS = {  # an answer of the wrong form, with `right` and its arguments at hand; what its question says
    "missing pullback": ("right(*a, **k)[0]", "the pullback is missing"),
    "missing value": ("right(*a, **k)[1]", "the value is missing"),
    "forgotten [0]": ("(right(*a, **k), right(*a, **k)[1])", "[0] takes the first"),
    "called pullback": ("(right(*a, **k)[0], right(*a, **k)[0])", "return it without calling it"),
    "three things": ("(*right(*a, **k), 0)", "two things, the value and its pullback, not 3"),
    "nothing": ("None", "returns nothing"),
    "a string": ("'0.5'", "two things"),
    "a dictionary": ("{'value': 1}", "two things"),
    "no gradient": ("(right(*a, **k)[0], lambda d: None)", "gradient"),
    "too many gradients": ("(right(*a, **k)[0], lambda d: (0.0,) * 9)", "gradients"),
    "wrong shape": ("(np.zeros((9, 9, 9)), right(*a, **k)[1])", "shape|value|z:|KL|bound|entropy"),
    "it stops": ("a[0].no_such_name", "stops in line .*: AttributeError"),
}
CASES = {"relu": ("1", "q4"), "reparameterise": ("2", "q1"), "entropy": ("3", "q1"), "gaussian_kl": ("4", "q1")}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_an_answer_of_the_wrong_form_is_told_in_a_sentence(name, form, built, monkeypatch):
    (number, question), (returned, said) = CASES[name], FORMS[form]
    folder = built(number)
    cells = [re.sub(r"epochs=\d+", "epochs=1", cell) for cell in code(folder / f"{folder.name}-solved.ipynb")]
    at = next(i for i, cell in enumerate(cells) if f"def {name}(" in cell)
    wrong = f"right = {name}\ndef {name}(*a, **k): return {returned}"
    found = graded([*cells[:at + 1], wrong], folder / "autograder/tests", monkeypatch)
    messages = [message for test, message in found.items() if test.startswith(question + " ") and message]
    assert messages and all(re.match("Wrong: |AssertionError: ", message) for message in messages), messages
    assert any(re.search(said if "|" in said or ".*" in said else re.escape(said), message) for message in messages), messages


def test_otter_run_takes_the_same_marks(built, tmp_path):
    folder = built("1")
    wrong = nbformat.read(folder / f"{folder.name}-solved.ipynb", 4)
    slips, lost, _ = FUNCTIONS["1"]["gaussian, no half"]
    for cell, source in zip(wrong.cells, slipped([cell.source for cell in wrong.cells], slips)):
        cell.source = source
    nbformat.write(wrong, tmp_path / "wrong.ipynb")
    results = run(tmp_path / "wrong.ipynb", folder)
    assert lost == {"q1 standard", "q1 scipy"} and results.total == 20 - 1 - 1
