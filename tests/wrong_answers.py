"""Wrong answers: those that fit no exercise, and plausible ones to the assignments.

Of each assignment: {what is wrong: (slips, the tests that must fail, and no others; a part of what one of them says)}.
A slip is (what the solution has, what stands there instead); the first stands in the solution exactly once.
"""

import sys

import numpy as np


def of_nan(found):
    """The same with NaN in every number."""
    if isinstance(found, dict):
        return {name: of_nan(part) for name, part in found.items()}
    if isinstance(found, (tuple, list)):
        return type(found)(of_nan(part) for part in found)
    return (lambda d: of_nan(found(d))) if callable(found) else np.asarray(found, dtype=float) * np.nan


class Odd:
    """Whatever is done with it fails."""
    def __getattr__(self, name):
        raise RuntimeError("odd")


ANY = {  # answers that fit no exercise: what comes in place of right(*arguments), and a part of what is said of it
    "missing pullback": (lambda right, *a, **k: right(*a, **k)[0], "pullback|must|asked for|missing|stops"),
    "forgotten [0]": (lambda right, *a, **k: (right(*a, **k), lambda d: d), "pullback|must|asked for|pair"),
    "called pullback": (lambda right, *a, **k: (right(*a, **k), right(*a, **k)), "must|asked for|pair"),
    "a tuple of the wrong length": (lambda right, *a, **k: (right(*a, **k),) * 7, "must|asked for|pair"),
    "wrong shape": (lambda right, *a, **k: np.zeros((7, 7, 7)), "must|asked for"),
    "NaN": (lambda right, *a, **k: of_nan(right(*a, **k)), "NaN"),
    "a string": (lambda right, *a, **k: "0.5", "must|asked for"),
    "a dictionary": (lambda right, *a, **k: {"value": 1}, "must|asked for"),
    "a function": (lambda right, *a, **k: len, "must|asked for"),
    "ragged lists": (lambda right, *a, **k: [[1.0, 2.0], [3.0]], "must|asked for|pullback"),
    "a complex number": (lambda right, *a, **k: 1j, "must|asked for"),
    "an odd object": (lambda right, *a, **k: Odd(), "must|asked for|compared"),
    "it stops": (lambda right, *a, **k: a[0].no_such_name, "stops in line .* of its cell: AttributeError"),
    "it exits": (lambda right, *a, **k: sys.exit(1), "stops in line .*: SystemExit"),
}

