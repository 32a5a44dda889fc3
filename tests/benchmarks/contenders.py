"""The table of contenders."""

from dataclasses import dataclass, field
from importlib import import_module


@dataclass(frozen=True)
class Contender:
    """The class `maker` of `module`: of a problem it makes what has step() and, but for products,
    value_and_gradient() and parameters().  Its process has this environment."""
    title: str
    module: str
    maker: str
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)

    def make(self, problem):
        """Imports its library.  Raises ImportError where it is not installed."""
        return getattr(import_module(f".{self.module}", __package__), self.maker)(problem, **self.options)


def threads(N):
    """What OpenBLAS, OpenMP (PyTorch), MKL and XLA (JAX, whose thread pools have no other setting) obey."""
    return {name: str(N) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")}


KEEP_FREED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}
WITHOUT = {"keep": False}

OURS = {
    "ours": Contender("microgmdgm", "ours", "Ours"),
    "ours-1": Contender("microgmdgm, one thread", "ours", "Ours", environment=threads(1)),
    "ours-default": Contender("microgmdgm without `keep_freed_memory()`", "ours", "Ours", WITHOUT),
    "ours-malloc": Contender("microgmdgm without it, `MALLOC_…` set", "ours", "Ours", WITHOUT, KEEP_FREED),
}

EXACT = {
    **OURS,
    "ours-adam": Contender("microgmdgm, Adam in whole arrays", "ours", "Ours", {"block": 2**40}),
    "ours-halves": Contender("microgmdgm, two halves of the batch in two threads", "ours", "Halves",
                             environment=threads(1)),
    "torch-tiled": Contender("PyTorch, x and y tiled and concatenated", "peers_torch", "Tiled"),
    "torch-shared": Contender("PyTorch, first layer shared", "peers_torch", "Shared"),
    "torch-malloc": Contender("PyTorch, first layer shared, `MALLOC_…` set", "peers_torch", "Shared",
                              environment=KEEP_FREED),
    "torch-compiled": Contender("PyTorch, first layer shared, `torch.compile`", "peers_torch", "Compiled"),
    "jax": Contender("JAX, jitted, first layer shared", "peers_jax", "Jitted"),
}
SPARSE = {**OURS, "torch-pairs": Contender("PyTorch, the same pairs", "peers_torch", "Pairs")}
PRODUCTS = {  # of one of ours: a matrix product in the same environment
    name: Contender("a product", "ours", "Product", environment=OURS[name].environment)
    for name in ("ours", "ours-1")
}
