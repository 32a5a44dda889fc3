"""The exercises' checks, each under the name of what the student writes.

    rectify = checks.rectify(rectify)

prints one sentence and gives back the function to go on with: the student's if it is right, ours if it is not.  No
answer stops the notebook: whatever is wrong with it becomes a sentence that says what was expected.  The tests of the
assignments take the answers through `answered` and what follows it, for the same reason.
"""

import traceback
from functools import partial, wraps
from types import FunctionType
from unittest.mock import patch

import numpy as np
from microgmdgm import check_pullback, distributions, evaluation, generative, layers, models, slots
from microgmdgm.adam import BETA1, BETA2, EPSILON, Adam
from microgmdgm.backend import namespace
from microgmdgm.parameters import Layout

GOES_ON = "The lesson goes on with ours."


class Wrong(AssertionError):
    """A sentence that tells a student what was expected and what came."""


class Unanswered(Exception):
    """Nothing has been written yet."""


def exercise(ours):
    """The check of an exercise, of a function that judges an answer: it raises Wrong or returns why it is right."""
    def of(judge):
        @wraps(judge)
        def check(answer):
            try:
                if answer is ours:
                    raise Unanswered
                with np.errstate(all="ignore"):
                    why = judge(partial(called, answer, judge.__name__))
            except Unanswered:
                print(f"Not answered yet: {judge.__name__} returns nothing. Write it in the cell above and run both "
                      f"cells. {GOES_ON}")
            except Wrong as wrong:
                print(f"Wrong: {wrong} {GOES_ON}")
            except Exception as error:  # such as an object whose own arithmetic fails
                print(f"Wrong: {judge.__name__} returns what cannot be compared with numbers ({error}). {GOES_ON}")
            else:
                print(f"Right: {why}")
                return answer
            return ours
        check.ours = ours
        return check
    return of


def called(answer, name, *arguments, **named):
    """answer(*arguments).  Raises Wrong where that stops, Unanswered where nothing comes back."""
    if answer is None:
        raise Unanswered
    if not callable(answer):
        raise Wrong(f"{name} must be a function, not {kind(answer)}.")
    try:
        found = answer(*arguments, **named)
    except Wrong:
        raise
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)[1:]]
        where = f" in line {lines[0]} of its cell" if lines else ", when it was called with the arguments of the text"
        raise Wrong(f"{name} stops{where}: {type(error).__name__}: {error}.") from None
    if found is None:
        raise Unanswered
    return found


def kind(found):
    """What something is, in words."""
    if isinstance(found, np.ndarray):
        return f"an array of shape {found.shape}"
    if isinstance(found, (tuple, list)):
        return f"a {type(found).__name__} of {len(found)}"
    name = type(found).__name__
    return "a function" if callable(found) else "None" if found is None else f"a{'n' * (name[0] in 'aeiou')} {name}"


def array(found, shape, what="the value"):
    """found as an array of that shape, in which None stands for any length, without NaN.  Raises Wrong."""
    expected = "one number" if shape == () else f"an array of shape {shape}".replace("None", "…")
    if isinstance(found, (tuple, list)) and any(callable(part) for part in found):
        raise Wrong(f"{what} must be {expected}, not a value with its pullback: functions of the package return both, "
                    "and [0] takes the first.")
    if found is None or callable(found) or isinstance(found, (str, bytes, dict, set)):
        raise Wrong(f"{what} must be {expected}, not {kind(found)}.")
    try:
        numbers = np.asarray(found)
        numbers = numbers if numbers.dtype.kind in "biuf" else numbers.astype(float, casting="safe")
    except Exception:  # not only TypeError and ValueError: an object may raise what it likes
        raise Wrong(f"{what} must be {expected}, not {kind(found)}.") from None
    if len(numbers.shape) != len(shape) or not all(n in (None, m) and m for n, m in zip(shape, numbers.shape)):
        came = f"an array of shape {numbers.shape}" if numbers.shape else "one number"
        raise Wrong(f"{what} must be {expected}, not {came}.")
    if np.isnan(numbers).any():
        raise Wrong(f"{what} holds NaN, which is no number.")
    return numbers


def value_and_pullback(found, name="the function"):
    """The two things that a differentiable function returns.  Raises Wrong."""
    if not isinstance(found, (tuple, list)):
        missing = "the value" if callable(found) else "the pullback"
        raise Wrong(f"{name} must return two things, the value and its pullback, not {kind(found)} alone: {missing} is "
                    "missing.")
    if len(found) != 2:
        raise Wrong(f"{name} must return two things, the value and its pullback, not {len(found)}.")
    if not callable(found[1]):
        raise Wrong(f"the second thing that {name} returns must be its pullback, a function, not {kind(found[1])}: "
                    "return it without calling it.")
    return found


def gradients(pullback, d, expected):
    """What a pullback gives for d, as arrays.     expected {name: shape}, in order -> [array, …].  Raises Wrong."""
    try:
        found = called(pullback, "the pullback", d)
    except Unanswered:
        raise Wrong("the pullback returns nothing.") from None
    if len(expected) == 1 and not isinstance(found, (tuple, list)):
        found = [found]
    return arrays(found, expected, "the pullback", "gradient")


def arrays(found, expected, whose, what="array"):
    """The several arrays that a function returns.     expected {name: shape}, in order.  Raises Wrong."""
    if not isinstance(found, (tuple, list)) or len(found) != len(expected):
        raise Wrong(f"{whose} must return {' and '.join(expected)}: {len(expected)} "
                    f"{what}{'s' if len(expected) > 1 else ''}, not {kind(found)}.")
    return [array(part, shape, name) for part, (name, shape) in zip(found, expected.items())]


def entries(found, names, what):
    """The numbers of a dictionary under these names.     -> {name: number}.  Raises Wrong."""
    if not isinstance(found, dict):
        raise Wrong(f"{what} must be a dictionary, not {kind(found)}.")
    for name in names:
        if name not in found:
            raise Wrong(f"{what} must have an entry {name!r}.")
    return {name: array(found[name], (), f"the entry {name!r} of {what}") for name in names}


