"""The benchmark times one and the same step: same objective, same gradient, same θ afterwards."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from .benchmarks import command, contenders, growth, heat, problem, report, worker
from .benchmarks.ours import Ours
from .benchmarks.worker import Failed, Worker

RESULT = Path(__file__).parent.parent / "lessons" / "results" / "benchmark" / "benchmark.json"
GROWTH = RESULT.with_name("growth.json")
PEERS = [("exact", "ours-halves"), ("exact", "torch-tiled"), ("exact", "torch-shared"), ("exact", "jax"),
         ("sparse", "torch-pairs")]


def small(sum_over_y, scale=2.0):
    """A problem away from θ's start, of which clipping and prior are felt."""
    model = problem.model_of(12, X=56, Z=4, H=24)
    task = problem.task_of(problem.noise_images(56), np.random.default_rng(0))
    found = problem.problem_of(model, task, sum_over_y, U=8, L=6)
    theta = found.theta + 0.1 * np.random.default_rng(2).standard_normal(found.theta.size, dtype=np.float32)
    return replace(found, theta=scale * theta, alpha=2.0, decay=0.01, clip=0.5, rate=1e-4)


class Wrong(Ours):
    """Ours, but for the weight of the labels."""

    def __init__(self, problem):
        super().__init__(replace(problem, alpha=problem.alpha + 0.1))


@pytest.fixture
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(heat, "WARM", 0.0)
    monkeypatch.setattr(heat, "TURN", 0.01)


@pytest.mark.parametrize("sum_over_y, name", PEERS)
def test_peers_compute_our_step(sum_over_y, name):
    who, same = contenders.EXACT.get(name) or contenders.SPARSE[name], small(sum_over_y)
    if who.module != "ours":
        library = who.module.removeprefix("peers_")
        pytest.importorskip(library, reason=f"{library} is not installed: pip install -e '.[bench]'")
    ours, peer = Ours(same), who.make(same)
    expected = ours.value_and_gradient()
    assert np.abs(expected[1]).max() > same.clip
    assert max(heat.differences(same.model.layout, peer.value_and_gradient(), expected).values()) < heat.PARITY
    for _ in range(3):
        ours.step()
        peer.step()
    moved = ours.parameters() - same.theta
    assert np.linalg.norm(peer.parameters() - same.theta - moved) < 1e-2 * np.linalg.norm(moved)


def test_arithmetic_is_that_of_every_matrix_product_of_our_step():
    """But for sums over chosen rows, which we write as products with one-hot matrices."""
    class Counting(np.ndarray):
        flops = 0

        def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
            plain = [a.view(np.ndarray) if isinstance(a, Counting) else a for a in inputs]
            value = getattr(ufunc, method)(*plain, **keywords)
            if ufunc is np.matmul:
                Counting.flops += 2 * value.size * plain[0].shape[-1]
            return value.view(Counting) if isinstance(value, np.ndarray) else value

        def __array_function__(self, function, types, arguments, keywords):  # such as where, which forgets the class
            value = super().__array_function__(function, types, arguments, keywords)
            return value.view(Counting) if isinstance(value, np.ndarray) else value

    same = small("exact")
    ours = Ours(same)
    ours.theta, ours.batch.x = ours.theta.view(Counting), ours.batch.x.view(Counting)
    ours.batch.tx = ours.batch.x
    ours.value_and_gradient()
    m, U, N, P = same.model, len(same.batch.u), len(same.batch.x), len(same.pairs.y)
    one_hot = P * m.K * m.H + P * N * m.H + 2 * P * m.K * m.Z + U * m.K * U * m.K
    assert Counting.flops == same.flops + 2 * one_hot


def test_what_computes_something_else_is_not_timed():
    wrong = contenders.Contender("wrong", ".test_benchmarks", "Wrong")
    with pytest.raises(heat.Unequal, match="wrong must compute the step of ours to 0.0001, but differs by"):
        heat.admit({"ours": contenders.OURS["ours"], "wrong": wrong}, small("exact"), print)


