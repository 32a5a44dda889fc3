"""Layers as functions: each returns its value and its pullback.

pullback(dvalue) takes the gradient of the objective with respect to the value and returns those with respect to the
arguments, in their order.  Nothing is hidden: a network may be called twice in a step, each with its own activations.
"""

from .backend import fused, namespace, numbers


def dense(W, b, x, wrt="Wx"):
    """y = x W + b.     W (…,I,O), b (…,1,O), x (…,N,I) -> y (…,N,O)
    wrt names what needs a gradient: "W" (with b), "x" or both; the others get None, which saves a third of the work."""
    xp = namespace(W)

    def pullback(dy):
        dW, db = (x.mT @ dy, xp.sum(dy, axis=-2, keepdims=True)) if "W" in wrt else (None, None)
        return dW, db, dy @ W.mT if "x" in wrt else None
    return x @ W + b, pullback


@fused
def where_positive(h, dh):
    """dh where h > 0, and 0 where h is 0: the sign of h, by which NumPy multiplies faster than it chooses."""
    return dh * namespace(h).sign(h)


def relu(a):
    """h = max(a, 0), element by element."""
    h = namespace(a).maximum(a, 0)

    def pullback(dh):
        return where_positive(h, dh)
    return h, pullback


def one_hot(index, K, like):
    """1 in column index[n] of row n.     index (…,N) -> (…,N,K), in the array library and dtype of like"""
    xp = namespace(like)
    return xp.asarray(index[..., None] == numbers(K, xp), dtype=like.dtype)


def rows(h, index):
    """h[index], run by run.     h (…,N,H), index (…,P) -> (…,P,H)"""
    xp = namespace(h)
    if len(h.shape) == 2:
        return xp.take(h, index, axis=0)
    R, N, H = h.shape
    flat = xp.reshape(index + numbers(R, xp, step=N)[:, None], (-1,))
    return xp.reshape(xp.take(xp.reshape(h, (R * N, H)), flat, axis=0), (R, -1, H))


def pick(h, *, index):
    """rows(h, index), differentiable.  Row n of dh sums the gradients of all rows picked from n: a one-hot product."""
    def pullback(dpicked):
        return one_hot(index, h.shape[-2], dpicked).mT @ dpicked
    return rows(h, index), pullback


def halves(h):
    """The two halves of the last axis, such as μ and log σ².     h (…,2Z) -> 2 × (…,Z)"""
    xp, Z = namespace(h), h.shape[-1] // 2

    def pullback(dhalves):
        return xp.concat(dhalves, axis=-1)
    return (h[..., :Z], h[..., Z:]), pullback


def mlp(layers, x, wrt="Wx"):
    """dense, relu, dense, relu, …, dense.     layers [W, b, W, b, …], x (…,N,I) -> (…,N,O)"""
    pullbacks = []
    for i in range(0, len(layers), 2):
        if i > 0:
            x, pullback = relu(x)
            pullbacks.append(pullback)
        x, pullback = dense(layers[i], layers[i + 1], x, wrt if i == 0 else wrt + "x")
        pullbacks.append(pullback)

    def pullback(dx):
        dlayers = []
        for i, back in enumerate(reversed(pullbacks)):
            if i % 2:
                dx = back(dx)
            else:
                dW, db, dx = back(dx)
                dlayers = [dW, db] + dlayers
        return dlayers, dx
    return x, pullback


def class_mlp(layers, x, *, y, example=None, wrt="Wx"):
    """The mlp of [x, one-hot y] for (example, class) pairs.     x (…,N,I), y (…,P) -> (…,P,O)
    The first layer is split, [x, one-hot y] W = x Wx + Wy[y], so that x Wx is computed once per example, not once per
    pair.     layers [Wx, Wy, b, W, b, …]; example (…,P) is a pair's row of x; omit it if x has one row per pair."""
    Wx, Wy, b, *rest = layers
    hx, dense_pullback = dense(Wx, b, x, wrt)
    hy, y_pullback = pick(Wy, index=y)
    if example is not None:
        hx, example_pullback = pick(hx, index=example)
    h, relu_pullback = relu(hx + hy)
    out, mlp_pullback = mlp(rest, h)

    def pullback(dout):
        drest, dh = mlp_pullback(dout)
        dh = relu_pullback(dh)
        dWy = y_pullback(dh)
        dWx, db, dx = dense_pullback(dh if example is None else example_pullback(dh))
        return [dWx, dWy, db, *drest], dx
    return out, pullback
