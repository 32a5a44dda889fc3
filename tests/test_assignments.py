"""The assignments: solutions get all marks, empty notebooks none, and each wrong answer loses its own marks.

Each is built once, which grades its solutions; the empty notebook is graded by `otter run`, as a teacher does it.
Wrong answers are slips in the solutions.  They are graded in this process, by otter's own tests, which takes a
second where a kernel of its own takes five; that both give the same is tested too.
"""

import re
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

assignment = pytest.mark.parametrize("number", make.MASTERS)
TRAINED = {"2": {"q5"}, "3": {"q5"}, "4": {"q5"}}  # the question that hangs on a model being trained


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
    """{(question, test): the message of otter where it failed, else None} of code run as a notebook's cells are."""
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
            found[path.stem, test] = None if result.passed else result.message.splitlines()[-1]
    return found


def code(notebook):
    return [cell.source for cell in nbformat.read(notebook, 4).cells
            if cell.cell_type == "code" and "grader" not in cell.source]


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
    results = otter_run(str(empty), autograder=str(folder / "autograder.zip"), output_dir=None, no_logo=True)
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
    assert "SOLUTION" not in text and "hidden=True" not in text and "Marks: 1" not in text
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
    assert f"| **Marks** | {by_tests + by_hand}: {by_tests} by tests, {by_hand} for the written questions |" in text
    assert by_tests == 20


@assignment
def test_solutions_get_all_marks_in_this_process_too(number, built, monkeypatch):
    folder = built(number)
    here = graded(code(folder / f"{folder.name}-solved.ipynb"), folder / "autograder/tests", monkeypatch)
    assert set(here.values()) == {None}, here


def test_an_unknown_assignment_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        make.main(["7"])
    assert ended.value.code == 2 and capsys.readouterr().err == "the assignments are 1, 2, 3, 4, not 7\n"


