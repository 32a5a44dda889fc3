"""Is a pullback right?  Every gradient is compared, in float64, with HIPS autograd on the same
forward code (where it is installed) and with central differences.

    >>> from microgmdgm import check_pullback, layers
    >>> check_pullback(layers.dense, W, b, x)

prints a table.  Agreement proves the derivative, not the formula: the identities in tests/
check the formulas.
"""

import inspect
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

STEP = 1e-5        # of a central difference; its relative error is about STEP² + 1e-16 / STEP
ELEMENTS = 40      # of a large argument, checked by differences one by one
TOLERANCE = {"autograd": 1e-9, "differences": 1e-6}


class Check(NamedTuple):
    """One row of the table: relative is the largest difference over the largest gradient."""
    name: str
    against: str
    absolute: float
    relative: float
    ok: bool


def check_pullback(function, *arguments, seed=0, verbose=True, **constants):
    """Compare function(*arguments, **constants) -> (value, pullback) with autograd and with
    central differences, for every argument.     -> [Check, …], and the table is printed

    Arguments and value are arrays, or lists, tuples or dicts of them; pass integer arrays and anything
    else that needs no gradient by name, as constants.  A gradient of None is not checked.
    Raises ValueError if the pullback's gradients do not match the arguments."""
    rng = np.random.default_rng(seed)
    arguments = _mapped(lambda a: np.asarray(a, dtype=np.float64), list(arguments))
    value, pullback = function(*arguments, **constants)
    dvalue = _mapped(lambda v: rng.standard_normal(np.shape(v)), value)
    grads = pullback(dvalue)
    checked = list(_aligned(arguments, list(grads) if isinstance(grads, tuple) else [grads], _names(function)))
    leaves = [leaf for _, leaf, _ in checked]

    def scalar(leaves):
        """⟨dvalue, value⟩, whose gradient the pullback of dvalue must be."""
        value, _ = function(*_rebuilt(arguments, iter(leaves)), **constants)
        return sum((d * v).sum() for d, v in zip(_leaves(dvalue), _leaves(value)))

    rows, oracle = [], _autograd(scalar, leaves)
    for i, (name, leaf, ours) in enumerate(checked):
        if ours is None:
            continue
        if np.shape(ours) != leaf.shape:
            raise ValueError(f"the gradient of {name} must have its shape {leaf.shape}, not {np.shape(ours)}")
        if oracle is not None:
            rows.append(_compared(name, "autograd", ours, oracle[i]))
        rows.append(_compared(name, "differences", *_differences(scalar, leaves, i, ours, rng)))
    if verbose:
        print(f"{'gradient of':<24} {'against':<12} {'largest difference':>18} {'relative':>10}")
        for row in rows:
            print(f"{row.name:<24} {row.against:<12} {row.absolute:>18.1e} {row.relative:>10.1e}"
                  f"  {'ok' if row.ok else 'WRONG'}")
    return rows


def _compared(name, against, ours, theirs):
    absolute = float(np.max(np.abs(ours - theirs), initial=0.0))
    relative = absolute / max(float(np.max(np.abs(theirs), initial=0.0)), 1e-12)
    return Check(name, against, absolute, relative, bool(relative < TOLERANCE[against] or absolute < 1e-11))


def _differences(scalar, leaves, i, ours, rng):
    """(our derivative, central difference) along some elements of leaf i and along one direction of all."""
    leaf = leaves[i]
    directions = [rng.standard_normal(leaf.shape)]
    for j in rng.permutation(leaf.size)[:ELEMENTS]:
        directions.append(np.zeros(leaf.shape))
        directions[-1].flat[j] = 1.0
    expected = []
    for direction in directions:
        ahead, behind = (scalar(leaves[:i] + [leaf + s * direction] + leaves[i + 1:]) for s in (STEP, -STEP))
        expected.append((ahead - behind) / (2 * STEP))
    return np.array([np.sum(ours * d) for d in directions]), np.array(expected)


def _autograd(scalar, leaves):
    """The gradient of scalar with respect to each leaf by HIPS autograd, or None without it."""
    if find_spec("autograd") is None:
        return None
    import autograd
    from autograd.core import primitive_vjps
    from autograd.extend import defvjp
    from autograd.numpy import numpy_wrapper as anp  # the namespace of a traced array
    anp.concat = anp.concatenate  # the same function, but only this name of it is traced
    if anp.take not in primitive_vjps:  # autograd has no derivative of take
        def take_vjp(ans, a, indices, axis=None):
            def vjp(g):
                total = np.zeros(a.shape)
                np.add.at(total, indices, g)  # axis 0, or a vector
                return total
            return vjp
        defvjp(anp.take, take_vjp)
    ends = np.cumsum([leaf.size for leaf in leaves])

    def flat_scalar(flat):
        return scalar([anp.reshape(flat[end - leaf.size:end], leaf.shape) for end, leaf in zip(ends, leaves)])
    gradient = autograd.grad(flat_scalar)(np.concatenate([leaf.ravel() for leaf in leaves]))
    return [gradient[end - leaf.size:end].reshape(leaf.shape) for end, leaf in zip(ends, leaves)]


def _leaves(tree):
    """The arrays in nested lists, tuples and dicts, in their order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for branch in tree for leaf in _leaves(branch)] if isinstance(tree, (list, tuple)) else [tree]


def _rebuilt(tree, leaves):
    """The same nesting with other leaves."""
    if isinstance(tree, dict):
        return {key: _rebuilt(branch, leaves) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_rebuilt(branch, leaves) for branch in tree)
    return next(leaves)


def _mapped(f, tree):
    return _rebuilt(tree, iter([f(leaf) for leaf in _leaves(tree)]))


def _aligned(tree, grads, names):
    """(name, leaf, gradient) of each leaf; None, or a missing key, stands for a whole branch."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from _aligned(branch, None if grads is None else grads.get(key), f"{names}[{key}]")
    elif isinstance(tree, (list, tuple)):
        if grads is not None and not (isinstance(grads, (list, tuple)) and len(grads) == len(tree)):
            raise ValueError(f"the pullback must return {len(tree)} gradients, one for each argument, not "
                             f"{len(grads) if isinstance(grads, (list, tuple)) else 'one array'}")
        for i, branch in enumerate(tree):
            name = names(i) if callable(names) else f"{names}[{i}]"
            yield from _aligned(branch, None if grads is None else grads[i], name)
    else:
        yield names, tree, grads


def _names(function):
    """The name of the i-th argument."""
    parameters = list(inspect.signature(function).parameters)
    return lambda i: parameters[i] if i < len(parameters) else f"argument {i}"