def answered(function, *arguments, **constants):
    """What a function of an assignment returns.  Raises Wrong."""
    if not callable(function):
        raise Wrong(f"a function is asked for, not {kind(function)}.")
    name = getattr(function, "__name__", "the function")
    try:
        return called(function, name, *arguments, **constants)
    except Unanswered:
        raise Wrong(f"{name} returns nothing.") from None


def both(function, *arguments, **constants):
    """The value and the pullback that a function of an assignment returns.  Raises Wrong."""
    name = getattr(function, "__name__", "the function")
    value, pullback = value_and_pullback(answered(function, *arguments, **constants), name)
    if isinstance(value, (tuple, list)) and any(callable(part) for part in value):
        raise Wrong(f"the value of {name} is itself a value with its pullback: [0] takes the first of the two.")
    return value, pullback


def compared(function, *arguments, **constants):
    """The rows of `check_pullback`, not printed.  Raises Wrong where there is nothing to compare."""
    both(function, *arguments, **constants)
    try:
        return check_pullback(function, *arguments, verbose=False, **constants)
    except (Exception, SystemExit) as error:
        raise Wrong(f"its pullback cannot be checked: {str(error).rstrip('.')}.") from None


def given(function, **parts):
    """For as long as it is entered, function finds these under their names, in place of what the student wrote."""
    return patch.dict(function.__globals__ if isinstance(function, FunctionType) else {}, parts)


def close(found, right, **tolerance):
    """Whether found is right to rounding; not, if it has another shape or is no array of numbers."""
    try:
        return bool(np.allclose(found, right, **tolerance))
    except Exception:  # an object may raise what it likes
        return False


def told(found, right, slips, otherwise, **tolerance):
    """Nothing where found is right.  Raises Wrong with the sentence of the slip that it is, or else the other one."""
    if np.shape(found) == np.shape(right) and np.allclose(found, right, **tolerance):
        return
    for value, sentence in slips:
        if np.shape(found) == np.shape(value) and np.allclose(found, value, **tolerance):
            raise Wrong(sentence)
    raise Wrong(otherwise)


# Lesson 1

@exercise(lambda mu, logvar, x: distributions.gaussian(mu, logvar, x=x)[0])
def log_normal(answer):
    mu, logvar, x = np.random.default_rng(1).standard_normal((3, 6, 4))
    found, squares = array(answer(mu, logvar, x), (6,)), (x - mu)**2
    of = lambda *terms: -0.5 * sum(terms).sum(axis=1)  # noqa: E731
    log_2pi = np.log(2 * np.pi) + 0 * mu
    told(found, of(log_2pi, logvar, squares * np.exp(-logvar)), [
        (of(logvar, squares * np.exp(-logvar)), "log 2π is missing."),
        (of(log_2pi, squares * np.exp(-logvar)), "log σ² is missing: a wide Gaussian is lower everywhere."),
        (of(log_2pi, logvar, squares / logvar), "(x − μ)² is divided by σ², which is e^logvar, and not by logvar."),
        (of(log_2pi, logvar, squares * np.exp(logvar)), "(x − μ)² is divided by σ², and not multiplied by it."),
        (of(log_2pi, 2 * logvar, squares * np.exp(-2 * logvar)), "logvar is log σ², not log σ."),
        (2 * of(log_2pi, logvar, squares * np.exp(-logvar)), "the factor ½ is missing."),
        (-of(log_2pi, logvar, squares * np.exp(-logvar)), "the sign: far from μ the density is low."),
        (np.exp(of(log_2pi, logvar, squares * np.exp(-logvar))), "this is the density; its logarithm is asked for."),
        (of(log_2pi, logvar, squares * np.exp(-logvar)) / 4, "the dimensions are summed, not averaged.")],
        "compare the three terms in the brackets one by one with those of the table.")
    return "the sum over d of three terms, and no exponential that can overflow but 1/σ²."


@exercise(lambda l: np.minimum(l, 0) - np.log1p(np.exp(-np.abs(l))))
def log_sigmoid(answer):
    l = np.float32([-200, -5, 0, 5, 12, 200])
    right, found = np.minimum(l, 0) - np.log1p(np.exp(-np.abs(l.astype(float)))), array(answer(l), (6,))
    if np.allclose(found[1:4], right[3:0:-1], rtol=1e-3):
        raise Wrong("this is log p(x = 0). The sign of l is the other way round.")
    if np.allclose(found[1:4], -right[1:4], rtol=1e-3):
        raise Wrong("the sign. A log-probability is never above 0.")
    if not np.allclose(found[1:4], right[1:4], rtol=1e-3):
        raise Wrong(f"at l = 0 it must be -log 2 = -0.693, not {found[2]:.3f}; it is not only at the ends.")
    if not np.isfinite(found[0]):
        raise Wrong("at l = -200 it must be -200. e^200 overflows: write it with e^-|l|.")
    if found[0] > -199:
        raise Wrong(f"at l = -200 it must be -200, not {found[0]:.1f}. Something is clipped or added inside the "
                    "logarithm.")
    if not np.allclose(found, right, rtol=1e-4, atol=1e-30):
        raise Wrong(f"at l = 12 it must be {right[4]:.2e}, not {found[4]:.2e}. 1 + e^-12 loses digits: np.log1p(u) is "
                    "log(1 + u).")
    return "at -200 it is -200, and at 12 it is -0.000006 and not 0."


# Lesson 2