# In functions: whatever hangs on a model that is trained with them, question 5 of assignments 2 to 4, is left aside.
FUNCTIONS = {
    "1": {
        "gaussian, no half": (
            [("-0.5 * (np.log(2 * np.pi)", "-1 * (np.log(2 * np.pi)"),
             ("return d * scaled, 0.5 * d * (squares - 1)", "return 2 * d * scaled, d * (squares - 1)")],
            {"q1 scipy", "q1 standard"}, "log N(0; 0, I)"),
        "gaussian, logvar taken for log σ": (
            [("precision = np.exp(-logvar)", "precision = np.exp(-2 * logvar)"),
             ("np.log(2 * np.pi) + logvar + squares", "np.log(2 * np.pi) + 2 * logvar + squares"),
             ("0.5 * d * (squares - 1)", "d * (squares - 1)")],
            {"q1 scipy"}, "where σ ≠ 1"),
        "gaussian, no log 2π": (
            [("np.log(2 * np.pi) + logvar", "logvar")],
            {"q1 scipy", "q1 standard"}, "log 2π"),
        "gaussian, mean for sum": (
            [("+ squares).sum(axis=-1)", "+ squares).mean(axis=-1)"),
             ("d = dlog_p[:, None]\n        return d * scaled",
              "d = dlog_p[:, None] / mu.shape[1]\n        return d * scaled")],
            {"q1 scipy", "q1 standard"}, "3 dimensions"),
        "gaussian, sign of dmu": (
            [("return d * scaled, 0.5", "return -d * scaled, 0.5")],
            {"q1 gradients"}, "with respect to mu is"),
        "gaussian, no half in dlogvar": (
            [("0.5 * d * (squares - 1)", "d * (squares - 1)")],
            {"q1 gradients"}, "with respect to logvar is"),
        "bernoulli, overflows": (
            [("np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))", "np.log(1 + np.exp(logits))")],
            {"q2 far_logits"}, "±1000"),
        "bernoulli, sign of the gradient": (
            [("* (x - p)", "* (p - x)")],
            {"q2 gradient"}, "with respect to logits"),
        "bernoulli, x and 1 - x": (
            [("x * logits - softplus", "(1 - x) * logits - softplus"),
             ("* (x - p)", "* (1 - x - p)")],
            {"q2 far_logits", "q2 scipy"}, "scipy's"),
        "dense, mean for sum in db": (
            [("da.sum(axis=0, keepdims=True)", "da.mean(axis=0, keepdims=True)")],
            {"q3 gradients"}, "respect to b is"),
        "dense, dW transposed": (
            [("return x.T @ da, da.sum", "return da.T @ x, da.sum")],
            {"q3 gradients"}, "the gradient of W must have its shape (3, 2), not (2, 3)"),
        "dense, no bias": (
            [("return x @ W + b, pullback", "return x @ W + 0 * b, pullback")],
            {"q3 gradients", "q3 value"}, "with b added to each row"),
        "bernoulli, no gradient": (
            [("return dlog_p[:, None] * (x - p)", "return None")],
            {"q2 far_logits", "q2 gradient"}, "with respect to logits"),
        "dense, no gradient of b": (
            [("da.sum(axis=0, keepdims=True)", "None")],
            {"q3 gradients"}, "respect to b is"),
        "relu, no mask": (
            [("return dh * (a > 0)", "return dh")],
            {"q4 gradient"}, "with respect to a"),
        "one-sided differences": (
            [("(F(theta + step) - F(theta - step)) / (2 * h)", "(F(theta + step) - F(theta)) / h")],
            {"q5 order"}, "a central one"),
        "differences, over h": (
            [("/ (2 * h)", "/ h")],
            {"q5 linear", "q5 order"}, "exact for a linear F"),
        "differences, theta changed": (
            [("F(theta + step)", "F(np.add(theta, step, out=theta))"),
             ("F(theta - step)", "F(theta - 2 * step)")],
            {"q5 order", "q5 theta_is_left_alone"}, "as it was before"),
        "log q(y|x), overflows": (
            [("logits - logits.max(axis=-1, keepdims=True)", "logits")],
            {"q6 far_logits"}, "1000"),
        "log q(y|x), a sum left out of the gradient": (
            [("np.exp(log_q) * dlog_q.sum(axis=-1, keepdims=True)", "np.exp(log_q)")],
            {"q6 gradients"}, "layers[0]"),
        "log q(y|x), logits given back": (
            [("return log_q, pullback", "return logits, pullback")],
            {"q6 far_logits", "q6 gradients", "q6 scipy"}, "must sum to 1"),
    },
    "2": {
        "σ² for σ": (
            [("np.exp(0.5 * logvar) * eps", "np.exp(logvar) * eps"),
             ("0.5 * dz * noise", "dz * noise")],
            {"q1 variance"}, "the variance of many samples"),
        "dlogvar of z, no half": (
            [("0.5 * dz * noise", "dz * noise")],
            {"q1 gradients"}, "to logvar is"),
        "KL, no half": (
            [("0.5 * (var + mu**2 - 1 - logvar)", "(var + mu**2 - 1 - logvar)"),
             ("return d * mu, 0.5 * d * (var - 1)", "return 2 * d * mu, d * (var - 1)")],
            {"q2 integral"}, "the KL"),
        "KL, swapped": (
            [("0.5 * (var + mu**2 - 1 - logvar)", "0.5 * (1 / var + mu**2 / var - 1 + logvar)"),
             ("return d * mu, 0.5 * d * (var - 1)", "return d * mu / var, 0.5 * d * (1 - (1 + mu**2) / var)")],
            {"q2 integral"}, "the KL"),
        "KL, logvar taken for log σ": (
            [("var = np.exp(logvar)", "var = np.exp(2 * logvar)"),
             ("- 1 - logvar)", "- 1 - 2 * logvar)"),
             ("0.5 * d * (var - 1)", "d * (var - 1)")],
            {"q2 integral"}, "the KL"),
        "KL, mean for sum": (
            [("- 1 - logvar).sum(axis=-1)", "- 1 - logvar).mean(axis=-1)"),
             ("d = dkl[:, None]", "d = dkl[:, None] / mu.shape[1]")],
            {"q2 integral"}, "summed"),
        "KL, no 1": (
            [("- 1 - logvar)", "- logvar)")],
            {"q2 integral", "q2 zero"}, "it must be 0 where"),
        "KL, negative": (
            [("0.5 * (var + mu**2 - 1 - logvar)", "-0.5 * (var + mu**2 - 1 - logvar)"),
             ("return d * mu, 0.5 * d * (var - 1)", "return -d * mu, 0.5 * d * (1 - var)")],
            {"q2 integral"}, "must be positive"),
        "KL, sign of dlogvar": (
            [("0.5 * d * (var - 1)", "0.5 * d * (1 - var)")],
            {"q2 gradients"}, "respect to logvar is"),
        "Adam, downhill": (
            [("theta + rate * m_hat", "theta - rate * m_hat")],
            {"q3 memory", "q3 uphill"}, "uphill"),
        "Adam, not corrected": (
            [("m / (1 - 0.9**t), v / (1 - 0.999**t)", "m, v")],
            {"q3 constant_gradient", "q3 memory"}, "step 1 has not"),
        "Adam, no root": (
            [("np.sqrt(v_hat)", "v_hat")],
            {"q3 constant_gradient", "q3 memory"}, "length of the rate"),
        "Adam, no running mean of g": (
            [("m_hat, v_hat = m / (1 - 0.9**t)", "m_hat, v_hat = g")],
            {"q3 memory"}, "running mean"),
        "bound, the KL added": (
            [("return log_p - kl, pullback", "return log_p + kl, pullback"),
             ("kl_pullback(-dL)", "kl_pullback(dL)")],
            {"q4 two_terms"}, "less your KL"),
        "bound, no KL": (
            [("return log_p - kl, pullback", "return log_p, pullback"),
             ("kl_pullback(-dL)", "kl_pullback(0 * dL)")],
            {"q4 two_terms"}, "less your KL"),
        "bound, the KL left out of the gradient": (
            [("(dmu + dmu_kl, dlogvar + dlogvar_kl)", "(dmu, dlogvar)")],
            {"q4 gradients"}, "encoder[0]"),
        "bound, a mean": (
            [("return log_p - kl, pullback", "return (log_p - kl).mean(), pullback")],
            {"q4 gradients", "q4 nothing_told", "q4 two_terms"}, "one number for each image"),
    },
    "3": {
        "entropy, sign": (
            [("return -(q * log_q).sum(axis=-1), pullback", "return (q * log_q).sum(axis=-1), pullback"),
             ("return -dH[:, None] * q", "return dH[:, None] * q")],
            {"q1 scipy", "q1 uniform"}, "log 4"),
        "entropy, in bits": (
            [("return -(q * log_q).sum(axis=-1), pullback", "return -(q * log_q).sum(axis=-1) / np.log(2), pullback"),
             ("return -dH[:, None] * q", "return -dH[:, None] / np.log(2) * q")],
            {"q1 scipy", "q1 uniform"}, "log 4"),
        "entropy, gradient without the 1": (
            [("q * (1 + log_q)", "q * log_q")],
            {"q1 gradient"}, "respect to log_q"),
        "no log p(y)": (
            [("log_p - kl + np.log(prior)[y]", "log_p - kl")],
            {"q2 integral", "q2 nothing_told"}, "the class"),
        "p(y) for log p(y)": (
            [("+ np.log(prior)[y]", "+ prior[y]")],
            {"q2 integral", "q2 nothing_told"}, "the class"),
        "the KL added": (
            [("log_p - kl + np", "log_p + kl + np"),
             ("kl_pullback(-dL)", "kl_pullback(dL)")],
            {"q2 integral"}, "the integral of q(z|x,y)"),
        "no KL": (
            [("log_p - kl + np", "log_p + np"),
             ("kl_pullback(-dL)", "kl_pullback(0 * dL)")],
            {"q2 integral"}, "the integral of q(z|x,y)"),
        "L(x), no entropy": (
            [("(q * (L_xy - log_q)).sum", "(q * L_xy).sum"),
             ("q * (L_xy - log_q - 1)", "q * L_xy")],
            {"q3 best_q"}, "its largest value"),
        "L(x), sign of the entropy": (
            [("(q * (L_xy - log_q)).sum", "(q * (L_xy + log_q)).sum"),
             ("q * (L_xy - log_q - 1)", "q * (L_xy + log_q + 1)")],
            {"q3 best_q"}, "largest"),
        "L(x), mean for sum": (
            [("(q * (L_xy - log_q)).sum", "(q * (L_xy - log_q)).mean"),
             ("d = dL[:, None]", "d = dL[:, None] / L_xy.shape[1]")],
            {"q3 best_q", "q3 one_hot"}, "sure"),
        "L(x), classes not weighted": (
            [("(q * (L_xy - log_q)).sum", "(L_xy - q * log_q).sum"),
             ("return d * q * (L_xy - log_q - 1), d * q", "return -d * q * (log_q + 1), d + 0 * q")],
            {"q3 best_q", "q3 one_hot"}, "sure"),
        "L(x), no gradient through q": (
            [("return d * q * (L_xy - log_q - 1), d * q", "return -d * q, d * q")],
            {"q3 gradients"}, "respect to log_q"),
        "α, sign": (
            [("alpha * label.sum()", "-alpha * label.sum()"),
             ("at_pullback(alpha *", "at_pullback(-alpha *")],
            {"q4 alpha"}, "grow with α"),
        "α left out": (
            [("alpha * label.sum()", "label.sum()"),
             ("at_pullback(alpha * dL_xy)", "at_pullback(dL_xy)")],
            {"q4 alpha", "q4 two_means"}, "grow with α"),
        "sums for means": (
            [("L_x.sum() / N_u + L_xy.sum() / n_l", "L_x.sum() + L_xy.sum()"),
             ("dF / N_u", "dF"),
             ("at_pullback(alpha * dL_xy)", "at_pullback(alpha * dL_xy / n_l)"),
             ("x_u.dtype) * dF / n_l", "x_u.dtype) * dF")],
            {"q4 two_means"}, "the mean of your L(x)"),
        "pairs in another order": (
            [("x=np.repeat(x_u, K, axis=0), y=np.tile(np.arange(K), N_u)",
              "x=np.tile(x_u, (K, 1)), y=np.repeat(np.arange(K), N_u)")],
            {"q4 two_means"}, "your L(x)"),
        "labels left out of the gradient": (
            [("at_pullback(alpha * dL_xy)", "at_pullback(0 * dL_xy)")],
            {"q4 gradients"}, "params[q(y|x)][0]"),
    },
    "4": {
        "KL, no half": (
            [("0.5 * (logvar0 - logvar + ratio", "(logvar0 - logvar + ratio"),
             ("d = dkl[:, None]", "d = 2 * dkl[:, None]")],
            {"q1 integral"}, "the KL"),
        "KL, swapped": (
            [("def gaussian_kl(mu, logvar, mu0, logvar0):", "def gaussian_kl(mu0, logvar0, mu, logvar):"),
             ("return d * scaled, 0.5 * d * (ratio - 1), -d * scaled, 0.5 * d * (1 - ratio - squares)",
              "return -d * scaled, 0.5 * d * (1 - ratio - squares), d * scaled, 0.5 * d * (ratio - 1)")],
            {"q1 integral"}, "the KL"),
        "KL, mean for sum": (
            [("+ squares - 1).sum(axis=-1)", "+ squares - 1).mean(axis=-1)"),
             ("d = dkl[:, None]", "d = dkl[:, None] / mu.shape[1]")],
            {"q1 integral"}, "summed"),
        "KL, logvar taken for log σ": (
            [("logvar - logvar0)", "2 * (logvar - logvar0))"),
             ("np.exp(-logvar0)", "np.exp(-2 * logvar0)"),
             ("0.5 * (logvar0 - logvar", "0.5 * (2 * logvar0 - 2 * logvar"),
             ("0.5 * d * (ratio - 1)", "d * (ratio - 1)"),
             ("0.5 * d * (1 - ratio", "d * (1 - ratio")],
            {"q1 integral"}, "the KL"),
        "KL, no 1": (
            [("+ squares - 1)", "+ squares)")],
            {"q1 integral", "q1 zero"}, "equal Gaussians"),
        "KL, sign of dmu0": (
            [("-d * scaled, 0.5 * d * (1", "d * scaled, 0.5 * d * (1")],
            {"q1 gradients"}, "respect to mu0 is"),
        "p(z|y), the last pair of a class alone": (
            [("np.add.at(dmeans, y, dmu_y)", "dmeans[y] = dmu_y"),
             ("np.add.at(dlogvars, y, dlogvar_y)", "dlogvars[y] = dlogvar_y")],
            {"q2 gradients"}, "p_z_given_y[0]"),
        "p(z) for p(z|y)": (
            [("gaussian_kl(mu, logvar, means[y], logvars[y])",
              "gaussian_kl(mu, logvar, 0 * means[y], 0 * logvars[y])"),
             ("return [dmeans, dlogvars]", "return [0 * dmeans, 0 * dlogvars]")],
            {"q2 other_class", "q2 own_class"}, "the Gaussian of the pair's class"),
        "no log p(y)": (
            [("log_p - kl + np.log(prior)[y]", "log_p - kl")],
            {"q3 nothing_told", "q3 three_terms"}, "the class"),
        "the KL added": (
            [("log_p - kl + np", "log_p + kl + np"),
             ("kl_pullback(-dL)", "kl_pullback(dL)")],
            {"q3 three_terms"}, "do not add up"),
        "p(z|y) never learns": (
            [("\"p(z|y)\": dprior, ", "")],
            {"q3 gradients"}, "params[p(z|y)][0]"),
        "an empty slot named 0": (
            [("np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), -1)", "counts.argmax(axis=0)")],
            {"q4 empty_slot"}, "a slot without images"),
        "rows for columns": (
            [("(classes, slots), 1)", "(slots, classes), 1)"),
             ("np.zeros((C, K), int)", "np.zeros((K, C), int)")],
            {"q4 counts"}, "a row a class"),
        "the mean over classes": (
            [("\"accuracy\": right.sum() / counts.sum()", "\"accuracy\": (right / counts.sum(axis=1)).mean()")],
            {"q4 accuracies"}, "images in a table"),
        "labelled for unlabelled": (
            [("right[~known].sum() / counts[~known].sum()", "right[known].sum() / counts[known].sum()")],
            {"q4 accuracies"}, "accuracy_unlabelled_classes"),
    },
}

