"""Can a wrong gradient pass?  python -m tests.mutations

In every `pullback` of the package, one sign after another is flipped: each + to − and back, each
− removed, each returned gradient negated.  For each flip the gradient tests run on a copy of the
package; a flip that no test notices is printed as SURVIVED, and the exit code is then 1.
"""

import ast
import copy
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = ("layers", "distributions", "models", "invariance", "objectives")
TESTS = ("tests/test_gradients.py", "tests/test_objective.py")


def negated(node):
    return ast.UnaryOp(ast.USub(), node)


def sites(tree):
    """(owner, field, index, replacement) of every sign in every pullback of a module."""
    for function in ast.walk(tree):
        if not (isinstance(function, ast.FunctionDef) and function.name == "pullback"):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
                yield node, "op", None, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            for field, value in ast.iter_fields(node):
                for i, part in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub) \
                            and not isinstance(part.operand, ast.Constant):
                        yield node, field, i if isinstance(value, list) else None, part.operand
            if isinstance(node, ast.Return):
                if isinstance(node.value, ast.Tuple):
                    for i, element in enumerate(node.value.elts):
                        if isinstance(element, (ast.Name, ast.BinOp, ast.Call)):
                            yield node.value, "elts", i, negated(element)
                elif isinstance(node.value, ast.BinOp):
                    yield node, "value", None, negated(node.value)


def mutants():
    """(module, line, the flipped line, whole source) of every flip."""
    for module in MODULES:
        source = (ROOT / "microgmdgm" / f"{module}.py").read_text()
        for number in range(len(list(sites(ast.parse(source))))):
            tree = ast.parse(source)
            owner, field, index, replacement = list(sites(tree))[number]
            line = owner.lineno
            replacement = copy.deepcopy(replacement)
            if index is None:
                setattr(owner, field, replacement)
            else:
                getattr(owner, field)[index] = replacement
            yield module, line, ast.unparse(owner), ast.unparse(ast.fix_missing_locations(tree))


def survives(mutant):
    """Whether the gradient tests pass although one sign is wrong."""
    module, _, _, source = mutant
    with tempfile.TemporaryDirectory() as folder:
        for part in ("microgmdgm", "tests"):
            shutil.copytree(ROOT / part, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / "microgmdgm" / f"{module}.py").write_text(source)
        done = subprocess.run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS],
                              cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests could not run on a flip in {module}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def main():
    every = list(mutants())
    survivors = 0
    with ThreadPoolExecutor(2) as pool:
        for (module, line, code, _), alive in zip(every, pool.map(survives, every)):
            survivors += alive
            verdict = "SURVIVED" if alive else "found"
            print(f"{verdict:<9} {module}.py:{line:<4} {code.splitlines()[0][:90]}", flush=True)
    print(f"{len(every)} flipped signs, {len(every) - survivors} found, {survivors} survived")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