@exercise(lambda W, b, x: layers.dense(W, b, x))
def linear(answer):
    rng = np.random.default_rng(1)
    W, b, x, dy = (rng.standard_normal(shape) for shape in ((3, 3), (1, 3), (5, 3), (5, 3)))
    y, pullback = value_and_pullback(answer(W, b, x), "linear")
    told(array(y, (5, 3)), x @ W + b, [(x @ W, "the value: b is missing."), (x @ W.T + b, "the value: W is transposed.")],
         "the value is not x W + b.")
    right = layers.dense(W, b, x)[1](dy)
    dW, db, dx = gradients(pullback, dy, {"dW": (3, 3), "db": (1, 3), "dx": (5, 3)})
    told(dW, right[0], [(right[0].T, "dW is transposed: dW[i, o] belongs to W[i, o]."), *slopes("dW", right[0], 5)],
         "dW: write the sum for one element first. Which y_no does W_io act on, and with what slope?")
    told(db, right[1], slopes("db", right[1], 5), "db: b_o acts on y_no of every example n, with slope 1.")
    told(dx, right[2], [(dy @ W, "dx: its sum over o is dy times the transposed W."), *slopes("dx", right[2], 5)],
         "dx: x_ni acts on every output o of its example, with slope W_io.")
    return "dW = xᵀ dy, db sums dy over the examples, and dx = dy Wᵀ, in the order of the arguments."


def slopes(name, right, N):
    """Slips that any gradient can have."""
    return [(-right, f"{name} has the wrong sign."),
            (right / N, f"{name} is a mean over the examples, and must be a sum.")]


@exercise(lambda a: layers.relu(a))
def rectify(answer):
    a, dh = np.random.default_rng(1).standard_normal((2, 5, 3))
    h, pullback = value_and_pullback(answer(a.copy()), "rectify")
    told(array(h, (5, 3)), np.maximum(a, 0), [
        (np.abs(a), "the value: negative inputs give 0, not their size."),
        (np.minimum(a, 0), "the value: this keeps the negative inputs.")], "the value is not max(a, 0).")
    da, = gradients(pullback, dh, {"da": (5, 3)})
    told(da, dh * (a > 0), [
        (dh, "da: the mask is missing. Where a < 0, h does not change with a."),
        (1.0 * (a > 0), "da: this is the slope alone; the chain rule multiplies it by dh."),
        (dh * h, "da: the slope is 1 where a > 0, not h."),
        (np.maximum(dh, 0), "da: the mask is where a > 0, not where dh > 0."),
        *slopes("da", dh * (a > 0), 5)], "da must be dh where a > 0 and 0 elsewhere.")
    return "the gradient passes where a > 0."


# Lesson 3

@exercise(lambda mu, logvar, eps: distributions.reparameterise(mu, logvar, eps=eps))
def sample_z(answer):
    mu, logvar, eps, dz = np.random.default_rng(1).standard_normal((4, 5, 3))
    sigma = np.exp(0.5 * logvar)
    z, pullback = value_and_pullback(answer(mu, logvar, eps), "sample_z")
    told(array(z, (5, 3)), mu + sigma * eps, [
        (mu + sigma**2 * eps, "the value: ε is multiplied by σ² and not by σ: logvar is log σ²."),
        (mu + logvar * eps, "the value: logvar is log σ², not σ."),
        (sigma * eps, "the value: μ is missing."), (mu + eps, "the value: σ is missing.")],
        "the value is not μ + σ·ε, element by element.")
    dmu, dlogvar = gradients(pullback, dz, {"dmu": (5, 3), "dlogvar": (5, 3)})
    right = 0.5 * sigma * eps * dz
    told(dmu, dz, [(right, "the gradients are in the other order: dmu first."), *slopes("dmu", dz, 5)],
         "dmu: z moves with μ one to one.")
    told(dlogvar, right, [
        (2 * right, "dlogvar is wrong by a factor 2: logvar is log σ², not log σ, so that σ = exp(logvar / 2)."),
        (eps * dz, "dlogvar: this is the gradient by σ. The chain goes on: how does σ change with log σ²?"),
        (0.5 * sigma * eps, "dlogvar: this is ∂z/∂ log σ² alone; the chain rule multiplies it by dz."),
        (0.5 * sigma * dz, "dlogvar: ε is missing."), (dz, "dlogvar: this is the gradient by μ."),
        *slopes("dlogvar", right, 5)], "dlogvar: dz times ∂z/∂ log σ², element by element and without a sum.")
    return "dz goes to μ as it is, and to log σ² times ½ σ ε."


@exercise(lambda mu, logvar, mu0, logvar0: distributions.gaussian_kl(mu, logvar, mu0, logvar0)[0])
def divergence(answer):
    mu, logvar, mu0, logvar0 = np.random.default_rng(1).standard_normal((4, 5, 3))
    kl = divergence.ours
    right, squares = kl(mu, logvar, mu0, logvar0), (mu - mu0)**2
    told(array(answer(mu, logvar, mu0, logvar0), (5,)), right, [
        (kl(mu0, logvar0, mu, logvar), "this is KL(p ‖ q): the two Gaussians have changed places."),
        (2 * right, "the factor ½ is missing."), (-right, "the sign: a KL is never negative."),
        (right + 1.5, "the −1 is missing: for two equal Gaussians it must be 0."),
        (right / 3, "the dimensions are summed, not averaged."),
        (right - 0.5 * (squares * np.exp(-logvar0)).sum(axis=1), "(μ − μ0)² is missing."),
        (right - 0.5 * (squares * (np.exp(-logvar0) - np.exp(-logvar))).sum(axis=1),
         "(μ − μ0)² is divided by σ0², that of p."),
        (kl(mu, 2 * logvar, mu0, 2 * logvar0), "logvar is log σ², not log σ.")],
        "compare the four terms in the brackets one by one.")
    return "0 where the two are equal, and more the further p is from where q lies."


# Lesson 4

@exercise(lambda layers, x, y: label_term_and_gradient(layers, x, y))
def label_term(answer):
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(shape) for shape in ((3, 4), (1, 4), (4, 5), (1, 5))]
    x, y = rng.standard_normal((6, 3)), rng.integers(0, 5, 6)
    found = answer(weights, x, y)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Wrong(f"two things are asked for, the mean of log q(y|x) and its gradients, not {kind(found)}.")
    value, right = label_term.ours(weights, x, y)
    log_q, _ = models.log_q_y(weights, x)
    told(array(found[0], (), "the mean"), value, [
        (6 * value, "the mean over the images is asked for, not the sum."),
        (-value, "the sign: this is the cross-entropy. We maximise."),
        (log_q.mean(), "only the column of the label counts, log q(y_n|x_n).")], "the value is not the mean log q(y|x).")
    if not isinstance(found[1], (tuple, list)) or len(found[1]) != 4:
        raise Wrong(f"the gradients must be a list of 4, one for each of W1, b1, W2, b2, not {kind(found[1])}.")
    for i, (grad, expected) in enumerate(zip(found[1], right)):
        told(array(grad, expected.shape, f"gradient {i}"), expected, [
            (6 * expected, f"gradient {i} is that of the sum: begin the way down with 1/N."),
            (-expected, f"gradient {i} has the wrong sign.")], f"gradient {i} is not that of the value.")
    return "value up, pullbacks down, and 1/N at the turn."