# In functions or in what is around them, with the models trained to the end.
TRAINING = {
    "2": {
        "downhill": (
            [("m_hat / (np", "-m_hat / (np")],
            {"q3 memory", "q3 uphill", "q5 bound_of_test_images", "q5 z_is_used"}, "-27"),
        "no KL": (
            [("return log_p - kl, pullback", "return log_p, pullback"),
             ("kl_pullback(-dL)", "kl_pullback(0 * dL)")],
            {"q4 two_terms", "q5 bound_of_test_images", "q5 z_is_used"}, "between 1 and 30 nats"),
        "θ is not kept": (
            [("theta, m, v = adam_step", "_, m, v = adam_step")],
            {"q5 bound_of_test_images", "q5 z_is_used"}, "-27"),
    },
    "3": {
        "log q for q in the monitor": (
            [("monitor(np.exp(log_q), prior)", "monitor(log_q, prior)")],
            {"q5 labels"}, "I(x;y)"),
        "labels not used": (
            [("dF / n_l", "0 * dF")],
            {"q4 gradients", "q5 labels"}, "between 1.5 and log 10"),
    },
    "4": {
        "slots named from the wrong images": (
            [("by_train = accuracies(counts_test, majority_map(counts_train), known)",
              "by_train = accuracies(counts_train, majority_map(counts_train), known)")],
            {"q5 maps"}, "by_train"),
        "the bound, negative": (
            [("return log_p - kl + np.log(prior)[y], pullback", "return -(log_p - kl + np.log(prior)[y]), pullback"),
             ("bernoulli_pullback(dL)", "bernoulli_pullback(-dL)"),
             ("kl_pullback(-dL)", "kl_pullback(dL)")],
            {"q3 nothing_told", "q3 three_terms", "q5 maps", "q5 never_labelled", "q5 slots_found"}, "the bound"),
    },
}
