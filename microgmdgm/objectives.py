"""The objective, to be maximised: a weighted sum of terms, each with a value and a pullback.

    q(y|x) alone       α log q(y|x) − γ [c consistency + s smoothness + β balance]
    q(y|x) held        L(x) + l L(x,y) + α log q(y|x) + d dreams                     q(y|x) is a constant
    the whole model    L(x) + l L(x,y) + α log q(y|x) − γ […]                        Eq. 2, less what γ adds
    any                − ½ Σ λ θ², a Gaussian prior on the weights

q(y|x) is computed once for all terms.  The rows of log q (…,M,K) are U unlabelled examples, L labelled ones and, where
γ > 0, the unlabelled ones again under other maps.  A term takes log q to {name: (…)}; its pullback takes {name: d} to
the gradients of the other networks and of log q.
"""

from functools import partial, reduce
from operator import add as plus

from .backend import namespace
from .invariance import balance, consistency, mean_cross_entropy
from .models import at, bound_given_y, decode, log_q_y, mean_x, prior_sample, unlabelled_bound
from .parameters import add

DREAMS = 40  # in a step
INVARIANCE = ("consistency", "smoothness", "balance")


def labels(batch, log_q):
    """Σ log q(y|x) / L over the labelled examples, which needs no other network.  Eq. 2"""
    xp, N, L = namespace(log_q), batch.tx.shape[-2], batch.labels.shape[-1]
    log_q_l, at_pullback = at(log_q[..., N - L:N, :], batch.labels)

    def pullback(dterms):
        dlog_q_l = at_pullback(dterms["log q(y|x)"][..., None] / max(L, 1))
        before, after = xp.zeros_like(log_q[..., :N - L, :]), xp.zeros_like(log_q[..., N:, :])
        return {}, xp.concat([before, dlog_q_l, after], axis=-2)
    return {"log q(y|x)": xp.sum(log_q_l, axis=-1) / max(L, 1)}, pullback


def eq2(model, params, batch, log_q, *, choose, kl_weight=1.0, q_from_bound=True):
    """The means of Eq. 2: of L(x) over D_u, of L(x,y) and of log q(y|x) over D_l.
    choose(log q) gives the pairs of the sum over y.  Without q_from_bound, q(y|x) gets no gradient from L(x)."""
    xp, U = namespace(log_q), batch.x.shape[-2] - batch.labels.shape[-1]
    pairs = choose(log_q[..., :U, :])
    P = pairs.weight.shape[-1]
    bound, bound_pullback = bound_given_y(model, params, x=batch.x, y=pairs.y, eps=pairs.eps, example=pairs.example,
                                          kl_weight=kl_weight)
    L_x, L_x_pullback = unlabelled_bound(log_q[..., :U, :], bound[..., :P], y=pairs.y[..., :P],
                                         example=pairs.example[..., :P], weight=pairs.weight)
    label, label_pullback = labels(batch, log_q)
    n_u, n_l = max(U, 1), max(bound.shape[-1] - P, 1)

    def pullback(dterms):
        dlog_q_u, dbound_u = L_x_pullback(dterms["L(x)"] / n_u)
        dbound_l = xp.broadcast_to(dterms["L(x,y)"][..., None] / n_l, bound[..., P:].shape)
        _, dlog_q = label_pullback(dterms)
        return (bound_pullback(xp.concat([dbound_u, dbound_l], axis=-1)),
                xp.concat([float(q_from_bound) * dlog_q_u, dlog_q[..., U:, :]], axis=-2))
    return {"L(x)": L_x / n_u, "L(x,y)": xp.sum(bound[..., P:], axis=-1) / n_l, **label}, pullback


def dreams(model, params, *, y, eps):
    """Mean log q(y|x) of dreams, x the mean of p(x|z), z ~ p(z|y): whether q(y|x) recognises their class.
    With H(y) it is a lower bound on their I(x;y) (Barber and Agakov, 2003).     y (…,N), eps (…,N,Z) -> (…)"""
    xp = namespace(eps)
    z, z_pullback = prior_sample(model, params, y=y, eps=eps)
    h, decode_pullback = decode(model, params, z, y=y)
    x, x_pullback = mean_x(model, h)
    log_q, q_pullback = log_q_y(params["q(y|x)"], x, wrt="x")
    log_q_at, at_pullback = at(log_q, y)

    def pullback(d):
        _, dx = q_pullback(at_pullback(xp.broadcast_to(d[..., None] / y.shape[-1], y.shape)))
        ddecode, dz = decode_pullback(x_pullback(dx))
        return add(ddecode, z_pullback(dz))
    return xp.mean(log_q_at, axis=-1), pullback


def held(model, params, batch, *, choose, kl_weight):
    """The terms while q(y|x) is held: the bounds of Eq. 2, and dreams of the classes of the batch's first examples."""
    log_q, _ = log_q_y(params["q(y|x)"], batch.tx)
    terms, eq2_pullback = eq2(model, params, batch, log_q, choose=choose, kl_weight=kl_weight)
    y = namespace(log_q).argmax(log_q[..., :DREAMS, :], axis=-1)
    terms["dreams"], dreams_pullback = dreams(model, params, y=y, eps=batch.eps[..., -y.shape[-1]:, :])

    def pullback(dterms):
        dparams, _ = eq2_pullback(dterms)
        return add(dparams, dreams_pullback(dterms["dreams"]))
    return terms, pullback