def label_term_and_gradient(layers, x, y):
    log_q, q_pullback = models.log_q_y(layers, x)
    log_q_at, at_pullback = models.at(log_q, y)
    return log_q_at.mean(), q_pullback(at_pullback(np.full(len(y), 1 / len(y))))[0]


@exercise(lambda m, v, t, g, rate: adam(m, v, t, g, rate))
def adam_step(answer):
    rng = np.random.default_rng(1)
    for t, m0, v0 in ((1, np.zeros(5), np.zeros(5)), (7, rng.standard_normal(5), rng.random(5))):
        g = rng.standard_normal(5)
        found = answer(m0.copy(), v0.copy(), t, g.copy(), 0.01)
        if not isinstance(found, (tuple, list)) or len(found) != 3:
            raise Wrong(f"three arrays are asked for, m, v and the change of θ, not {kind(found)}.")
        m, v, right = adam(m0, v0, t, g, 0.01)
        m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
        new_m, new_v, change = (array(a, (5,), name) for a, name in zip(found, ("m", "v", "the change of θ")))
        told(new_m, m, [(m_hat, "m is kept as it is; only m̂ is divided by 1 − β1^t."), (m0, "m must take in g.")],
             "m is β1 m + (1 − β1) g.")
        told(new_v, v, [(v_hat, "v is kept as it is; only v̂ is divided by 1 − β2^t."), (v0, "v must take in g²."),
                        (BETA2 * v0 + (1 - BETA2) * g, "v is a mean of g², not of g.")], "v is β2 v + (1 − β2) g².")
        told(change, right, [
            (-right, "the sign: we ascend, and θ grows along the gradient."),
            (0.01 * m / (np.sqrt(v) + EPSILON), "m and v start at 0: divide them by 1 - β1^t and 1 - β2^t."),
            (0.01 * m_hat / (v_hat + EPSILON), "v is the mean of g²: the size of g is its root."),
            (0.01 * m_hat / (np.sqrt(v) + EPSILON), "v starts at 0 as well: divide it by 1 - β2^t."),
            (0.01 * g / (np.sqrt(v_hat) + EPSILON), "the step goes along the running mean m̂, not along g itself."),
            (100 * right, "the learning rate is missing.")],
            f"at step {t}: update m and v with g first, then correct both, then divide.", rtol=1e-4)
    return "at the first step and at the seventh."


def adam(m, v, t, g, rate):
    theta, state = np.zeros_like(m), Adam(m.copy(), v.copy(), t - 1)
    state.ascend(theta, g, rate)
    return state.m, state.v, theta


# Lesson 5

@exercise(lambda encoder, x: encoded(encoder, x))
def q_z(answer):
    rng = np.random.default_rng(1)
    encoder = [rng.standard_normal(shape) for shape in ((5, 4), (1, 4), (4, 6), (1, 6))]
    x, d = rng.standard_normal((7, 5)), tuple(rng.standard_normal((2, 7, 3)))
    stats, pullback = value_and_pullback(answer(encoder, x), "q_z")
    if not isinstance(stats, (tuple, list)) or len(stats) != 2:
        raise Wrong(f"the value is a pair, μ(x) and log σ²(x), not {kind(stats)}.")
    (mu, logvar), right_pullback = encoded(encoder, x)
    for found, right, other, name in ((stats[0], mu, logvar, "μ"), (stats[1], logvar, mu, "log σ²")):
        told(array(found, (7, 3), name), right, [
            (other, f"{name} is the {'first' if name == 'μ' else 'second'} half of the columns."),
            (np.exp(right), f"{name} is the output itself, without an exponential.")],
            f"{name} is one half of the columns of mlp(encoder, x).")
    found = called(pullback, "the pullback", d)
    if not isinstance(found, (tuple, list)) or len(found) != 4:
        raise Wrong(f"the pullback must return a list of 4 gradients, those of the encoder's arrays, not {kind(found)}: "
                    "that of mlp returns the list first and dx second.")
    for i, (grad, right) in enumerate(zip(found, right_pullback(d))):
        told(array(grad, right.shape, f"gradient {i}"), right, slopes(f"gradient {i}", right, 7),
             f"gradient {i} of the encoder is not that of the value.")
    return "the network's outputs, in two halves."


def encoded(encoder, x):
    h, mlp_pullback = layers.mlp(encoder, x)
    stats, halves_pullback = layers.halves(h)
    return stats, lambda dstats: mlp_pullback(halves_pullback(dstats))[0]


@exercise(lambda logits, mu, logvar, x: bounded(logits, mu, logvar, x))
def bound_of(answer):
    rng = np.random.default_rng(1)
    logits, x, (mu, logvar) = rng.standard_normal((6, 4)), 1.0 * (rng.random((6, 4)) < 0.5), rng.standard_normal((2, 6, 3))
    log_p, kl = distributions.bernoulli(logits, x=x)[0], distributions.standard_gaussian_kl(mu, logvar)[0]
    value, pullback = value_and_pullback(answer(logits, mu, logvar, x), "bound_of")
    told(array(value, (6,)), log_p - kl, [
        (log_p + kl, "the value: the KL has the wrong sign: z is paid for, not rewarded."),
        (log_p, "the value: the KL is missing. Without it nothing keeps q(z|x) from a single point."),
        (-kl, "the value: log p(x|z), the reconstruction, is missing."),
        (kl - log_p, "the value: the sign. A bound is to be maximised.")],
        "the value is not log p(x|z) − KL(q(z|x) ‖ p(z)), one number per image.")
    d = rng.standard_normal(6)
    shapes = {"dlogits": (6, 4), "dmu": (6, 3), "dlogvar": (6, 3)}
    for (name, _), found, right in zip(shapes.items(), gradients(pullback, d, shapes),
                                       bounded(logits, mu, logvar, x)[1](d)):
        told(found, right, [(-right, f"{name} has the wrong sign: the KL is subtracted, so that its pullback gets −dL."),
                            (right / 6, f"{name} is that of a mean; each image has its own dL.")],
             f"{name} is not that of the value.")
    return "what z tells of x, less what it costs to tell it."


