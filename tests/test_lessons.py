"""The lessons: each notebook is its source with outputs, and each check knows right from wrong.

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
from .wrong_answers import ANY

LESSONS = {path.name[:2]: path for path in make.sources()}
SHIPPED = {"checks", "figures"}  # modules beside the notebooks
sys.path.insert(0, str(make.FOLDER))
import checks

lesson = pytest.mark.parametrize("source", LESSONS.values(), ids=LESSONS.keys())


def code(source, tag=None):
    """The source of each code cell, or of those with a tag."""
    return [cell.source for cell in jupytext.read(source).cells
            if cell.cell_type == "code" and (tag is None or tag in cell.metadata.get("tags", []))]


def prose(source):
    return "\n\n".join(cell.source for cell in jupytext.read(source).cells if cell.cell_type == "markdown")


def exercises(source):
    """{the function that is asked for: (its cell, a solution)}"""
    solutions = re.findall(r"A solution</summary>\s+```python\n(.*?)```", prose(source), re.DOTALL)
    return {re.match(r"def (\w+)", cell)[1]: (cell, solution)
            for cell, solution in zip(code(source, "exercise"), solutions, strict=True)}


EXERCISES = {name: source for source in LESSONS.values() for name in exercises(source)}
exercise = pytest.mark.parametrize("name", EXERCISES)


def test_there_are_lessons():
    assert list(LESSONS) == sorted(LESSONS) and LESSONS.keys() >= {f"{n:02}" for n in range(1, 13)}


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
        < text.index("**You need**") < text.index("**Yours: `") < text.index("A solution") < text.index("## Questions")
    assert re.search(r"\*\*You need\*\* .*?\d+\s+minutes; the\s+computer\s+needs", text, re.DOTALL)
    questions = text[text.index("## Questions"):]
    answers = questions.count("<summary>Answer</summary>")
    assert len(re.findall(r"^\*\*\d\.\*\*", questions, re.MULTILINE)) == answers == questions.count("<details>")
    assert answers in (2, 3) and text.count("<details>") == text.count("</details>")
    assert [len(code(source, tag)) for tag in ("install", "setup")] == [1, 1]
    assert "**Predict" in text


@lesson
def test_students_write_what_the_lesson_uses(source):
    """At least two functions; each is checked in one line below its cell, and used further down."""
    cells, found = code(source), exercises(source)
    assert len(found) >= 2
    for name, (cell, _) in found.items():
        at = cells.index(cell)
        assert cells[at + 1] == f"{name} = checks.{name}({name})"
        assert any(re.search(rf"\b{name}\b", later) for later in cells[at + 2:]), name
        assert f"**Yours: `{name}(" in prose(source)


@lesson
def test_the_badge_and_the_install_are_stamped(source):
    """One address, in make.py."""
    text = source.read_text()
    assert make.stamped(text, source.stem) == text
    assert f"/lessons/{source.stem}.ipynb)" in text and f"git+{make.REPOSITORY}" in text
    assert set(re.findall(r'"(\w+\.py)"', code(source, "install")[0])) == {f"{name}.py" for name in SHIPPED}
    assert all((make.FOLDER / f"{name}.py").exists() for name in SHIPPED)


@lesson
def test_the_install_brings_all_that_is_imported_and_no_jupyter(source):
    """On Colab a notebook is open already."""
    project = tomllib.loads((make.FOLDER.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(re.findall(r"microgmdgm\[(\w+)\]", code(source, "install")[0])) == {"colab"}
    assert extras["colab"][0] == "microgmdgm[oracles]"
    brought = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"] + extras["oracles"] + extras["colab"]}
    names = {"sklearn": "scikit-learn", "daft": "daft-pgm", "array_api_strict": "array-api-strict"}
    cells = code(source) + [(make.FOLDER / f"{name}.py").read_text() for name in SHIPPED]
    imported = {name.partition(".")[0] for cell in cells for node in ast.walk(ast.parse(cell))
                for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                             else [node.module] if isinstance(node, ast.ImportFrom) else [])}
    assert {names.get(name, name) for name in imported - sys.stdlib_module_names - SHIPPED} <= brought
    assert not any("jupyter" in name for name in brought)


def test_the_map_names_every_lesson():
    readme = (make.FOLDER / "README.md").read_text()
    assert [path.name for path in LESSONS.values() if f"({path.stem}.ipynb)" not in readme] == []


def verdict(name, answer, capsys):
    """What the check says of an answer, and the function that the lesson goes on with."""
    used = getattr(checks, name)(answer)
    said, = capsys.readouterr().out.strip().splitlines()  # one line
    return said, used


def written(name, text):
    """The function of an answer's text, among what its lesson has imported."""
    names = {other: getattr(checks, other).ours for other in exercises(EXERCISES[name])}
    for cell in code(EXERCISES[name], "setup") + [text]:
        exec(cell, names)
    return names[name]


