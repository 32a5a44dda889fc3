"""The lessons: each notebook is its source with outputs, and each check cell knows right from wrong.

That they run is shown by `pytest --nbmake lessons/*.ipynb`, each in a clean kernel.
"""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import microgmdgm

for module in ("jupytext", "nbclient", "daft"):
    pytest.importorskip(module, reason="the lessons' tools are not installed: pip install -e '.[lessons]'")

import jupytext
import nbformat

from lessons import make

LESSONS = {path.name[:2]: path for path in make.sources()}
lesson = pytest.mark.parametrize("source", LESSONS.values(), ids=LESSONS.keys())


def code(source, tag=None):
    """The source of each code cell, or of those with a tag."""
    return [cell.source for cell in jupytext.read(source).cells
            if cell.cell_type == "code" and (tag is None or tag in cell.metadata.get("tags", []))]


def prose(source):
    return "\n\n".join(cell.source for cell in jupytext.read(source).cells if cell.cell_type == "markdown")


def exercises(source):
    """{the name that is asked for: (the cell to be filled in, the cells that check it, a solution)}"""
    order = [cell for cell in code(source) if cell in code(source, "exercise") + code(source, "check")]
    starts = [i for i, cell in enumerate(order) if cell in code(source, "exercise")]
    solutions = re.findall(r"A solution</summary>\s+```python\n(.*?)```", prose(source), re.DOTALL)
    return {re.match(r"(\w+) = None", order[i])[1]: (order[i], order[i + 1:end], solution)
            for i, end, solution in zip(starts, starts[1:] + [len(order)], solutions, strict=True)}


def test_there_are_lessons():
    assert list(LESSONS) == sorted(LESSONS) and LESSONS.keys() >= {f"{n:02}" for n in range(1, 12)}


@lesson
def test_the_notebook_is_its_source(source):
    """Change one of the two alone and this fails; python lessons/make.py writes the notebook anew."""
    def cells(notebook):
        return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    assert cells(nbformat.read(source.with_suffix(".ipynb"), 4)) == cells(jupytext.read(source))