def bounded(logits, mu, logvar, x):
    log_p, log_p_pullback = distributions.bernoulli(logits, x=x)
    kl, kl_pullback = distributions.standard_gaussian_kl(mu, logvar)
    return log_p - kl, lambda dL: (log_p_pullback(dL), *kl_pullback(-dL))


@exercise(lambda vae, layout, theta, adam, grey, rng: trained_once(vae, layout, theta, adam, grey, rng))
def one_epoch(answer):
    grey, layout = np.linspace(0, 1, 250, dtype=np.float32)[:, None] ** [[0.1, 1]], Layout({"w": [((2, 2), 1.0)]})
    theta, adam, seen = np.zeros(4), Watched(), []

    def vae(params, x, eps):
        if np.shape(params["w"][0]) != (2, 2):
            raise ValueError("params must be layout.views(theta)")
        seen.append((array(x, (len(x), 2), "x"), array(eps, (len(x), 2), "eps")))
        return np.arange(len(x)) / len(x), lambda dL: {"w": [np.ones((2, 2)) * np.sum(array(dL, (len(x),), "dL"))]}
    found = answer(vae, layout, theta, adam, grey, np.random.default_rng(1))
    rows = sum(len(x) for x, _ in seen)
    if rows != 250:
        raise Wrong(f"an epoch shows each image once: of 250 images {rows} were shown.")
    if len({len(x) for x, _ in seen}) > 2 or max(len(x) for x, _ in seen) > 150:
        raise Wrong(f"minibatches of about 100 images are asked for, not of {max(len(x) for x, _ in seen)}.")
    pixels, noise = np.concatenate([x for x, _ in seen]), np.concatenate([eps for _, eps in seen])
    if not np.isin(pixels, (0, 1)).all():
        raise Wrong("x must be 0 or 1: each pixel is drawn, 1 with its grey value as the probability.")
    if np.abs(pixels.mean(axis=0) - grey.mean(axis=0)).max() > 0.1:
        raise Wrong("x must be 1 with its grey value as the probability: rng.random(…) < grey[rows].")
    if noise.min() > -1 or abs(noise.mean()) > 0.2:
        raise Wrong("eps must be drawn from N(0, I): rng.standard_normal.")
    if len(adam.gradients) != len(seen):
        raise Wrong(f"each minibatch takes one step of adam.ascend, in place: {len(seen)} minibatches, "
                    f"{len(adam.gradients)} steps.")
    for g in adam.gradients:
        told(array(g, (4,), "the gradient"), np.ones(4), [(-np.ones(4), "the gradient's sign: adam.ascend goes uphill.")],
             "the objective is the mean of L(x) over the minibatch: its pullback gets 1/N for each image.", rtol=1e-3)
    told(array(found, (), "what one_epoch returns"), np.mean([(len(x) - 1) / 2 / len(x) for x, _ in seen]), [],
         "it returns the mean of L(x) over the epoch.", atol=0.02)
    return "every image once, drawn anew, and a step uphill for each minibatch."


class Watched:
    """An optimiser that notes what it is given."""
    def __init__(self):
        self.gradients = []

    def ascend(self, theta, gradient, rate):
        self.gradients.append(np.array(gradient))
        if not 1e-5 <= rate <= 0.02:
            raise Wrong(f"the rate must be that of the text, 0.002, not {rate}.")


def trained_once(vae, layout, theta, adam, grey, rng):
    bounds = []
    for rows in np.array_split(rng.permutation(len(grey)), round(len(grey) / 100)):
        x = (rng.random((len(rows), grey.shape[1])) < grey[rows]).astype(np.float32)
        eps = rng.standard_normal((len(rows), 2), dtype=np.float32)
        L, pullback = vae(layout.views(theta), x, eps)
        gradient = layout.flatten(pullback(np.full(len(x), 1 / len(x), np.float32)), theta)
        adam.ascend(theta, gradient, 2e-3)
        bounds.append(L.mean())
    return np.mean(bounds)


# Lesson 6

@exercise(lambda log_q, L_xy: (np.exp(log_q) * (L_xy - log_q)).sum(axis=-1))
def bound_without_label(answer):
    rng = np.random.default_rng(1)
    log_q, L_xy = distributions.log_softmax(rng.standard_normal((4, 3)))[0], rng.standard_normal((4, 3))
    q = np.exp(log_q)
    expected, entropy = (q * L_xy).sum(axis=1), -(q * log_q).sum(axis=1)
    told(array(answer(log_q, L_xy), (4,)), expected + entropy, [
        (expected, "the entropy is missing. Without it q would put everything on one class."),
        (expected - entropy, "the sign of the entropy. Being unsure is rewarded, not punished."),
        ((expected + entropy) / 3, "it is wrong by a factor K: the sum over y is weighted by q already; it is no mean."),
        (L_xy.mean(axis=1), "the classes are weighted by q(y|x), not equally."),
        ((log_q * L_xy).sum(axis=1) + entropy, "the weight is q, not log q."),
        (L_xy.sum(axis=1) + entropy, "each L(x,y) is weighted by q(y|x)."), (entropy, "L(x,y) is missing.")],
        "it is a sum over y of q(y|x) times something. What is in the brackets?")
    return "the mean of L(x,y) under q, and the entropy of q."


