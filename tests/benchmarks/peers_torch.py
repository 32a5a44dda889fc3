"""The same step in PyTorch, as its users write it."""

import torch
from torch import nn
from torch.nn import functional as F


def mlp(inputs, H, outputs):
    return nn.Sequential(nn.Linear(inputs, H), nn.ReLU(), nn.Linear(H, H), nn.ReLU(), nn.Linear(H, outputs))


class GMDGM(nn.Module):
    """Its parameters, in their order and each weight transposed, are θ."""

    def __init__(self, model, shared):
        super().__init__()
        X, Z, H, K = model.X, model.Z, model.H, model.K
        self.q_y = mlp(X, H, K)
        if shared:
            self.from_x, self.from_y = nn.Linear(X, H, bias=False), nn.Linear(K, H)
        else:
            self.from_xy = nn.Linear(X + K, H)
        self.q_z = nn.Sequential(nn.ReLU(), nn.Linear(H, H), nn.ReLU(), nn.Linear(H, 2 * Z))
        self.prior_mu, self.prior_logvar = nn.Linear(K, Z, bias=False), nn.Linear(K, Z, bias=False)
        self.p_x = mlp(Z, H, X)
        self.register_buffer("log_p_y", torch.tensor(model.prior).log())

    def bound(self, x, y, h, eps):
        """L(x,y), Eq. 8, y one-hot and h the first layer of q(z|x,y) before its ReLU."""
        mu, logvar = self.q_z(h).chunk(2, dim=-1)
        z = mu + torch.exp(0.5 * logvar) * eps
        logits = self.p_x(z)
        log_p_x = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        mu0, logvar0 = self.prior_mu(y), self.prior_logvar(y)
        kl = 0.5 * (logvar0 - logvar + (logvar - logvar0).exp() + (mu - mu0) ** 2 / logvar0.exp() - 1).sum(-1)
        return log_p_x - kl + y @ self.log_p_y


def ours(p):
    """A parameter, or its gradient, in the shape that it has in θ."""
    return p.detach().mT if p.ndim == 2 else p.detach()


class Step:
    """One training step.  A subclass says how the bounds of all pairs are computed."""
    shared = True

    def __init__(self, problem):
        self.problem, self.module = problem, GMDGM(problem.model, self.shared)
        batch, pairs = problem.batch, problem.pairs
        self.U, self.K = len(batch.u), problem.model.K
        self.x, self.labels, self.eps = (torch.from_numpy(a) for a in (batch.x, batch.labels, pairs.eps))
        self.one_hot_l, self.all_y = F.one_hot(self.labels, self.K).float(), torch.eye(self.K)
        self.example, self.y = torch.from_numpy(pairs.example), torch.from_numpy(pairs.y)
        self.weight = torch.from_numpy(pairs.weight)
        start = 0
        for p in self.module.parameters():
            ours(p).copy_(torch.from_numpy(problem.theta[start:start + p.numel()]).reshape(ours(p).shape))
            start += p.numel()
        self.optimiser = torch.optim.Adam(self.module.parameters(), lr=problem.rate, fused=True)

    def flat(self, tensors):
        return torch.cat([ours(t).reshape(-1) for t in tensors]).numpy()

    def loss(self):
        """Minus Eq. 2, with the prior on the weights."""
        module, U, problem = self.module, self.U, self.problem
        log_q = F.log_softmax(module.q_y(self.x), dim=-1)
        L_x, L_xy = self.bounds(log_q[:U])
        label = -F.nll_loss(log_q[U:], self.labels)
        prior = sum((p ** 2).sum() for p in module.parameters() if p.ndim == 2)
        return -(L_x + L_xy + problem.alpha * label) + 0.5 * problem.decay * prior

    def backward(self):
        self.optimiser.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def value_and_gradient(self):
        value = -self.backward().item()
        return value, -self.flat(p.grad for p in self.module.parameters())

    def step(self):
        self.backward()
        nn.utils.clip_grad_value_(self.module.parameters(), self.problem.clip)
        self.optimiser.step()

    def parameters(self):
        return self.flat(self.module.parameters())


class Tiled(Step):
    """x and one-hot y of all K classes tiled and concatenated, as published codes do."""
    shared = False

    def bounds(self, log_q):
        module, U, K = self.module, self.U, self.K
        x, y = self.x[:U].repeat_interleave(K, dim=0), self.all_y.repeat(U, 1)
        bound = module.bound(x, y, module.from_xy(torch.cat([x, y], dim=1)), self.eps[:U * K]).reshape(U, K)
        x, y = self.x[U:], self.one_hot_l
        bound_l = module.bound(x, y, module.from_xy(torch.cat([x, y], dim=1)), self.eps[U * K:])
        return (log_q.exp() * (bound - log_q)).sum() / U, bound_l.mean()


class Shared(Step):
    """The first layer of q(z|x,y) once an example and once a class, then added for each pair."""

    def bounds(self, log_q):
        module, U, K = self.module, self.U, self.K
        from_x = module.from_x(self.x)
        bound = module.bound(self.x[:U, None], self.all_y, from_x[:U, None] + module.from_y(self.all_y),
                             self.eps[:U * K].reshape(U, K, -1))
        bound_l = module.bound(self.x[U:], self.one_hot_l, from_x[U:] + module.from_y(self.one_hot_l),
                               self.eps[U * K:])
        return (log_q.exp() * (bound - log_q)).sum() / U, bound_l.mean()


class Compiled(Shared):
    """The same by torch.compile."""

    def __init__(self, problem):
        super().__init__(problem)
        self.loss = torch.compile(self.loss, dynamic=False)


class Pairs(Step):
    """The pairs that our sparse sum takes at θ."""

    def bounds(self, log_q):
        module, P = self.module, len(self.weight)
        y = self.all_y[self.y]
        h = module.from_x(self.x).index_select(0, self.example) + module.from_y(y)
        bound = module.bound(self.x[self.example], y, h, self.eps)
        q = self.weight * log_q[self.example[:P], self.y[:P]].exp()
        return ((q * bound[:P]).sum() - (log_q.exp() * log_q).sum()) / self.U, bound[P:].mean()
