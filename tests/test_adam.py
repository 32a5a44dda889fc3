"""Adam against its formulas, and its blocks against the whole."""

import numpy as np

from microgmdgm import adam


def test_steps_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    theta, m, v = rng.standard_normal(7), np.zeros(7), np.zeros(7)
    ours, state = theta.copy(), adam.Adam.like(theta)
    for t in range(1, 6):
        g = rng.standard_normal(7)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta = theta + 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        state.ascend(ours, g, 0.01)
        np.testing.assert_allclose(ours, theta, rtol=1e-12)


def test_the_first_step_has_the_length_of_the_learning_rate():
    theta = np.zeros(3)
    adam.Adam.like(theta).ascend(theta, np.array([1e-3, -5.0, 300.0]), 0.1)
    np.testing.assert_allclose(theta, [0.1, -0.1, 0.1], rtol=1e-4)


def test_blocks_and_runs_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(1)
    g = rng.standard_normal((3, 2, 50)).astype(np.float32)
    results = []
    for block in (7, 1000):
        monkeypatch.setattr(adam, "BLOCK", block)
        theta = np.ones((2, 50), np.float32)
        state = adam.Adam.like(theta)
        for step in g:
            state.ascend(theta, step, 0.01)
        assert theta.dtype == np.float32
        results.append(theta)
    assert np.array_equal(*results)