@exercise(lambda L_xy: distributions.log_softmax(L_xy)[0])
def best_log_q(answer):
    L_xy = 5 * np.random.default_rng(1).standard_normal((6, 4))
    right = distributions.log_softmax(L_xy)[0]
    found = array(answer(L_xy), (6, 4))
    told(found, right, [
        (np.exp(right), "this is q*; its logarithm is asked for."), (L_xy, "the c of each image is missing."),
        (distributions.log_softmax(L_xy.T)[0].T, "it is normalised over the classes of an image, not over the images."),
        (np.log(np.eye(4)[L_xy.argmax(axis=1)]), "this is sure of the best class. That is the best q without entropy."),
        (L_xy - L_xy.max(axis=1, keepdims=True), "c is the log of a sum, not the largest L(x,y)."),
        (-right, "the sign.")], "e^L(x,y), divided by its sum over y; then the logarithm.")
    far = array(answer(L_xy - 2000), (6, 4), "with bounds of -2000 nats, which are common, the value")
    told(far, right, [], "with bounds of -2000 nats, which are common, e^L(x,y) is 0: take the largest out (lesson 1).")
    return "a softmax of the bounds."


# Lesson 7

@exercise(lambda q: evaluation.monitor(q, np.full(q.shape[1], 1 / q.shape[1]))["mutual_information"])
def information(answer):
    q = np.random.default_rng(1).dirichlet([0.3] * 4, 50) * 0.99 + 0.0025
    m = evaluation.monitor(q, prior=(0.25,) * 4)
    of_mean, mean_of, N = m["marginal_entropy"], m["conditional_entropy"], len(q)
    told(array(answer(q), ()), of_mean - mean_of, [
        (mean_of - of_mean, "the sign. The mean of many answers is less sure than they are."),
        (of_mean, "this is H(mean q) alone, which is largest when y has collapsed onto a flat prior."),
        (mean_of, "this is the mean of H(q(y|x)) alone: it is 0 when all images land in one class."),
        (-mean_of, "this is -mean H(q(y|x)); the entropy of the mean answer is missing."),
        (of_mean - N * mean_of, "the entropies of the images are averaged, not summed."),
        ((of_mean - mean_of) / np.log(2), "the unit: these are bits. The natural logarithm gives nats.")],
        "it is the entropy of the mean, less the mean of the entropies, with the natural logarithm.")
    sure = array(answer(np.eye(4)), (), "where q is 0 or 1, I(x;y)")
    told(sure, np.log(4), [], "where q is 0 or 1, 0 · log 0 counts as 0.")
    return "the entropy of the mean answer, less the mean entropy of an answer."


@exercise(lambda drawn: drawn.std(axis=1).mean() / drawn.std())
def share_of_y(answer):
    drawn = np.random.default_rng(1).random((4, 5, 6)) + np.arange(4)[:, None, None] + 0.3 * np.arange(6)
    of = drawn.std(axis=1).mean()
    told(array(answer(drawn), ()), of / drawn.std(), [
        (of, "divide by the standard deviation over everything."), (drawn.std() / of, "it is upside down."),
        (drawn.std(axis=0).mean() / drawn.std(), "axis 0 is z; the class changes along axis 1."),
        (drawn.var(axis=1).mean() / drawn.var(), "standard deviations are asked for, not variances."),
        (100 * of / drawn.std(), "a share is asked for, not a percentage.")],
        "first the standard deviation over the classes, for each z and pixel; then the mean of these.")
    return "how much of what differs between the images y has done."


# Lesson 8

@exercise(lambda mu_y, logvar_y, z: distributions.gaussian(mu_y, logvar_y, x=z[:, None, :])[0])
def log_p_z(answer):
    rng = np.random.default_rng(1)
    mu_y, logvar_y, z = rng.standard_normal((4, 2)), rng.standard_normal((4, 2)), rng.standard_normal((6, 2))
    right = log_p_z.ours(mu_y, logvar_y, z)
    told(array(answer(mu_y, logvar_y, z), (6, 4)), right, [
        (np.exp(right), "this is p(z|y); its logarithm is asked for."),
        (distributions.gaussian(mu_y, 2 * logvar_y, x=z[:, None, :])[0], "logvar is log σ², not log σ."),
        (distributions.gaussian(0 * mu_y, 0 * logvar_y, x=z[:, None, :])[0], "this is M2's p(z), which no y changes."),
        (right + 0.5 * logvar_y.sum(axis=1), "log σ² is missing: a wide Gaussian is lower."),
        (right + np.log(2 * np.pi), "log 2π is missing."), (right / 2, "the dimensions of z are summed, not averaged.")],
        "point n under the Gaussian of class k belongs into row n, column k.")
    return "each point under each of the Gaussians."


@exercise(lambda mu, logvar, mu_y, logvar_y, y: distributions.gaussian_kl(mu, logvar, mu_y[y], logvar_y[y])[0])
def kl_given_y(answer):
    rng = np.random.default_rng(1)
    (mu, logvar), (mu_y, logvar_y), y = rng.standard_normal((2, 6, 2)), rng.standard_normal((2, 4, 2)), np.arange(6) % 4
    kl = distributions.gaussian_kl
    right = kl(mu, logvar, mu_y[y], logvar_y[y])[0]
    told(array(answer(mu, logvar, mu_y, logvar_y, y), (6,)), right, [
        (kl(mu_y[y], logvar_y[y], mu, logvar)[0], "the two Gaussians have changed places."),
        (distributions.standard_gaussian_kl(mu, logvar)[0], "this is M2's KL, to N(0, I). Which Gaussian is that of y?"),
        (kl(mu, logvar, mu_y[y], 0 * mu)[0], "σ²(y) is missing."), (kl(mu, logvar, 0 * mu, logvar_y[y])[0], "μ(y) is missing."),
        (-right, "the sign: a KL is never negative."), (right / 2, "the dimensions of z are summed, not averaged.")],
        "row y_n of μ and of log σ² is the Gaussian of pair n.")
    return "to the Gaussian of the pair's own class."


