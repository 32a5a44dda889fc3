"""The command line, and the order of the heats."""

import argparse
import os
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from microgmdgm.files import whole, write_json
from microgmdgm.machine import device_name
from microgmdgm.pages import png
from . import heat
from .contenders import EXACT, OURS, PRODUCTS, SPARSE, threads
from .ours import Product
from .problem import model_of, noise_images, problem_of, sharp, task_of
from .report import curves, prose, table
from .worker import Failed, Worker

CLASSES, EXAMPLES = (10, 15, 30, 100), (50, 100, 200, 400)  # of the curves; examples without and with a label each
ROUNDS, QUICK = (10, 3), (3, 1)                             # of the contenders, and of the curves


def say(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def compare(contenders, problem, rounds):
    """One heat, with the products that say what a BLAS could do at best.     -> its figures"""
    figures = heat.admit(contenders, problem, say)
    entries = {name: (contenders[name], problem) for name, one in figures.items() if "absent" not in one}
    products = {name: f"product for {name}" for name in PRODUCTS if name in entries}
    found = heat.run(entries | {product: (PRODUCTS[name], problem) for name, product in products.items()}, rounds, say)
    for name in entries:
        figures[name].update(found[name])
    for name, product in products.items():
        if "ms" in figures[name]:
            rate = Product.flops / found[product]["ms"]["median"] / 1e6
            floor = problem.flops / rate / 1e6
            figures[name].update(gflops=round(rate, 1), floor_ms=round(floor, 3),
                                 share=round(floor / figures[name]["ms"]["median"], 4))
    return {"pairs": len(problem.pairs.y), "gflop": problem.flops / 1e9, "contenders": figures}


def curve(task, against, values, rounds):
    """Our step, exact and sparse, at a flat q(y|x), which is the sparse sum at its dearest.     -> a list of points"""
    points = []
    for sum_over_y in ("exact", "sparse"):
        for value in values:
            K, U = (value, 100) if against == "classes" else (15, value)
            points.append({"against": against, "at": K if against == "classes" else 2 * U, "sum": sum_over_y,
                           "problem": problem_of(model_of(K), task, sum_over_y, U=U, L=U)})
    entries = {f"ours {i}": (OURS["ours"], point.pop("problem")) for i, point in enumerate(points)}
    found = heat.run(entries, rounds, say)
    for point, (name, (_, problem)) in zip(points, entries.items()):
        point.update(pairs=len(problem.pairs.y), ms=found[name]["ms"], peak_mb=found[name]["peak_mb"])
    return points


def measure(rounds, curve_rounds):
    """All heats.     -> what benchmark.json holds, but for the command"""
    model, task = model_of(15), task_of(noise_images(), np.random.default_rng(0))
    say("a sharp q(y|x)")
    with Worker(threads(1)) as ask:  # the same bits whatever the number of threads
        sparse, made = ask(sharp, model)
    blas = next((pool for pool in threadpool_info() if pool["user_api"] == "blas"), {})
    versions = {}
    for name in ("numpy", "torch", "jax"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    result = {"device": device_name(), "cores": os.cpu_count(), "versions": versions,
              "blas": {name: blas.get(name) for name in ("internal_api", "version", "architecture")},
              "sharp": made,
              "exact": compare(EXACT, problem_of(model, task, "exact"), rounds),
              "sparse": compare(SPARSE, sparse, rounds)}
    result["curves"] = [point for against, values in (("classes", CLASSES), ("examples", EXAMPLES))
                        for point in curve(task, against, values, curve_rounds)]
    return result


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="One training step of GM-DGM with the paper's sizes, by "
        "microgmdgm, by PyTorch and by JAX where they are installed (pip install -e '.[bench]'): time in turn, "
        "memory, and the share of the BLAS rate.  MNIST, if at hand, makes q(y|x) sharp.  Run it on a quiet machine.")
    parser.add_argument("--threads", type=int, metavar="N", help="of every contender (default: as they come)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]} rounds in place of {ROUNDS[0]}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write FILE, a .json, and the curves beside it, .png")
    found = parser.parse_args()
    if found.threads is not None and found.threads < 1:
        parser.error(f"--threads takes a number from 1, not {found.threads}")
    if found.out and (found.out.suffix != ".json" or not found.out.parent.is_dir()):
        parser.error(f"--out takes the path of a .json in a folder that exists, not {found.out}")
    if found.threads:
        os.environ.update(threads(found.threads))
    try:
        result = {"command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
                  **measure(*(QUICK if found.quick else ROUNDS))}
    except (heat.Unequal, Failed) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    print(table(result), prose(result), sep="\n\n")
    if found.out:
        try:
            write_json(found.out, result)
            with whole(found.out.with_suffix(".png")) as file:
                file.write(png(curves(result)))
        except OSError as error:
            sys.exit(f"cannot write {found.out}: {error}")
