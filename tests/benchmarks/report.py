"""What was measured, as a table in Markdown, as sentences and as a figure."""

from matplotlib.figure import Figure

SUMS = {"exact": "exact sum over y", "sparse": "sparse sum"}
SHORT = {"ours": "as it comes", "ours-1": "one thread"}


def table(result):
    """A row a contender.     result: of benchmark.json -> Markdown"""
    lines = ["| one training step | ms, median (quartiles) | times ours | peak memory, MB |", "|---|---|---|---|"]
    for name, title in SUMS.items():
        lines.append(f"| *{title}, {result[name]['pairs']:,} pairs* |  |  |  |")
        for key, one in result[name]["contenders"].items():
            cells = ["–"] * 3 if "absent" in one else [
                "{median:.1f} ({lower:.1f}–{upper:.1f})".format(**one["ms"]), f"{one['ratio']['median']:.2f}",
                f"{one['peak_mb'] or '–'}"]
            mark = "**" if key == "ours" else ""
            lines.append("| " + " | ".join(f"{mark}{cell}{mark}" for cell in [one["title"], *cells]) + " |")
    return "\n".join(lines)


def prose(result):
    """Floors and shares, the sharp q(y|x), who was absent, and the machine.     -> a paragraph"""
    sentences = []
    for name, title in SUMS.items():
        ours = {key: one for key, one in result[name]["contenders"].items() if "share" in one}
        sentences.append(
            f"The matrix products of a step with the {title} are {result[name]['gflop']:.2f} GFLOP; at the rate of a "
            "product of (1500, 500) and (500, 500), timed in turn with the steps, they take " + ", ".join(
                f"{one['floor_ms']:.1f} ms ({SHORT[key]}: {one['gflops']:.0f} GFLOP/s, of which the step reaches "
                f"{100 * one['share']:.0f} %)" for key, one in ours.items()) + ".")
    sentences.append(f"The sparse sum is timed at a sharp q(y|x): {result['sharp']}.")
    absent = {one["title"]: one["absent"] for name in SUMS for one in result[name]["contenders"].values()
              if "absent" in one}
    if absent:
        sentences.append("Not timed: " + "; ".join(f"{title} ({why})" for title, why in absent.items()) + ".")
    blas = " ".join(str(part) for part in result["blas"].values())
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    threads = result["exact"]["contenders"]["ours"]["threads"]
    sentences.append(f"`{result['command']}` on {result['cores']} cores ({result['device']}), BLAS "
                     f"threads: {max(threads.values(), default='unknown')}; {versions}, {blas}.")
    return " ".join(sentences)


def curves(result):
    """The time of our step against the number of classes, and against the number of examples.     -> Figure"""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    labels = {"classes": "K, classes (100 unlabelled and 100 labelled examples)",
              "examples": "examples in a batch, half of them labelled (K = 15)"}
    for panel, (against, label) in zip(figure.subplots(1, 2), labels.items()):
        for name, colour, line in (("exact", "#0072B2", "-"), ("sparse", "#D55E00", "--")):
            points = [point for point in result["curves"] if (point["against"], point["sum"]) == (against, name)]
            lower, median, upper = ([point["ms"][of] for point in points] for of in ("lower", "median", "upper"))
            spread = [[m - l for l, m in zip(lower, median)], [u - m for m, u in zip(median, upper)]]
            panel.errorbar([point["at"] for point in points], median, spread, color=colour, linestyle=line, marker=".",
                           capsize=3, label=SUMS[name] + (", q(y|x) flat" if name == "sparse" else ""))
        panel.set_xlabel(label)
        panel.set_ylabel("ms a step, median and quartiles")
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return figure