@exercise(lambda log_p_z, prior: distributions.log_softmax(log_p_z + np.log(prior))[0])
def class_of_z(answer):
    log_p, prior = 5 * np.random.default_rng(1).standard_normal((6, 4)), np.array([0.4, 0.3, 0.2, 0.1])
    log_softmax = distributions.log_softmax
    right = log_softmax(log_p + np.log(prior))[0]
    told(array(answer(log_p, prior), (6, 4)), right, [
        (log_softmax(log_p)[0], "p(y) is missing. With equal p(z|y) the answer must be the prior."),
        (log_p + np.log(prior), "this is log p(z, y). Divide by the sum over the classes, p(z)."),
        (log_softmax(log_p + prior)[0], "the prior is added as it is; its logarithm belongs there."),
        (np.exp(right), "this is p(y|z); its logarithm is asked for."), (-right, "the sign.")],
        "add the logarithms, then normalise over the classes.")
    far = np.nan_to_num(np.asarray(answer(log_p - 2000, prior), dtype=float))
    told(array(far, (6, 4)), right, [],
         "for a z far from every class it fails: e^-2000 is 0. Take the largest logarithm out (lesson 1).")
    return "Bayes' rule in logarithms, normalised over the classes."


# Lesson 9

@exercise(evaluation.majority_map)
def name_slots(answer):
    counts = np.array([[3, 1, 0, 0, 2], [0, 2, 5, 0, 3], [1, 1, 0, 0, 9]])
    told(array(answer(counts.copy()), (5,)), [0, 1, 1, -1, 2], [
        ([0, 1, 1, 0, 2], "slot 3 has no image, and no name: −1. The argmax of nothing is class 0."),
        (counts.max(axis=0), "this is how many images; which class is asked for."),
        (evaluation.one_to_one_map(counts), "slots may share a name: this is the one-to-one map."),
        ([1, 2, 2, -1, 3], "classes are counted from 0."), (counts.sum(axis=0), "these are the sizes of the slots.")],
        "the most common class of each column; −1 where it is empty.")
    return "the most common class of each slot."


@exercise(lambda slots_train, y_train, slots_test, y_test, K: named_by_training(slots_train, y_train, slots_test, y_test, K))
def train_map_accuracy(answer):
    rng = np.random.default_rng(11)
    slots_train, y_train, slots_test, y_test = (rng.integers(0, k, 30) for k in (4, 3, 5, 3))  # slot 4: test only
    train, test = (evaluation.contingency(*pair, 5, 3) for pair in ((slots_train, y_train), (slots_test, y_test)))
    share = lambda counts, slot_map: evaluation.accuracies(counts, slot_map, [])["accuracy"]  # noqa: E731
    names, found = evaluation.majority_map(train), array(answer(slots_train, y_train, slots_test, y_test, 5), ())
    told(found, share(test, names), [
        (share(test, train.argmax(axis=0)), "slot 4 is empty in training; the argmax of nothing is class 0."),
        (share(test, evaluation.majority_map(test)), "the names come from the test images: that is trap 2."),
        (share(train, names), "the training images are scored. They only name the slots."),
        (test[names[names >= 0], np.flatnonzero(names >= 0)].sum() / test[:, names >= 0].sum(),
         "the images of slot 4 are left out of the count. They are wrong, not absent."),
        (evaluation.one_to_one_accuracy(test), "this is the one-to-one map; slots may share a name.")],
        f"it is not {found:.2f}. Count the training images with evaluation.contingency, name, score the test images.")
    return "slot 4 has no training images, and its test images count as wrong."


def named_by_training(slots_train, y_train, slots_test, y_test, K):
    counts = evaluation.contingency(slots_train, y_train, K, max(y_train.max(), y_test.max()) + 1)
    return (evaluation.majority_map(counts)[slots_test] == y_test).mean()


# Lesson 10

@exercise(lambda q, prior: float((q.mean(axis=0) * np.log(q.mean(axis=0) / prior)).sum()))
def balance_of(answer):
    q, prior = 0.95 * np.random.default_rng(1).dirichlet([0.4] * 4, 50) + 0.0125, np.array([0.4, 0.3, 0.2, 0.1])
    right, mean, found = balance_of.ours(q, prior), q.mean(axis=0), array(answer(q, prior), ())
    told(found, right, [
        ((q * np.log(q / prior)).sum(axis=1).mean(),
         "this is the mean of the images' own divergences. It also punishes I(x;y)."),
        ((prior * np.log(prior / mean)).sum(), "the two distributions have changed places."),
        (-right, "the sign. A KL is never negative."),
        ((mean * np.log(mean)).sum(), "p(y) is missing. This is smallest for a flat mean answer."),
        (-(mean * np.log(prior)).sum(), "this is the cross-entropy; H(mean q) is missing."),
        (np.log(mean / prior).sum(), "the weight of each log-ratio is missing."),
        (-(mean * np.log(mean)).sum(), "p(y) is missing. This is the entropy of the mean answer."),
        (right / 4, "the classes are summed, not averaged."),
        ((50 * mean * np.log(50 * mean / prior)).sum(), "the sum over the images is no distribution."),
        (right / np.log(2), "the unit: these are bits. The natural logarithm gives nats.")],
        f"it is not {found:.3f}. First the mean answer, one number a class; then its divergence from the prior.")
    return "0 only where the mean answer is the prior, whatever the single answers are."


@exercise(lambda P, known: largest(slots.normalised(P), may_merge(len(P), known)))
def next_pair(answer):
    P = planted()
    found = array(answer(P.copy(), 2), (3,), "what next_pair returns, j, k and c,")
    if found[0] >= found[1]:
        raise Wrong("this is a slot with itself, whose c is always 1." if found[0] == found[1] else
                    "j, the slot that stays, is the lower one.")
    c, either, d, share = slots.normalised(P), may_merge(6, 2), np.diag(P), P.sum(axis=1)
    j, k, right = largest(c, either)
    told(found, (j, k, right), [
        (largest(c, either | True), "slots 0 and 1 are known classes, and known classes never merge."),
        (largest(c, (np.arange(6) >= 2) & (np.arange(6) >= 2)[:, None]), "a new slot may be part of a known class, too."),
        (largest(P, either), "this is the largest P. Large slots share images without being one class."),
        (largest(P / np.outer(d, d), either), "the root is missing, so that small slots win."),
        (largest(P / np.sqrt(np.outer(share, share)), either),
         "it is divided by the shares of the slots. P_jj is how often both maps end in j."),
        ((j, k, P[j, k]), "the pair is right; the number is P, not c."),
        ((j, k, right**2), "the pair is right; the number is the square of c.")],
        f"not {found[0]:.0f} and {found[1]:.0f} with c = {found[2]:.3f}. First c of all pairs, then the largest allowed.")
    return "slot 3 is part of the known class 1. That 0 and 1 are two is what labels say."