WRONG = {  # assignment: {what is wrong: ([(right, wrong), …], {tests that fail}, part of a message)}
    "1": {
        "gaussian, no half": (
            [("-0.5 * (np.log(2 * np.pi)", "-1 * (np.log(2 * np.pi)"),
             ("return d * scaled, 0.5 * d * (squares - 1)", "return 2 * d * scaled, d * (squares - 1)")],
            {"q1 standard", "q1 scipy"}, "log N(0; 0, I)"),
        "gaussian, logvar taken for log σ": (
            [("precision = np.exp(-logvar)", "precision = np.exp(-2 * logvar)"),
             ("np.log(2 * np.pi) + logvar + squares", "np.log(2 * np.pi) + 2 * logvar + squares"),
             ("0.5 * d * (squares - 1)", "d * (squares - 1)")], {"q1 scipy"}, "where σ ≠ 1"),
        "gaussian, no log 2π": (
            [("np.log(2 * np.pi) + logvar", "logvar")], {"q1 standard", "q1 scipy"}, "log 2π"),
        "gaussian, mean for sum": (
            [("+ squares).sum(axis=-1)", "+ squares).mean(axis=-1)"),
             ("d = dlog_p[:, None]\n        return d * scaled", "d = dlog_p[:, None] / mu.shape[1]\n        return d * scaled")],
            {"q1 standard", "q1 scipy"}, "3 dimensions"),
        "gaussian, sign of dmu": (
            [("return d * scaled, 0.5", "return -d * scaled, 0.5")], {"q1 gradients"}, "with respect to mu is"),
        "gaussian, no half in dlogvar": (
            [("0.5 * d * (squares - 1)", "d * (squares - 1)")], {"q1 gradients"}, "with respect to logvar is"),
        "bernoulli, overflows": (
            [("np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))", "np.log(1 + np.exp(logits))")],
            {"q2 far_logits"}, "±1000"),
        "bernoulli, sign of the gradient": (
            [("* (x - p)", "* (p - x)")], {"q2 gradient"}, "with respect to logits"),
        "bernoulli, x and 1 - x": (
            [("x * logits - softplus", "(1 - x) * logits - softplus"), ("* (x - p)", "* (1 - x - p)")],
            {"q2 scipy", "q2 far_logits"}, "scipy's"),
        "dense, mean for sum in db": (
            [("da.sum(axis=0, keepdims=True)", "da.mean(axis=0, keepdims=True)")], {"q3 gradients"}, "respect to b is"),
        "dense, dW transposed": ([("return x.T @ da, da.sum", "return da.T @ x, da.sum")], {"q3 gradients"},
                                 "the gradient of W must have its shape (3, 2), not (2, 3)"),
        "dense, no bias": ([("return x @ W + b, pullback", "return x @ W + 0 * b, pullback")],
                           {"q3 value", "q3 gradients"}, "with b added to each row"),
        "bernoulli, no gradient": ([("return dlog_p[:, None] * (x - p)", "return None")], {"q2 gradient", "q2 far_logits"},
                                   "with respect to logits"),
        "dense, no gradient of b": ([("da.sum(axis=0, keepdims=True)", "None")], {"q3 gradients"}, "respect to b is"),
        "relu, no mask": ([("return dh * (a > 0)", "return dh")], {"q4 gradient"}, "with respect to a"),
        "one-sided differences": ([("(F(theta + step) - F(theta - step)) / (2 * h)", "(F(theta + step) - F(theta)) / h")],
                                  {"q5 order"}, "a central one"),
        "differences, over h": ([("/ (2 * h)", "/ h")], {"q5 linear", "q5 order"}, "exact for a linear F"),
        "differences, theta changed": (
            [("F(theta + step)", "F(np.add(theta, step, out=theta))"), ("F(theta - step)", "F(theta - 2 * step)")],
            {"q5 theta_is_left_alone", "q5 order"}, "as it was before"),
        "log q(y|x), overflows": ([("logits - logits.max(axis=-1, keepdims=True)", "logits")], {"q6 far_logits"}, "1000"),
        "log q(y|x), a sum left out of the gradient": (
            [("np.exp(log_q) * dlog_q.sum(axis=-1, keepdims=True)", "np.exp(log_q)")], {"q6 gradients"}, "layers[0]"),
        "log q(y|x), logits given back": ([("return log_q, pullback", "return logits, pullback")],
                                          {"q6 scipy", "q6 gradients", "q6 far_logits"}, "must sum to 1"),
    },
    "2": {
        "σ² for σ": ([("np.exp(0.5 * logvar) * eps", "np.exp(logvar) * eps"), ("0.5 * dz * noise", "dz * noise")],
                     {"q1 variance"}, "the variance of many samples"),
        "dlogvar of z, no half": ([("0.5 * dz * noise", "dz * noise")], {"q1 gradients"}, "to logvar is"),
        "KL, no half": ([("0.5 * (var + mu**2 - 1 - logvar)", "(var + mu**2 - 1 - logvar)"),
                         ("return d * mu, 0.5 * d * (var - 1)", "return 2 * d * mu, d * (var - 1)")],
                        {"q2 integral"}, "the KL"),
        "KL, swapped": ([("0.5 * (var + mu**2 - 1 - logvar)", "0.5 * (1 / var + mu**2 / var - 1 + logvar)"),
                         ("return d * mu, 0.5 * d * (var - 1)", "return d * mu / var, 0.5 * d * (1 - (1 + mu**2) / var)")],
                        {"q2 integral"}, "the KL"),
        "KL, logvar taken for log σ": ([("var = np.exp(logvar)", "var = np.exp(2 * logvar)"),
                                        ("- 1 - logvar)", "- 1 - 2 * logvar)"),
                                        ("0.5 * d * (var - 1)", "d * (var - 1)")], {"q2 integral"}, "the KL"),
        "KL, mean for sum": ([("- 1 - logvar).sum(axis=-1)", "- 1 - logvar).mean(axis=-1)"),
                              ("d = dkl[:, None]", "d = dkl[:, None] / mu.shape[1]")], {"q2 integral"}, "summed"),
        "KL, negative": ([("0.5 * (var + mu**2 - 1 - logvar)", "-0.5 * (var + mu**2 - 1 - logvar)"),
                          ("return d * mu, 0.5 * d * (var - 1)", "return -d * mu, 0.5 * d * (1 - var)")],
                         {"q2 integral"}, "must be positive"),
        "KL, sign of dlogvar": ([("0.5 * d * (var - 1)", "0.5 * d * (1 - var)")], {"q2 gradients"},
                                "respect to logvar is"),
        "Adam, downhill": ([("theta + rate * m_hat", "theta - rate * m_hat")], {"q3 uphill", "q3 memory"}, "uphill"),
        "Adam, not corrected": ([("m / (1 - 0.9**t), v / (1 - 0.999**t)", "m, v")],
                                {"q3 constant_gradient", "q3 memory"}, "step 1 has not"),
        "Adam, no root": ([("np.sqrt(v_hat)", "v_hat")], {"q3 constant_gradient", "q3 memory"}, "length of the rate"),
        "Adam, no running mean of g": ([("m_hat, v_hat = m / (1 - 0.9**t)", "m_hat, v_hat = g")], {"q3 memory"},
                                       "running mean"),
        "bound, the KL added": ([("return log_p - kl, pullback", "return log_p + kl, pullback"),
                                 ("kl_pullback(-dL)", "kl_pullback(dL)")], {"q4 two_terms"}, "less your KL"),
        "bound, no KL": ([("return log_p - kl, pullback", "return log_p, pullback"),
                          ("kl_pullback(-dL)", "kl_pullback(0 * dL)")], {"q4 two_terms"}, "less your KL"),
        "bound, the KL left out of the gradient": (
            [("(dmu + dmu_kl, dlogvar + dlogvar_kl)", "(dmu, dlogvar)")], {"q4 gradients"}, "encoder[0]"),
        "bound, a mean": ([("return log_p - kl, pullback", "return (log_p - kl).mean(), pullback")],
                          {"q4 nothing_told", "q4 gradients", "q4 two_terms"}, "one number for each image"),
    },
    "3": {
        "entropy, sign": ([("return -(q * log_q).sum(axis=-1), pullback", "return (q * log_q).sum(axis=-1), pullback"),
                           ("return -dH[:, None] * q", "return dH[:, None] * q")], {"q1 uniform", "q1 scipy"}, "log 4"),
        "entropy, in bits": ([("return -(q * log_q).sum(axis=-1), pullback", "return -(q * log_q).sum(axis=-1) / np.log(2), pullback"),
                              ("return -dH[:, None] * q", "return -dH[:, None] / np.log(2) * q")], {"q1 uniform", "q1 scipy"}, "log 4"),
        "entropy, gradient without the 1": ([("q * (1 + log_q)", "q * log_q")], {"q1 gradient"}, "respect to log_q"),
        "no log p(y)": ([("log_p - kl + np.log(prior)[y]", "log_p - kl")], {"q2 nothing_told", "q2 integral"}, "the class"),
        "p(y) for log p(y)": ([("+ np.log(prior)[y]", "+ prior[y]")], {"q2 nothing_told", "q2 integral"}, "the class"),
        "the KL added": ([("log_p - kl + np", "log_p + kl + np"), ("kl_pullback(-dL)", "kl_pullback(dL)")],
                         {"q2 integral"}, "the integral of q(z|x,y)"),
        "no KL": ([("log_p - kl + np", "log_p + np"), ("kl_pullback(-dL)", "kl_pullback(0 * dL)")],
                  {"q2 integral"}, "the integral of q(z|x,y)"),
        "L(x), no entropy": ([("(q * (L_xy - log_q)).sum", "(q * L_xy).sum"), ("q * (L_xy - log_q - 1)", "q * L_xy")],
                             {"q3 best_q"}, "its largest value"),
        "L(x), sign of the entropy": ([("(q * (L_xy - log_q)).sum", "(q * (L_xy + log_q)).sum"),
                                       ("q * (L_xy - log_q - 1)", "q * (L_xy + log_q + 1)")], {"q3 best_q"}, "largest"),
        "L(x), mean for sum": ([("(q * (L_xy - log_q)).sum", "(q * (L_xy - log_q)).mean"),
                                ("d = dL[:, None]", "d = dL[:, None] / L_xy.shape[1]")], {"q3 one_hot", "q3 best_q"}, "sure"),
        "L(x), classes not weighted": ([("(q * (L_xy - log_q)).sum", "(L_xy - q * log_q).sum"),
                                        ("return d * q * (L_xy - log_q - 1), d * q", "return -d * q * (log_q + 1), d + 0 * q")],
                                       {"q3 one_hot", "q3 best_q"}, "sure"),
        "L(x), no gradient through q": ([("return d * q * (L_xy - log_q - 1), d * q", "return -d * q, d * q")],
                                        {"q3 gradients"}, "respect to log_q"),
        "α, sign": ([("alpha * label.sum()", "-alpha * label.sum()"), ("at_pullback(alpha *", "at_pullback(-alpha *")],
                    {"q4 alpha"}, "grow with α"),
        "α left out": ([("alpha * label.sum()", "label.sum()"), ("at_pullback(alpha * dL_xy)", "at_pullback(dL_xy)")],
                       {"q4 alpha", "q4 two_means"}, "grow with α"),
        "sums for means": ([("L_x.sum() / N_u + L_xy.sum() / n_l", "L_x.sum() + L_xy.sum()"),
                            ("dF / N_u", "dF"), ("at_pullback(alpha * dL_xy)", "at_pullback(alpha * dL_xy / n_l)"),
                            ("x_u.dtype) * dF / n_l", "x_u.dtype) * dF")], {"q4 two_means"}, "the mean of your L(x)"),
        "pairs in another order": ([("x=np.repeat(x_u, K, axis=0), y=np.tile(np.arange(K), N_u)",
                                     "x=np.tile(x_u, (K, 1)), y=np.repeat(np.arange(K), N_u)")], {"q4 two_means"}, "your L(x)"),
        "labels left out of the gradient": ([("at_pullback(alpha * dL_xy)", "at_pullback(0 * dL_xy)")],
                                            {"q4 gradients"}, "params[q(y|x)][0]"),
    },
    "4": {
        "KL, no half": ([("0.5 * (logvar0 - logvar + ratio", "(logvar0 - logvar + ratio"),
                         ("d = dkl[:, None]", "d = 2 * dkl[:, None]")], {"q1 integral"}, "the KL"),
        "KL, swapped": ([("def gaussian_kl(mu, logvar, mu0, logvar0):", "def gaussian_kl(mu0, logvar0, mu, logvar):"),
                         ("return d * scaled, 0.5 * d * (ratio - 1), -d * scaled, 0.5 * d * (1 - ratio - squares)",
                          "return -d * scaled, 0.5 * d * (1 - ratio - squares), d * scaled, 0.5 * d * (ratio - 1)")],
                        {"q1 integral"}, "the KL"),
        "KL, mean for sum": ([("+ squares - 1).sum(axis=-1)", "+ squares - 1).mean(axis=-1)"),
                              ("d = dkl[:, None]", "d = dkl[:, None] / mu.shape[1]")], {"q1 integral"}, "summed"),
        "KL, logvar taken for log σ": ([("logvar - logvar0)", "2 * (logvar - logvar0))"), ("np.exp(-logvar0)", "np.exp(-2 * logvar0)"),
                                        ("0.5 * (logvar0 - logvar", "0.5 * (2 * logvar0 - 2 * logvar"),
                                        ("0.5 * d * (ratio - 1)", "d * (ratio - 1)"),
                                        ("0.5 * d * (1 - ratio", "d * (1 - ratio")], {"q1 integral"}, "the KL"),
        "KL, sign of dmu0": ([("-d * scaled, 0.5 * d * (1", "d * scaled, 0.5 * d * (1")],
                             {"q1 gradients"}, "respect to mu0 is"),
        "p(z|y), the last pair of a class alone": (
            [("np.add.at(dmeans, y, dmu_y)", "dmeans[y] = dmu_y"), ("np.add.at(dlogvars, y, dlogvar_y)", "dlogvars[y] = dlogvar_y")],
            {"q2 gradients"}, "p_z_given_y[0]"),
        "p(z) for p(z|y)": ([("gaussian_kl(mu, logvar, means[y], logvars[y])", "gaussian_kl(mu, logvar, 0 * means[y], 0 * logvars[y])"),
                             ("return [dmeans, dlogvars]", "return [0 * dmeans, 0 * dlogvars]")],
                            {"q2 own_class", "q2 other_class"}, "the Gaussian of the pair's class"),
        "no log p(y)": ([("log_p - kl + np.log(prior)[y]", "log_p - kl")], {"q3 nothing_told", "q3 three_terms"}, "the class"),
        "the KL added": ([("log_p - kl + np", "log_p + kl + np"), ("kl_pullback(-dL)", "kl_pullback(dL)")],
                         {"q3 three_terms"}, "do not add up"),
        "p(z|y) never learns": ([('"p(z|y)": dprior, ', "")], {"q3 gradients"}, "params[p(z|y)][0]"),
        "an empty slot named 0": ([("np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), -1)", "counts.argmax(axis=0)")],
                                  {"q4 empty_slot"}, "a slot without images"),
        "rows for columns": ([("(classes, slots), 1)", "(slots, classes), 1)"), ("np.zeros((C, K), int)", "np.zeros((K, C), int)")],
                             {"q4 counts"}, "a row a class"),
        "the mean over classes": ([('"accuracy": right.sum() / counts.sum()', '"accuracy": (right / counts.sum(axis=1)).mean()')],
                                  {"q4 accuracies"}, "a share of all images"),
        "labelled for unlabelled": ([("right[~known].sum() / counts[~known].sum()", "right[known].sum() / counts[known].sum()")],
                                    {"q4 accuracies"}, "accuracy_unlabelled_classes"),
    },
}


@pytest.mark.parametrize("number, what", [(number, what) for number in WRONG for what in WRONG[number]])
def test_a_wrong_answer_loses_its_own_marks(number, what, built, monkeypatch):
    slips, lost, said = WRONG[number][what]
    folder = built(number)
    cells = slipped(code(folder / f"{folder.name}-solved.ipynb"), slips)
    cells = [re.sub(r"epochs=\d+", "epochs=1", cell) for cell in cells]  # what is trained is no part of this
    found = graded(cells, folder / "autograder/tests", monkeypatch)
    failed = {f"{q} {test}": message for (q, test), message in found.items() if message and q not in TRAINED.get(number, ())}
    assert failed.keys() == lost
    assert any(said in message for message in failed.values()), failed