@lesson
def test_the_notebook_was_run_from_the_top_without_an_error(source):
    cells = [cell for cell in nbformat.read(source.with_suffix(".ipynb"), 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@lesson
def test_code_cells_are_short(source):
    for cell in code(source):
        lines = cell.strip().splitlines()
        assert len(lines) <= 15 and max(map(len, lines)) <= 120, cell


@lesson
def test_lessons_import_the_package_and_do_not_copy_it(source):
    """No function of a lesson has the name of a function of the package."""
    def functions(text):
        return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    package = {name for path in Path(microgmdgm.__file__).parent.glob("*.py") for name in functions(path.read_text())}
    assert not package & {name for cell in code(source) for name in functions(cell)}


@lesson
def test_a_lesson_has_all_its_parts(source):
    text = prose(source)
    assert text.index("# [![Open in Colab]"[2:]) < text.index(f"# {int(source.name[:2])}. ") < text.index("**Claim.**") \
        < text.index("## Exercise") < text.index("A solution") < text.index("## Questions")
    questions, answers = text[text.index("## Questions"):], text.count("<details>") - len(exercises(source))
    assert len(re.findall(r"^\*\*\d\.\*\*", questions, re.MULTILINE)) == answers and answers in (2, 3)
    assert text.count("<details>") == text.count("</details>")
    assert [len(code(source, tag)) for tag in ("install", "setup")] == [1, 1]
    assert exercises(source) and all(checks for _, checks, _ in exercises(source).values())


@lesson
def test_the_badge_and_the_install_are_stamped(source):
    """One address, in make.py."""
    text = source.read_text()
    assert make.stamped(text, source.stem) == text
    assert f"/lessons/{source.stem}.ipynb)" in text and f"git+{make.REPOSITORY}" in text


@lesson
def test_the_install_brings_all_that_is_imported_and_no_jupyter(source):
    """On Colab a notebook is open already."""
    project = tomllib.loads((make.FOLDER.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(re.findall(r"microgmdgm\[(\w+)\]", code(source, "install")[0])) == {"colab"}
    assert extras["colab"][0] == "microgmdgm[oracles]"
    brought = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"] + extras["oracles"] + extras["colab"]}
    names = {"sklearn": "scikit-learn", "daft": "daft-pgm", "array_api_strict": "array-api-strict"}
    imported = {name.partition(".")[0] for cell in code(source) for node in ast.walk(ast.parse(cell))
                for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                             else [node.module] if isinstance(node, ast.ImportFrom) else [])}
    assert {names.get(name, name) for name in imported - sys.stdlib_module_names} <= brought
    assert not any("jupyter" in name for name in brought)


def test_the_map_names_every_lesson():
    readme = (make.FOLDER / "README.md").read_text()
    assert [path.name for path in LESSONS.values() if f"({path.stem}.ipynb)" not in readme] == []


def verdict(source, name, answer, capsys):
    """What the check cells of the exercise `name` print for an answer: Python that replaces its cell."""
    names = {}
    for cell in code(source, "setup") + [answer] + exercises(source)[name][1]:
        exec(cell, names)
    return capsys.readouterr().out.strip().splitlines()[-1]


@lesson
def test_the_exercises_as_committed_are_not_answered_yet(source, capsys):
    for name, (cell, *_) in exercises(source).items():
        assert verdict(source, name, cell, capsys).startswith("Not answered yet")


@lesson
def test_the_solutions_are_right(source, capsys):
    for name, (*_, solution) in exercises(source).items():
        assert verdict(source, name, solution, capsys).startswith("Right")


WRONG = [  # lesson, a plausible wrong answer, what the check must say of it
    ("01", "def log_sigmoid(l): return np.log(1 / (1 + np.exp(-l)))", "overflows"),
    ("01", "def log_sigmoid(l): return -np.log1p(np.exp(-l))", "overflows"),
    ("01", "def log_sigmoid(l): return np.log(1 / (1 + np.exp(-l)) + 1e-10)", "added inside the logarithm"),
    ("01", "def log_sigmoid(l): return -np.log1p(np.exp(-np.clip(l, -50, 50)))", "clipped"),
    ("01", "def log_sigmoid(l): return np.minimum(l, 0) - np.log(1 + np.exp(-np.abs(l)))", "loses digits"),
    ("01", "def log_sigmoid(l): return -np.minimum(l, 0) + np.log1p(np.exp(-np.abs(l)))", "the sign"),
    ("01", "def log_sigmoid(l): return np.minimum(-l, 0) - np.log1p(np.exp(-np.abs(l)))", "the other way round"),
    ("01", "def log_sigmoid(l): return 1 / (1 + np.exp(-l))", "-log 2"),
    ("02", "def product(W, x): return x @ W.T, lambda dy: (x.T @ dy, dy @ W.T)", "the value"),
    ("02", "def product(W, x): return x @ W, lambda dy: (x.T @ dy / len(x), dy @ W.T)", "dW is a mean"),
    ("02", "def product(W, x): return x @ W, lambda dy: (-x.T @ dy, dy @ W.T)", "dW has the wrong sign"),
    ("02", "def product(W, x): return x @ W, lambda dy: (dy.T @ x, dy @ W.T)", "dW is transposed"),
    ("02", "def product(W, x): return x @ W, lambda dy: (x.T @ dy, dy @ W)", "Wrong: dx."),
    ("02", "def product(W, x): return x @ W, lambda dy: (dy @ W.T, x.T @ dy)", "swapped"),
    ("02", "def product(W, x): return x @ W, lambda dy: x.T @ dy", "two gradients"),
    ("03", "def gradient(mu, logvar, eps): s = np.exp(logvar / 2); return 2 * (mu + s * eps) * s * eps", "a factor 2"),
    ("03", "def gradient(mu, logvar, eps): s = np.exp(logvar / 2); return 2 * (mu + s * eps)", "gradient by μ"),
    ("03", "def gradient(mu, logvar, eps): s = np.exp(logvar / 2); return 2 * (mu + s * eps) * eps", "gradient by σ"),
    ("03", "def gradient(mu, logvar, eps): return 0.5 * np.exp(logvar / 2) * eps", "slope of f"),
    ("03", "def gradient(mu, logvar, eps): s = np.exp(logvar); return (mu + s * eps) * s * eps", "the slope of f at z, times"),
    ("03", "def gradient(mu, logvar, eps): s = np.exp(logvar / 2); return ((mu + s * eps) * s * eps).mean()", "without a sum"),
    ("04", "def adam_step(m, v, t, g, rate):\n m = .9 * m + .1 * g; v = .999 * v + .001 * g**2\n"
           " return rate * m / (np.sqrt(v) + 1e-8)", "divide them by"),
    ("04", "def adam_step(m, v, t, g, rate):\n m = .9 * m + .1 * g; v = .999 * v + .001 * g**2\n"
           " return -rate * m / (1 - .9**t) / (np.sqrt(v / (1 - .999**t)) + 1e-8)", "the sign"),
    ("04", "def adam_step(m, v, t, g, rate):\n m = .9 * m + .1 * g; v = .999 * v + .001 * g**2\n"
           " return rate * m / (1 - .9**t) / (v / (1 - .999**t) + 1e-8)", "is its root"),
    ("04", "def adam_step(m, v, t, g, rate):\n m = .9 * m + .1 * g; v = .999 * v + .001 * g**2\n"
           " return rate * m / (1 - .9**t) / (np.sqrt(v) + 1e-8)", "v starts at 0 as well"),
    ("04", "def adam_step(m, v, t, g, rate):\n v = .999 * v + .001 * g**2\n"
           " return rate * g / (np.sqrt(v / (1 - .999**t)) + 1e-8)", "not along g itself"),
    ("04", "def adam_step(m, v, t, g, rate):\n m = .9 * m + .1 * g; v = .999 * v + .001 * g**2\n"
           " return m / (1 - .9**t) / (np.sqrt(v / (1 - .999**t)) + 1e-8)", "learning rate is missing"),
    ("04", "def adam_step(m, v, t, g, rate): return rate * m / (np.sqrt(v) + 1e-8)", "update m and v with g first"),
    ("04", "def adam_step(m, v, t, g, rate): return rate", "shape of g"),
    *[("05", "def one_sample_bound(x, logits, z, mu, logvar):\n p = distributions.bernoulli(logits, x=x)[0]\n"
             " pz = distributions.gaussian(0 * z, 0 * z, x=z)[0]; q = distributions.gaussian(mu, logvar, x=z)[0]\n"
             f" return {value}", said) for value, said in (
        ("p + pz", "log q(z|x) is missing"), ("p - q", "log p(z) is missing"), ("p + pz + q", "the sign of log q"),
        ("p - pz + q", "the KL has the wrong sign"), ("pz - q", "the reconstruction, is missing"),
        ("(p + pz - q).mean()", "one number per image"), ("p / 4 + pz - q", "it is the logarithm of"),
        ("p + pz - distributions.gaussian(mu, 2 * logvar, x=z)[0]", "it is the logarithm of"))],
    *[("06", f"def bound_without_label(log_q, L_xy): q = np.exp(log_q); return {value}", said) for value, said in (
        ("(q * L_xy).sum(axis=1)", "the entropy is missing"),
        ("(q * (L_xy + log_q)).sum(axis=1)", "the sign of the entropy"),
        ("(q * (L_xy - log_q)).mean(axis=1)", "by a factor K"), ("L_xy.mean(axis=1)", "not equally"),
        ("(log_q * L_xy - q * log_q).sum(axis=1)", "the weight is q, not log q"),
        ("(q * (L_xy - log_q)).sum()", "one number per image"), ("L_xy.max(axis=1)", "what is in the brackets"))],
    *[("07", "def information(q):\n m = q.mean(axis=0); of_mean = -(m * np.log(m)).sum(); h = -(q * np.log(q)).sum(axis=1)\n"
             f" return {value}", said) for value, said in (
        ("h.mean() - of_mean", "the sign"), ("of_mean", "H(mean q) alone"), ("h.mean()", "alone: it is 0"),
        ("-h.mean()", "the mean answer is missing"), ("of_mean - h.sum()", "averaged, not summed"),
        ("(of_mean - h.mean()) / np.log(2)", "bits"), ("of_mean - h", "one number for all images"))],
    *[("08", f"def class_of_z(log_p_z, prior): return {value}", said) for value, said in (
        ("distributions.log_softmax(log_p_z)[0]", "p(y) is missing"),
        ("log_p_z + np.log(prior)", "Divide by the sum"),
        ("distributions.log_softmax(log_p_z + prior)[0]", "its logarithm belongs there"),
        ("np.exp(distributions.log_softmax(log_p_z + np.log(prior))[0])", "its logarithm is asked for"),
        ("(log_p_z + np.log(prior)).argmax(axis=1)", "shape (6, 4)"),
        ("np.log(np.exp(log_p_z) * prior / (np.exp(log_p_z) * prior).sum(axis=1, keepdims=True))", "e^-2000 is 0"))],
    *[("09", "def train_map_accuracy(slots_train, y_train, slots_test, y_test, K):\n"
             " train = evaluation.contingency(slots_train, y_train, K, 3)\n"
             " test = evaluation.contingency(slots_test, y_test, K, 3)\n names = evaluation.majority_map(train)\n"
             f" return {value}", said) for value, said in (
        ("(train.argmax(axis=0)[slots_test] == y_test).mean()", "argmax of nothing is class 0"),
        ("(evaluation.majority_map(test)[slots_test] == y_test).mean()", "trap 2"),
        ("(names[slots_train] == y_train).mean()", "the training images are scored"),
        ("(names[slots_test] == y_test)[names[slots_test] >= 0].mean()", "not absent"),
        ("names[slots_test] == y_test", "one number"),
        ("evaluation.one_to_one_accuracy(test)", "one-to-one"), ("0.123", "Count with"))],
    *[("10", f"def balance(q, prior):\n mean = q.mean(axis=0)\n return {value}", said) for value, said in (
        ("(q * np.log(q / prior)).sum(axis=1).mean()", "I(x;y)"),
        ("(prior * np.log(prior / mean)).sum()", "changed places"),
        ("-(mean * np.log(mean / prior)).sum()", "the sign"),
        ("(mean * np.log(mean)).sum()", "p(y) is missing"), ("-(mean * np.log(mean)).sum()", "p(y) is missing"),
        ("-(mean * np.log(prior)).sum()", "cross-entropy"), ("np.log(mean / prior).sum()", "the weight of each"),
        ("(mean * np.log(mean / prior)).mean()", "not averaged"),
        ("(len(q) * mean * np.log(len(q) * mean / prior)).sum()", "no distribution"),
        ("(mean * np.log2(mean / prior)).sum()", "bits"), ("mean * np.log(mean / prior)", "one number"),
        ("0.123", "the mean answer"))],
    *[("10", "def next_pair(P, known):\n K, d = len(P), np.diag(P)\n c = P / np.sqrt(np.outer(d, d))\n"
             f" {lines}\n j, k = np.unravel_index(np.triu(c, 1).argmax(), c.shape)\n return {value}", said)
      for lines, value, said in (
        ("pass", "j, k, c[j, k]", "known classes never merge"),
        ("c[:known] = c[:, :known] = 0", "j, k, c[j, k]", "part of a known class"),
        ("c = P.copy(); c[:known, :known] = 0", "j, k, c[j, k]", "largest P"),
        ("c = P / np.outer(d, d); c[:known, :known] = 0", "j, k, c[j, k]", "the root"),
        ("c = P / np.sqrt(np.outer(P.sum(1), P.sum(1))); c[:known, :known] = 0", "j, k, c[j, k]", "shares of the slots"),
        ("c[:known, :known] = 0", "j, k, P[j, k]", "is P, not c"),
        ("c[:known, :known] = 0", "j, k, c[j, k]**2", "square"),
        ("c[:known, :known] = 0", "k, j, c[j, k]", "the lower one"),
        ("c[:known, :known] = 0", "*np.unravel_index(c.argmax(), c.shape), 1.0", "with itself"),
        ("c[:known, :known] = 0", "j, k", "three numbers"),
        ("c[:known, :known] = 0", "j, k, 0.123", "the largest allowed"))],
    ("11", "def softplus(l): return np.maximum(l, 0) + np.log1p(np.exp(-np.abs(l)))", "under array_api_strict"),
    ("11", "def softplus(l): return namespace(l).log1p(namespace(l).exp(l))", "at the ends"),
    ("11", "def softplus(l): return namespace(l).exp(l)", "under NumPy already"),
    ("11", "def softplus(l):\n xp = namespace(l)\n return xp.maximum(l, 0 * l) + xp.log1p(xp.exp(-xp.abs(l))) * np.float64(1)",
     "float64 came out"),
    ("11", "def softplus(l):\n xp = namespace(l); out = xp.zeros_like(l)\n"
           " out[...] = xp.maximum(l, 0 * l) + xp.log1p(xp.exp(-xp.abs(l)))\n return out", "under autograd"),
]


@pytest.mark.parametrize("number, answer, said", WRONG, ids=[f"{number}-{said}" for number, _, said in WRONG])
def test_a_wrong_answer_is_told_why(number, answer, said, capsys):
    found = verdict(LESSONS[number], re.match(r"def (\w+)", answer)[1], answer, capsys)
    assert found.startswith("Wrong") and said.lower() in found.lower(), found