def test_a_heat(in_a_hurry):
    """What is absent is named with its reason; what is there has all of its figures."""
    table = {name: contenders.OURS[name] for name in ("ours", "ours-1")}
    table["absent"] = contenders.Contender("a peer", ".no_such_module", "Peer")
    result = command.compare(table, small("sparse"), 2)
    absent, one = result["contenders"].pop("absent"), result["contenders"]["ours-1"]
    assert absent["absent"].startswith("ModuleNotFoundError: No module named")
    assert one["threads"] == {"openblas": 1} or "openblas" not in one["threads"]
    for figures in result["contenders"].values():
        assert 0 < figures["ms"]["lower"] <= figures["ms"]["median"] <= figures["ms"]["upper"]
        assert figures["steps"] >= 2 and figures["share"] > 0 and figures["floor_ms"] > 0
        assert figures["peak_mb"] is None or 20 < figures["peak_mb"] < 1000
    assert result["contenders"]["ours"]["ratio"] == {"lower": 1.0, "median": 1.0, "upper": 1.0}


def test_a_worker_has_its_environment_and_its_errors_one_line():
    with Worker({"MICROGMDGM_TEST": "there"}) as ask:
        assert ask(os.getenv, "MICROGMDGM_TEST") == "there" and "MICROGMDGM_TEST" not in os.environ
        with pytest.raises(Failed, match="^ValueError: invalid literal for int"):
            ask(int, "one\ntwo")
        with pytest.raises(Failed, match="^its process died, exit code 3$"):
            ask(os._exit, 3)


def test_peak_memory_is_that_of_the_worker_alone():
    held = np.ones(40_000_000)
    with Worker({}) as ask:
        before = ask(worker.peak_memory)
        ask(len, held[:10_000_000])
        if before is None:
            pytest.skip("this system does not say")
        assert before < 200 and 60 < ask(worker.peak_memory) - before < 300


def test_a_sharp_posterior_without_mnist(monkeypatch):
    monkeypatch.setenv("MICROGMDGM_DATA", "/nowhere")
    found, made = problem.sharp(problem.model_of(15, H=20, Z=4))
    assert "noise" in made and 0.8 * problem.ENTROPY < problem.entropy_of(found) <= problem.ENTROPY
    assert 2 * 100 <= len(found.pairs.y) <= 3 * 100


@pytest.mark.parametrize("arguments, message", [
    (["--threads", "0"], "--threads takes a number from 1, not 0"),
    (["--out", "result.txt"], "--out takes the path of a .json in a folder that exists, not result.txt"),
    (["--out", "/nowhere/result.json"], "--out takes the path of a .json in a folder that exists")])
def test_wrong_arguments(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_the_report_names_who_is_absent_and_draws_every_point():
    result = json.loads(RESULT.read_text())
    jax = result["exact"]["contenders"]["jax"]
    result["exact"]["contenders"]["jax"] = {"title": jax["title"], "absent": "no jax"}
    assert f"| {jax['title']} | – | – | – |" in report.table(result)
    assert f"Not timed: {jax['title']} (no jax)." in report.prose(result)
    figure = report.curves(result)
    drawn = {tuple(line.get_xdata()) for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 4}
    assert drawn == {command.CLASSES, tuple(2 * U for U in command.EXAMPLES)}
    figure.savefig(io.BytesIO(), format="png")


def test_growth_is_measured_at_each_size(tmp_path):
    """A point a size; ten times as many rows take longer, and memory does not hold them."""
    points = growth.measure({"rows": (1000, 10_000), "slots": (12,), "columns": (50,)}, tmp_path, str)
    assert [(point["against"], point["at"]) for point in points] == [
        ("rows", 1000), ("rows", 10_000), ("slots", 12), ("columns", 50)]
    few, many, *_ = points
    assert many["alone"] > 3 * few["alone"] and many["joint"] > 3 * few["joint"]
    assert few["peak_mb"] is None or 0 < many["peak_mb"] - few["peak_mb"] < 60
    assert not list(tmp_path.iterdir())


def test_the_figure_of_growth_has_every_point():
    points = json.loads(GROWTH.read_text())["points"]
    assert {(point["against"], point["at"]) for point in points} == {
        (against, at) for against, values in growth.SIZES.items() for at in values}
    figure = growth.figure_of(points)
    drawn = [tuple(line.get_xdata()) for axes in figure.axes for line in axes.lines]
    assert all(drawn.count(values) == 3 for values in growth.SIZES.values())
    figure.savefig(io.BytesIO(), format="png")