def test_every_check_belongs_to_a_lesson():
    assert {name for name, check in vars(checks).items() if hasattr(check, "ours")} == set(EXERCISES)


@exercise
def test_an_exercise_as_committed_is_not_answered_yet(name, capsys):
    ours = getattr(checks, name).ours
    for answer in (written(name, exercises(EXERCISES[name])[name][0]), None, ours):
        said, used = verdict(name, answer, capsys)
        assert said.startswith("Not answered yet") and used is ours


@exercise
def test_the_solution_is_right(name, capsys):
    answer = written(name, exercises(EXERCISES[name])[name][1])
    said, used = verdict(name, answer, capsys)
    assert said.startswith("Right") and used is answer, said


@exercise
@pytest.mark.parametrize("what", ANY)
def test_no_answer_stops_a_lesson(name, what, capsys):
    ours, (answer, said) = getattr(checks, name).ours, ANY[what]
    found, used = verdict(name, lambda *a: answer(ours, *a), capsys)
    if name == "one_epoch" and what not in ("it stops", "it exits", "NaN", "forgotten [0]"):
        said += "|each image once"  # it is watched while it trains, before what it returns is looked at
    assert found.startswith("Wrong: ") and used is ours, found
    assert re.search(said, found), found


@exercise
def test_neither_does_an_answer_that_is_no_function_of_these_arguments(name, capsys):
    for answer, said in ((0.5, "must be a function, not a float"), (lambda: 0, "the arguments of the text: TypeError")):
        found, used = verdict(name, answer, capsys)
        assert found.startswith("Wrong: ") and said in found and used is getattr(checks, name).ours


