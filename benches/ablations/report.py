"""Tables and plots of ablations: means over seeds with 95 % confidence intervals."""

import json
import math
from pathlib import Path
from statistics import mean, stdev

from variants import DIRECTIONS, INFERENCE, NEAR, SAME, TASKS

# Two-sided 95 % quantiles of Student's t with n - 1 degrees of freedom (n = 2, 3, ...).
STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]


def interval(values: list[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean; infinite for a single value."""
    if len(values) < 2:
        return math.inf
    return STUDENT[min(len(values) - 2, len(STUDENT) - 1)] * stdev(values) / math.sqrt(len(values))


def shown(values: list[float], digits: int = 3) -> str:
    """Mean and interval."""
    half = interval(values)
    return f"{mean(values):.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else "")


def difference(first: dict[int, float], second: dict[int, float]) -> list[float]:
    """First minus second, of the seeds that both have: the same seed shows the same data in the same order."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def verdict(differences: list[float]) -> str:
    """Whether the first of two has fewer bits per byte."""
    half = interval(differences)
    if not math.isfinite(half) or abs(mean(differences)) <= half:
        return "not decided"
    return "holds" if mean(differences) < 0 else "does not hold"


def near(differences: list[float], margin: float) -> str:
    """Whether two are no further apart than a margin."""
    half, middle = interval(differences), abs(mean(differences))
    if math.isfinite(half) and middle + half <= margin:
        return "holds"
    return "does not hold" if math.isfinite(half) and middle - half > margin else "not decided"


def directions(bits: dict[tuple[str, str], dict[int, float]], runs: list[dict]) -> list[dict]:
    """What was found elsewhere, and whether it is so here."""
    found = []
    for task, first, second, what in DIRECTIONS + SAME:
        differences = difference(bits.get((task, first), {}), bits.get((task, second), {}))
        if not differences:
            continue
        margin = NEAR * mean(bits[task, second].values()) if (task, first, second, what) in SAME else None
        here = verdict(differences) if margin is None else near(differences, margin)
        found.append({"task": task, "direction": what, "first": first, "second": second, "differences": differences,
                      "margin": margin, "verdict": here})
    for task in TASKS:
        ways = [run["eval"] for run in runs if run["task"] == task and len(run["eval"]) > 1]
        for first, second in INFERENCE if ways else []:
            differences = [way[first]["bits_per_byte"] - way[second]["bits_per_byte"] for way in ways]
            found.append({"task": task, "direction": "inference of the base", "first": first, "second": second,
                          "differences": differences, "margin": None, "verdict": verdict(differences)})
    return found


def finite(half: float) -> float | None:
    """An interval as JSON knows it."""
    return half if math.isfinite(half) else None


def name_of(out: Path, task: str, variant: str, seed: int | str, flops: float) -> Path:
    """The file of a run's result."""
    words = "".join(letter if letter.isalnum() else "_" for letter in variant)
    return out / f"{task}-{words}-{seed}-{flops:.3g}.json"


def write(out: Path, flops: float) -> None:
    """`table.md`, `table.json` and plots from the result files."""
    paths = [path for task in TASKS for variant in TASKS[task] for path in sorted(out.glob(name_of(out, task, variant, "*", flops).name))]
    runs = [json.loads(path.read_text()) for path in paths]
    if not runs:
        return
    bits: dict[tuple[str, str], dict[int, float]] = {}
    for run in runs:
        bits.setdefault((run["task"], run["variant"]), {})[run["seed"]] = run["eval"]["plain"]["bits_per_byte"]
    any_of = {(run["task"], run["variant"]): run for run in runs}

    lines = [f"Every run: {flops:.1e} FLOPs of training. Bits per byte on held-out data, plain inference; means over seeds with "
             "95 % confidence intervals, differences to the base seed by seed.", ""]
    means = []
    for task, variants in TASKS.items():
        names = [name for name in variants if (task, name) in bits]
        if not names:
            continue
        lines += [f"### {task}", "", "| variant | bits per byte | less the base | parameters | MFLOP a byte | steps | bytes trained on | s |",
                  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        base = bits.get((task, "base"), {})
        for name in names:
            run, found = any_of[task, name], bits[task, name]
            seconds = mean(r["seconds"] for r in runs if (r["task"], r["variant"]) == (task, name))
            less = difference(found, base)
            means.append({"task": task, "variant": name, "seeds": len(found), "bits_per_byte": mean(found.values()),
                          "interval": finite(interval(list(found.values()))), "less_base": mean(less) if less else None,
                          "less_base_interval": finite(interval(less))})
            lines.append(
                f"| {name} | {shown(list(found.values()))} | {shown(less) if name != 'base' and less else ''} | "
                f"{run['parameters']:,} | {run['training_flops_per_byte'] / 3e6:.2f} | {run['steps']:,} | {run['predicted_bytes']:,} | {seconds:.0f} |")
        lines.append("")
    lines += ["### The paper's directions", "", "| task | direction | difference | here |", "| --- | --- | ---: | --- |"]
    found_here = directions(bits, runs)
    for row in found_here:
        bound = f" (within {row['margin']:.3f})" if row["margin"] else ""
        lines.append(f"| {row['task']} | {row['direction']}{bound}: {row['first']} less {row['second']} | {shown(row['differences'])} | {row['verdict']} |")
    lines += ladder(runs)
    (out / "table.md").write_text("\n".join(lines) + "\n")
    (out / "table.json").write_text(json.dumps({"flops": flops, "variants": means, "directions": found_here, "runs": runs}, indent=1))
    plot(out, bits)
    print("\n".join(lines))


def ladder(runs: list[dict]) -> list[str]:
    """How the base is scored in every way."""
    bases = [run for run in runs if len(run["eval"]) > 1]
    if not bases:
        return []
    lines = ["", "### Inference, the base", "", "| task | inference | bits per byte | less plain | windows |",
             "| --- | --- | ---: | ---: | ---: |"]
    for task in sorted({run["task"] for run in bases}):
        of_task = [run["eval"] for run in bases if run["task"] == task]
        for way in of_task[0]:
            here = [found[way]["bits_per_byte"] for found in of_task]
            less = [found[way]["bits_per_byte"] - found["plain"]["bits_per_byte"] for found in of_task]
            lines.append(f"| {task} | {way} | {shown(here, 4)} | {shown(less, 4) if way != 'plain' else ''} | {of_task[0][way]['windows']:,} |")
    return lines


def plot(out: Path, bits: dict[tuple[str, str], dict[int, float]]) -> None:
    """A bar a variant, a file a task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for task, variants in TASKS.items():
        names = [name for name in variants if (task, name) in bits]
        if not names:
            continue
        values = [list(bits[task, name].values()) for name in names]
        halves = [half if math.isfinite(half := interval(found)) else 0 for found in values]
        figure, axes = plt.subplots(figsize=(8, 0.4 * len(names) + 1.2))
        axes.barh(names, [mean(found) for found in values], xerr=halves, color=["#2b6cb0" if n == "base" else "#a0aec0" for n in names])
        axes.invert_yaxis()
        lowest = min(mean(found) for found in values)
        axes.set_xlim(left=max(0, lowest - 0.4))
        axes.set_xlabel("bits per byte on held-out data (lower is better), 95 % confidence")
        axes.set_title(task)
        figure.tight_layout()
        figure.savefig(out / f"{task}.svg")
        plt.close(figure)