def stability(model, batch, log_q, *, tolerance=1.0):
    """Consistency under two maps, and balance, of the unlabelled examples."""
    xp, U = namespace(log_q), batch.t2x.shape[-2]
    log_q_t, log_q_t2 = log_q[..., :U, :], log_q[..., -U:, :]
    agree, agree_pullback = consistency(log_q_t, log_q_t2)
    kl, kl_pullback = balance(xp.concat([log_q_t, log_q_t2], axis=-2), prior=model.prior, tolerance=tolerance)

    def pullback(dterms):
        dq, dq2 = agree_pullback(dterms["consistency"])
        dkl = kl_pullback(dterms["balance"])
        labelled = xp.zeros_like(log_q[..., U:-U, :])
        return {}, xp.concat([dq + dkl[..., :U, :], labelled, dq2 + dkl[..., U:, :]], axis=-2)
    return {"consistency": agree, "balance": kl}, pullback


def smoothness(params, batch, log_q, *, perturb):
    """CE(q(y|tx), q(y|tx + r)) of the unlabelled examples, which moves q(y|tx + r) towards a constant.
    perturb(layers, log q, tx) gives the adversarial r and that constant, the present log q(y|tx)."""
    U, layers = batch.d.shape[-2], params["q(y|x)"]
    r, target = perturb(layers, log_q[..., :U, :], batch.tx[..., :U, :])
    log_q_r, r_pullback = log_q_y(layers, batch.tx[..., :U, :] + r, wrt="W")
    around, around_pullback = mean_cross_entropy(target, log_q_r)

    def pullback(dterms):
        _, dq_r = around_pullback(dterms["smoothness"])
        return {"q(y|x)": r_pullback(dq_r)[0]}, 0
    return {"smoothness": around}, pullback


def of_log_q(model, params, batch, term, perturb, tolerance=1.0):
    """The term and, where the batch has what they need, `stability` and `smoothness`, on one pass of q(y|x).
    -> {name: (…)}; the pullback takes {name: d} to the gradient of params"""
    xp, terms, seen = namespace(batch.tx), [term], batch.tx
    if batch.t2x is not None:
        terms.append(partial(stability, model, batch, tolerance=tolerance))
        seen = xp.concat([batch.tx, batch.t2x], axis=-2)
    if batch.d is not None:
        terms.append(partial(smoothness, params, batch, perturb=perturb))
    log_q, q_pullback = log_q_y(params["q(y|x)"], seen, wrt="W")
    values, pullbacks = zip(*(term(log_q) for term in terms))

    def pullback(dterms):
        dparams, dlog_q = zip(*(term_pullback(dterms) for term_pullback in pullbacks))
        return add(*dparams, {"q(y|x)": q_pullback(reduce(plus, dlog_q))[0]})
    return {name: value for named in values for name, value in named.items()}, pullback


def classifier(model, params, batch, *, perturb, tolerance=1.0, **_):
    """The terms that train q(y|x) alone."""
    return of_log_q(model, params, batch, partial(labels, batch), perturb, tolerance)


def joint(model, params, batch, *, perturb, tolerance=1.0, **bound):
    """The terms that train the whole model.     bound: choose and q_from_bound, as in `eq2`"""
    return of_log_q(model, params, batch, partial(eq2, model, params, batch, **bound), perturb, tolerance)


def weighted_sum(terms, *, alpha, gamma, weights, labelled=1.0, dream=0.0):
    """L(x) + l L(x,y) + α log q(y|x) + d dreams − γ [c consistency + s smoothness + β balance], of the present terms.
    terms {name: (…)}, l = labelled, d = dream, weights (c, s, β) -> (…); the pullback takes d (…) to {name: d}"""
    eq_2 = {"L(x)": 1, "L(x,y)": labelled, "log q(y|x)": alpha, "dreams": dream}
    value = sum(weight * terms[name] for name, weight in eq_2.items() if name in terms)
    around = [weight * terms[name] for name, weight in zip(INVARIANCE, weights) if name in terms]
    slopes = eq_2 | {name: -gamma * weight for name, weight in zip(INVARIANCE, weights)}

    def pullback(d):
        return {name: slopes[name] * d for name in terms}
    return value - gamma * sum(around) if around else value, pullback


def weight_prior(theta, decay):
    """−½ Σ λ θ².     θ (…,P), λ (P,) -> (…)"""
    def pullback(d):
        return (-d)[..., None] * decay * theta
    return -0.5 * namespace(theta).sum(decay * theta * theta, axis=-1), pullback


def value_and_pullback(objective, layout, theta, *, weights, decay=None):
    """The weighted sum of an objective's terms, with the prior on the weights of λ = decay (P,), as a function of θ.
    objective: params -> {name: (…)}, θ (…,P) -> {name: (…)}, "objective" being the sum; pullback: d (…) -> (…,P)"""
    terms, terms_pullback = objective(layout.views(theta))
    value, sum_pullback = weighted_sum(terms, **weights)
    prior, prior_pullback = (0, None) if decay is None else weight_prior(theta, decay)

    def pullback(d):
        dtheta = layout.flatten(terms_pullback(sum_pullback(d)), like=theta)
        return dtheta if decay is None else dtheta + prior_pullback(d)
    return {**terms, "objective": value + prior}, pullback