WRONG = [  # an exercise, a plausible wrong answer, what the check must say of it
    *[("log_normal", f"def log_normal(mu, logvar, x):\n s = (x - mu)**2; c = np.log(2 * np.pi)\n return {value}", said)
      for value, said in (
        ("-0.5 * (logvar + s * np.exp(-logvar)).sum(axis=1)", "log 2π is missing"),
        ("-0.5 * (c + s * np.exp(-logvar)).sum(axis=1)", "log σ² is missing"),
        ("-0.5 * (c + logvar + s / logvar).sum(axis=1)", "not by logvar"),
        ("-0.5 * (c + 2 * logvar + s * np.exp(-2 * logvar)).sum(axis=1)", "not log σ"),
        ("-(c + logvar + s * np.exp(-logvar)).sum(axis=1)", "the factor ½"),
        ("0.5 * (c + logvar + s * np.exp(-logvar)).sum(axis=1)", "the sign"),
        ("-0.5 * (c + logvar + s * np.exp(-logvar)).mean(axis=1)", "not averaged"),
        ("-0.5 * (c + logvar + s * np.exp(-logvar))", "shape (6,), not an array of shape (6, 4)"),
        ("-0.5 * (c + logvar + s * np.exp(-logvar)).sum()", "not one number"),
        ("(c + logvar + s).sum(axis=1)", "one by one"))],
    *[("log_sigmoid", f"def log_sigmoid(l): return {value}", said) for value, said in (
        ("np.log(1 / (1 + np.exp(-l)))", "overflows"), ("-np.log1p(np.exp(-l))", "overflows"),
        ("np.log(1 / (1 + np.exp(-l)) + 1e-10)", "added inside the"), ("-np.log1p(np.exp(-np.clip(l, -50, 50)))", "clipped"),
        ("np.minimum(l, 0) - np.log(1 + np.exp(-np.abs(l)))", "loses digits"),
        ("-np.minimum(l, 0) + np.log1p(np.exp(-np.abs(l)))", "the sign"),
        ("np.minimum(-l, 0) - np.log1p(np.exp(-np.abs(l)))", "the other way round"),
        ("1 / (1 + np.exp(-l))", "-log 2"))],
    *[("linear", f"def linear(W, b, x): return {value}", said) for value, said in (
        ("x @ W + b", "the pullback is missing"), ("x @ W + b, lambda dy: x.T @ dy", "3 gradients, not an array"),
        ("x @ W, lambda dy: (x.T @ dy, dy.sum(0, keepdims=True), dy @ W.T)", "b is missing"),
        ("x @ W + b, lambda dy: (x.T @ dy / len(x), dy.sum(0, keepdims=True), dy @ W.T)", "dW is a mean"),
        ("x @ W + b, lambda dy: (-x.T @ dy, dy.sum(0, keepdims=True), dy @ W.T)", "dW has the wrong sign"),
        ("x @ W + b, lambda dy: (dy.T @ x, dy.sum(0, keepdims=True), dy @ W.T)", "dW is transposed"),
        ("x @ W + b, lambda dy: (x.T @ dy, dy.sum(0), dy @ W.T)", "db must be an array of shape (1, 3)"),
        ("x @ W + b, lambda dy: (x.T @ dy, dy.sum(0, keepdims=True), dy @ W)", "transposed W"),
        ("x @ W + b, lambda dy: (dy @ W.T, dy.sum(0, keepdims=True), x.T @ dy)", "dW must be an array of shape (3, 3)"),
        ("x @ W + b, lambda dy: None", "returns nothing"))],
    *[("rectify", f"def rectify(a): return {value}", said) for value, said in (
        ("np.maximum(a, 0)", "the pullback is missing"), ("np.maximum(a, 0), lambda dh: dh", "the mask is missing"),
        ("np.maximum(a, 0), lambda dh: 1.0 * (a > 0)", "slope alone"), ("np.abs(a), lambda dh: dh", "not their size"),
        ("np.maximum(a, 0), lambda dh: dh * np.maximum(a, 0)", "not h"),
        ("np.maximum(a, 0), lambda dh: -dh * (a > 0)", "wrong sign"))],
    *[("sample_z", f"def sample_z(mu, logvar, eps):\n s = np.exp(logvar / 2)\n return {value}", said) for value, said in (
        ("mu + s * eps", "the pullback is missing"), ("mu + s**2 * eps, lambda dz: (dz, dz)", "not by σ: logvar"),
        ("mu + s * eps, lambda dz: (dz, dz * s * eps)", "a factor 2"), ("mu + s * eps, lambda dz: (dz, dz * eps)", "by σ"),
        ("mu + s * eps, lambda dz: (0.5 * dz * s * eps, dz)", "other order"),
        ("mu + s * eps, lambda dz: (dz, 0.5 * s * eps)", "multiplies it by dz"),
        ("mu + s * eps, lambda dz: dz", "2 gradients"),
        ("mu + s * eps, lambda dz: (dz, (0.5 * dz * s * eps).sum())", "not one number"))],
    *[("divergence", f"def divergence(m, l, m0, l0):\n s = (m - m0)**2\n return {value}", said) for value, said in (
        ("(l0 - l + np.exp(l - l0) + s * np.exp(-l0) - 1).sum(axis=1)", "the factor ½"),
        ("0.5 * (l0 - l + np.exp(l - l0) + s * np.exp(-l0)).sum(axis=1)", "−1 is missing"),
        ("0.5 * (l - l0 + np.exp(l0 - l) + s * np.exp(-l) - 1).sum(axis=1)", "changed places"),
        ("0.5 * (l0 - l + np.exp(l - l0) + s * np.exp(-l0) - 1).mean(axis=1)", "not averaged"),
        ("0.5 * (l0 - l + np.exp(l - l0) - 1).sum(axis=1)", "(μ − μ0)² is missing"),
        ("0.5 * (l0 - l + np.exp(l - l0) + s * np.exp(-l) - 1).sum(axis=1)", "that of p"))],
    *[("label_term", "def label_term(layers, x, y):\n log_q, back = log_q_y(layers, x)\n"
                     f" log_q_at, at_back = at(log_q, y)\n return {value}", said) for value, said in (
        ("log_q_at.mean()", "two things"), ("log_q_at.sum(), back(at_back(np.ones(len(y))))[0]", "not the sum"),
        ("log_q_at.mean(), back(at_back(np.full(len(y), 1 / len(y))))", "a list of 4"),
        ("log_q_at.mean(), back(at_back(np.ones(len(y))))[0]", "begin the way down with 1/N"),
        ("log_q_at, back(at_back(np.ones(len(y))))[0]", "must be one number"))],
    *[("adam_step", "def adam_step(m, v, t, g, rate):\n m = .9 * m + .1 * g; v = .999 * v + .001 * g**2\n"
                    f" M, V = m / (1 - .9**t), v / (1 - .999**t)\n return {value}", said) for value, said in (
        ("m, v, rate * m / (np.sqrt(v) + 1e-8)", "divide them by"), ("m, v, -rate * M / (np.sqrt(V) + 1e-8)", "the sign"),
        ("m, v, rate * M / (V + 1e-8)", "is its root"), ("m, v, rate * M / (np.sqrt(v) + 1e-8)", "v starts at 0 as well"),
        ("m, v, rate * g / (np.sqrt(V) + 1e-8)", "not along g itself"),
        ("m, v, M / (np.sqrt(V) + 1e-8)", "learning rate is missing"), ("rate * M / (np.sqrt(V) + 1e-8)", "three arrays"),
        ("M, V, rate * M / (np.sqrt(V) + 1e-8)", "only m̂ is divided"))],
    *[("q_z", "def q_z(encoder, x):\n h, back = layers.mlp(encoder, x); Z = h.shape[1] // 2\n"
              f" return {value}", said) for value, said in (
        ("h, lambda d: back(np.concatenate(d, 1))[0]", "a pair"), ("(h[:, :Z], h[:, Z:])", "must be its pullback"),
        ("(h[:, Z:], h[:, :Z]), lambda d: back(np.concatenate(d, 1))[0]", "first half"),
        ("(h[:, :Z], np.exp(h[:, Z:])), lambda d: back(np.concatenate(d, 1))[0]", "without an exponential"),
        ("(h[:, :Z], h[:, Z:]), lambda d: back(np.concatenate(d, 1))", "the list first"))],
    *[("bound_of", "def bound_of(logits, mu, logvar, x):\n p, p_back = distributions.bernoulli(logits, x=x)\n"
                   f" kl, kl_back = distributions.standard_gaussian_kl(mu, logvar)\n return {value}", said)
      for value, said in (
        ("p + kl, lambda d: (p_back(d), *kl_back(d))", "not rewarded"), ("p, lambda d: (p_back(d), *kl_back(d))", "the KL is missing"),
        ("p - kl", "the pullback is missing"), ("p - kl, lambda d: (p_back(d), *kl_back(d))", "gets −dL"),
        ("p - kl, lambda d: (p_back(d), kl_back(-d))", "3 gradients"), ("(p - kl).mean(), lambda d: d", "not one number"))],
    *[("one_epoch", "def one_epoch(vae, layout, theta, adam, grey, rng):\n bounds = []\n"
                    f" for rows in np.array_split(rng.permutation({n}), {parts}):\n  x = 1.0 * (rng.random((len(rows), 2)) < {grey})\n"
                    f"  L, pullback = vae(layout.views(theta), x, rng.{eps}((len(rows), 2)))\n"
                    f"  adam.ascend(theta, layout.flatten(pullback({d}), theta), 2e-3)\n  bounds.append(L.mean())\n return {value}",
       said) for n, parts, grey, eps, d, value, said in (
        (100, 1, "grey[rows]", "standard_normal", "np.full(len(x), 1 / len(x))", "np.mean(bounds)", "of 250 images 100"),
        (250, 1, "grey[rows]", "standard_normal", "np.full(len(x), 1 / len(x))", "np.mean(bounds)", "about 100 images"),
        (250, 2, "0.5", "standard_normal", "np.full(len(x), 1 / len(x))", "np.mean(bounds)", "its grey value"),
        (250, 2, "grey[rows]", "random", "np.full(len(x), 1 / len(x))", "np.mean(bounds)", "N(0, I)"),
        (250, 2, "grey[rows]", "standard_normal", "np.ones(len(x))", "np.mean(bounds)", "1/N"),
        (250, 2, "grey[rows]", "standard_normal", "-np.full(len(x), 1 / len(x))", "np.mean(bounds)", "uphill"),
        (250, 2, "grey[rows]", "standard_normal", "np.full(len(x), 1 / len(x))", "bounds", "one number"))],
    *[("bound_without_label", f"def bound_without_label(log_q, L_xy): q = np.exp(log_q); return {value}", said)
      for value, said in (
        ("(q * L_xy).sum(axis=1)", "the entropy is missing"),
        ("(q * (L_xy + log_q)).sum(axis=1)", "the sign of the entropy"),
        ("(q * (L_xy - log_q)).mean(axis=1)", "by a factor K"), ("L_xy.mean(axis=1)", "not equally"),
        ("(log_q * L_xy - q * log_q).sum(axis=1)", "the weight is q, not log q"),
        ("(q * (L_xy - log_q)).sum()", "not one number"), ("L_xy.max(axis=1)", "what is in the brackets"))],
    *[("best_log_q", f"def best_log_q(L_xy): return {value}", said) for value, said in (
        ("L_xy - np.log(np.exp(L_xy).sum(axis=1, keepdims=True))", "-2000 nats"), ("L_xy", "the c of each image"),
        ("distributions.log_softmax(L_xy)", "[0] takes the first"), ("np.exp(distributions.log_softmax(L_xy)[0])", "its logarithm"),
        ("L_xy - L_xy.max(axis=1, keepdims=True)", "not the largest"))],
    *[("information", "def information(q):\n def H(q): return -(q * np.log(np.where(q > 0, q, 1))).sum(axis=-1)\n"
                      f" of_mean, h = H(q.mean(axis=0)), H(q)\n return {value}", said) for value, said in (
        ("h.mean() - of_mean", "the sign"), ("of_mean", "H(mean q) alone"), ("h.mean()", "alone: it is 0"),
        ("-h.mean()", "the mean answer is missing"), ("of_mean - h.sum()", "averaged, not summed"),
        ("(of_mean - h.mean()) / np.log(2)", "bits"), ("of_mean - h", "must be one number"),
        ("of_mean + (q * np.log(q)).sum(axis=1).mean()", "where q is 0 or 1"))],
    *[("share_of_y", f"def share_of_y(drawn): return {value}", said) for value, said in (
        ("drawn.std(axis=0).mean() / drawn.std()", "axis 0 is z"), ("drawn.std(axis=1).mean()", "over everything"),
        ("drawn.var(axis=1).mean() / drawn.var()", "not variances"), ("drawn.std(axis=1) / drawn.std()", "one number"))],
    *[("log_p_z", "def log_p_z(mu, logvar, z):\n s = (z[:, None, :] - mu)**2; c = np.log(2 * np.pi)\n"
                  f" return {value}", said) for value, said in (
        ("-0.5 * (c + s * np.exp(-logvar)).sum(axis=-1)", "log σ² is missing"),
        ("-0.5 * (logvar + s * np.exp(-logvar)).sum(axis=-1)", "log 2π is missing"),
        ("-0.5 * (c + logvar + s * np.exp(-logvar)).sum(axis=-1).T", "shape (6, 4), not an array of shape (4, 6)"),
        ("-0.5 * (c + logvar + s * np.exp(-logvar))", "shape (6, 4), not an array"))],
    *[("kl_given_y", "def kl_given_y(m, l, mu_y, logvar_y, y):\n m0, l0 = mu_y[y], logvar_y[y]\n"
                     f" return {value}", said) for value, said in (
        ("0.5 * (np.exp(l) + m**2 - 1 - l).sum(axis=-1)", "M2's KL"),
        ("0.5 * (l - l0 + np.exp(l0 - l) + (m - m0)**2 * np.exp(-l) - 1).sum(axis=-1)", "changed places"),
        ("0.5 * (l0 - l + np.exp(l - l0) + m**2 * np.exp(-l0) - 1).sum(axis=-1)", "μ(y) is missing"),
        ("0.5 * (l0 - l + np.exp(l - l0) + (m - m0)**2 * np.exp(-l0) - 1)", "shape (6,)"))],
    *[("class_of_z", "def class_of_z(log_p, prior):\n def normal(l): return l - logsumexp(l, axis=1, keepdims=True)\n"
                     f" return {value}", said) for value, said in (
        ("normal(log_p)", "p(y) is missing"), ("log_p + np.log(prior)", "Divide by the sum"),
        ("normal(log_p + prior)", "its logarithm belongs there"),
        ("np.exp(normal(log_p + np.log(prior)))", "its logarithm is asked for"),
        ("(log_p + np.log(prior)).argmax(axis=1)", "shape (6, 4)"),
        ("np.log(np.exp(log_p) * prior / (np.exp(log_p) * prior).sum(axis=1, keepdims=True))", "e^-2000 is 0"))],
    *[("name_slots", f"def name_slots(counts): return {value}", said) for value, said in (
        ("counts.argmax(axis=0)", "The argmax of nothing"), ("counts.argmax(axis=1)", "shape (5,)"),
        ("counts.max(axis=0)", "how many images"), ("evaluation.one_to_one_map(counts)", "share a name"))],
    *[("train_map_accuracy", "def train_map_accuracy(slots_train, y_train, slots_test, y_test, K):\n"
             " train = evaluation.contingency(slots_train, y_train, K, 3)\n"
             " test = evaluation.contingency(slots_test, y_test, K, 3)\n names = evaluation.majority_map(train)\n"
             f" return {value}", said) for value, said in (
        ("(train.argmax(axis=0)[slots_test] == y_test).mean()", "argmax of nothing is class 0"),
        ("(evaluation.majority_map(test)[slots_test] == y_test).mean()", "trap 2"),
        ("(names[slots_train] == y_train).mean()", "the training images are scored"),
        ("(names[slots_test] == y_test)[names[slots_test] >= 0].mean()", "not absent"),
        ("names[slots_test] == y_test", "one number"),
        ("evaluation.one_to_one_accuracy(test)", "one-to-one"), ("0.123", "Count the training images"))],
    *[("balance_of", f"def balance_of(q, prior):\n mean = q.mean(axis=0)\n return {value}", said) for value, said in (
        ("(q * np.log(q / prior)).sum(axis=1).mean()", "I(x;y)"),
        ("(prior * np.log(prior / mean)).sum()", "changed places"),
        ("-(mean * np.log(mean / prior)).sum()", "the sign"),
        ("(mean * np.log(mean)).sum()", "p(y) is missing"), ("-(mean * np.log(mean)).sum()", "p(y) is missing"),
        ("-(mean * np.log(prior)).sum()", "cross-entropy"), ("np.log(mean / prior).sum()", "the weight of each"),
        ("(mean * np.log(mean / prior)).mean()", "not averaged"),
        ("(len(q) * mean * np.log(len(q) * mean / prior)).sum()", "no distribution"),
        ("(mean * np.log2(mean / prior)).sum()", "bits"), ("mean * np.log(mean / prior)", "one number"),
        ("0.123", "the mean answer"))],
    *[("next_pair", "def next_pair(P, known):\n K, d = len(P), np.diag(P)\n c = P / np.sqrt(np.outer(d, d))\n"
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
        ("c[:known, :known] = 0", "j, k", "shape (3,)"),
        ("c[:known, :known] = 0", "j, k, 0.123", "the largest allowed"))],
    ("softplus", "def softplus(l): return np.maximum(l, 0) + np.log1p(np.exp(-np.abs(l)))", "under array_api_strict"),
    ("softplus", "def softplus(l): return namespace(l).log1p(namespace(l).exp(l))", "at the ends"),
    ("softplus", "def softplus(l): return namespace(l).exp(l)", "under NumPy already"),
    ("softplus", "def softplus(l):\n xp = namespace(l)\n return xp.maximum(l, 0 * l) + xp.log1p(xp.exp(-xp.abs(l))) * np.float64(1)",
     "float64 came out"),
    ("softplus", "def softplus(l):\n xp = namespace(l); out = xp.zeros_like(l)\n"
           " out[...] = xp.maximum(l, 0 * l) + xp.log1p(xp.exp(-xp.abs(l)))\n return out", "under autograd"),
    *[("bias_gradient", f"def bias_gradient(dy): return {value}", said) for value, said in (
        ("dy.sum(axis=0, keepdims=True)", "for two runs at once"), ("dy.sum(axis=-2)", "for one run the value must be an array of shape (1, 3)"),
        ("dy.mean(axis=-2, keepdims=True)", "not averaged"))],
    *[("log_mean", f"def log_mean(log_w): return {value}", said) for value, said in (
        ("log_w.mean(axis=0)", "the bound"), ("np.log(np.exp(log_w).mean(axis=0))", "-2000 nats"),
        ("np.logaddexp.reduce(log_w, axis=0)", "divides by S"), ("np.exp(log_w).mean(axis=0)", "its logarithm is asked for"),
        ("np.log(np.exp(log_w).mean(axis=1))", "shape (5,)"), ("log_w.max(axis=0)", "the largest"))],
    *[("ranks_higher", f"def ranks_higher(known, other): return {value}", said) for value, said in (
        ("(known[:, None] < other).mean()", "the other way round"), ("(known[:, None] > other).sum()", "not their number"),
        ("(known > np.median(other)).mean()", "one threshold"), ("(known[:, None] > other).mean()", "counts half"),
        ("known[:, None] > other", "one number"), ("0.123", "in which share"))],
]


@pytest.mark.parametrize("name, text, said", WRONG, ids=[f"{name}-{said}" for name, _, said in WRONG])
def test_a_wrong_answer_is_told_why(name, text, said, capsys):
    found, used = verdict(name, written(name, text), capsys)
    assert found.startswith("Wrong: ") and used is getattr(checks, name).ours
    assert said.lower() in found.lower(), found
