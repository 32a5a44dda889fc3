"""How long a training step takes, here and in PyTorch and JAX: python -m tests.benchmarks --help"""
