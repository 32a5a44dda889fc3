"""All parameters live in one flat vector θ; a layout names its parts.

That makes Adam, clipping, the weight prior, checkpoints and the gradient check of a whole model
one line each.  A leading run axis, θ (R, P), holds R runs.
"""

import math
from dataclasses import dataclass

import numpy as np

from .backend import namespace


def glorot(fan_in, fan_out):
    """σ = √(2 / (fan_in + fan_out)), the standard deviation of Glorot and Bengio (2010)."""
    return math.sqrt(2 / (fan_in + fan_out))


@dataclass(frozen=True)
class Layout:
    """Which slice of θ is which array: {network: [(shape, σ of the initial weights), …]}."""
    networks: dict

    def parts(self):
        """(network, start, stop, shape, σ) of each array, in their order in θ."""
        start = 0
        for network, arrays in self.networks.items():
            for shape, sigma in arrays:
                stop = start + math.prod(shape)
                yield network, start, stop, shape, sigma
                start = stop

    @property
    def size(self):
        """P, the number of parameters."""
        return max(stop for _, _, stop, _, _ in self.parts())

    def span(self, network):
        """The slice of θ that holds one network."""
        bounds = [(start, stop) for name, start, stop, _, _ in self.parts() if name == network]
        return slice(bounds[0][0], bounds[-1][1])

    def views(self, theta):
        """θ (…,P) -> {network: [array (…,*shape), …]}, without a copy."""
        xp, params = namespace(theta), {}
        for network, start, stop, shape, _ in self.parts():
            view = xp.reshape(theta[..., start:stop], theta.shape[:-1] + shape)
            params.setdefault(network, []).append(view)
        return params

    def flatten(self, grads, like):
        """{network: [array, …]} -> (…,P) like θ; a missing network has gradient 0."""
        xp, runs, flat = namespace(like), like.shape[:-1], []
        for network, arrays in self.networks.items():
            values = grads.get(network) or [None] * len(arrays)
            for value, (shape, _) in zip(values, arrays):
                size = runs + (math.prod(shape),)
                flat.append(xp.zeros(size, dtype=like.dtype) if value is None else xp.reshape(value, size))
        return xp.concat(flat, axis=-1)

    def initial(self, rng, dtype="float32"):
        """θ (P,) with θ_i ~ N(0, σ²), σ = 0 for biases; rng a NumPy Generator."""
        return np.concatenate([rng.normal(0, sigma, math.prod(shape)).astype(dtype)
                               for *_, shape, sigma in self.parts()])

    def kernels(self, like):
        """1 where θ holds a weight and 0 where it holds a bias, (P,) like θ."""
        xp = namespace(like)
        return xp.concat([xp.full((stop - start,), float(sigma > 0), dtype=like.dtype)
                          for _, start, stop, _, sigma in self.parts()])


def add(*gradients):
    """The sum of gradients {network: [array, …]}, any of which may lack some networks."""
    total = {}
    for grads in gradients:
        for network, arrays in grads.items():
            total[network] = [a + b for a, b in zip(total[network], arrays)] if network in total else arrays
    return total