def may_merge(K, known):
    """Which pairs of slots may become one.     -> (K,K)"""
    new = np.arange(K) >= known
    return new | new[:, None]


def planted():
    """P of six slots, the first two of known classes, where each slip finds another pair or another c."""
    c, size = np.eye(6), np.sqrt([0.20, 0.15, 0.04, 0.03, 0.25, 0.01])
    for j, k, value in ((0, 1, 0.6), (1, 3, 0.45), (2, 4, 0.35), (0, 4, 0.3), (2, 5, 0.25)):
        c[j, k] = c[k, j] = value
    P = c * np.outer(size, size)
    return P / P.sum()


def largest(M, allowed):
    """Where the largest of the allowed M_jk lies, with j < k, and what it is."""
    j, k = np.unravel_index(np.where(np.triu(allowed, 1), M, -np.inf).argmax(), M.shape)
    return j, k, M[j, k]


# Lesson 11

@exercise(lambda l: namespace(l).maximum(l, namespace(l).zeros((), dtype=l.dtype))
          + namespace(l).log1p(namespace(l).exp(-namespace(l).abs(l))))
def softplus(answer):
    import array_api_strict
    import autograd
    l = np.float32([-50, -1, 0, 2, 300])
    found = answer(l)
    array(found, (5,))
    if not np.allclose(found[1:4], np.log1p(np.exp(l[1:4].astype(float)))):
        raise Wrong("it is wrong under NumPy already: log(1 + e^l), element by element.")
    if not np.allclose(found, [np.exp(-50.0), *found[1:4], 300], rtol=1e-4, atol=0):
        raise Wrong(f"at the ends (lesson 1), at l = -50 and 300, it is {found[0]:.1e} and {found[4]:.1e}.")
    if found.dtype != np.float32:
        raise Wrong(f"float32 went in and {found.dtype} came out. A NumPy scalar of 64 bits does that.")
    library = "array_api_strict"
    try:
        found = answer.args[0](array_api_strict.asarray(l))
        if namespace(found) is not array_api_strict:
            raise Wrong(f"under {library} it gives an array of {namespace(found).__name__}. Use xp = namespace(l).")
        library = "autograd"
        gradient = autograd.grad(lambda l: answer.args[0](l).sum())(np.array([-1.0, 2.0]))
    except Exception as error:
        if isinstance(error, Wrong):
            raise
        raise Wrong(f"under {library} it stops: {error}. Take each function from namespace(l), and assign into no "
                    "array.") from None
    told(gradient, 1 / (1 + np.exp([1.0, -2.0])), [], "autograd's gradient of it is not the slope of log(1 + e^l).")
    return "under NumPy, the strict array API and autograd."


@exercise(lambda dy: namespace(dy).sum(dy, axis=-2, keepdims=True))
def bias_gradient(answer):
    rng = np.random.default_rng(1)
    one, runs = rng.standard_normal((5, 3)), rng.standard_normal((2, 5, 3))
    told(array(answer(one), (1, 3), "for one run the value"), one.sum(axis=0, keepdims=True), [
        (one.mean(axis=0, keepdims=True), "the examples are summed, not averaged."),
        *slopes("db", one.sum(axis=0, keepdims=True), 5)], "the value is not the sum of dy over the examples.")
    found = array(answer(runs), (2, 1, 3), "for two runs at once the value")
    told(found, runs.sum(axis=1, keepdims=True), [], "each run has its own sum: count the axes from the end.")
    return "the axis of the examples is the last but one, with a run axis and without."


# Lesson 12

@exercise(lambda log_w: np.logaddexp.reduce(log_w, axis=0) - np.log(len(log_w)))
def log_mean(answer):
    log_w = np.random.default_rng(1).standard_normal((8, 5)) * 3 - 1
    right = log_mean.ours(log_w)
    told(array(answer(log_w), (5,)), right, [
        (log_w.mean(axis=0), "this is the mean of the logarithms, the bound. Which of the two comes first?"),
        (right + np.log(8), "the sum is there; the mean divides by S."),
        (np.exp(right), "this is the mean of w; its logarithm is asked for."),
        (log_w.max(axis=0), "this is the largest of the samples alone."), (-right, "the sign.")],
        "the logarithm of the mean of e^log_w over the samples, of each image.")
    far = array(answer(log_w - 2000), (5,), "with log w of -2000 nats the value")
    told(far + 2000, right, [], "with log w of -2000 nats e^log_w is 0: take the largest out first (lesson 1).")
    return "and at -2000 nats, too."


@exercise(generative.auroc)
def ranks_higher(answer):
    rng = np.random.default_rng(1)
    known, other = rng.standard_normal(30) + 0.8, rng.standard_normal(40)
    right, found = generative.auroc(known, other), array(answer(known, other), ())
    told(found, right, [
        (1 - right, "it is the other way round: the known ones shall score higher."),
        ((known > np.median(other)).mean(), "compare every known score with every other one, not with one threshold."),
        ((known[:30] > other[:30]).mean(), "compare every known score with every other one: 30 × 40 pairs."),
        (1200 * right, "the share of the pairs is asked for, not their number."),
        (float(known.mean() > other.mean()), "compare the single scores, not their means.")],
        f"it is not {found:.3f}. Of all pairs, in which share is the known score the larger one?")
    tied = array(answer(np.ones(3), np.ones(2)), (), "where all scores are equal the value")
    told(tied, 0.5, [], "where two scores are equal, the pair counts half.")
    return "of all pairs, the share in which the known one scores higher."
