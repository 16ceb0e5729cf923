"""Time and peak memory of one training step over long sequences, MEGABYTE beside a flat Transformer.

Each size is a process of its own, `megabyte bench train`, whose peak resident memory the system tells. The cost of
attention is counted by formula, and measured by itself with PyTorch's kernel at the shapes of every level. See README.md
beside this file.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KIB = 1024


# Levels are (unit, n_embd, n_layer, n_head): about 20 M parameters in all.
def two(patch: int) -> list[tuple[int, int, int, int]]:
    """The paper's two levels; the global width is the multiple of the patch next to 768."""
    return [(patch, round(768 / patch) * patch, 3, 4), (1, 128, 4, 2)]


def three(patch: int) -> list[tuple[int, int, int, int]]:
    """A level of six or eight bytes between them."""
    unit = 8 if patch % 8 == 0 else 6
    return [two(patch)[0], (unit, round(256 / unit) * unit, 2, 2), (1, 128, 2, 2)]


FLAT = [(1, 512, 6, 8)]
# Lengths next to 64 KiB, 256 KiB and 1 MiB that are cubes of their patches.
CUBES = {40**3: 40, 64**3: 64, 102**3: 102}
# 4 KiB only shows that all works; then exactly 1 MiB, whose patch has to be a power of two, and the paper's picture of
# 640 x 640 with its patch.
PATCHES = {4 * KIB: 16} | CUBES | {1024 * KIB: 128, 640 * 640 * 3: 192}


def cases(sizes: list[int], flat: list[int]) -> list[tuple[str, int, list]]:
    """What is measured: a name, a length, levels."""
    found = [(name, t, levels(PATCHES[t])) for t in sizes for name, levels in (("two levels", two), ("three levels", three))]
    return found + [("flat", t, FLAT) for t in flat]


def config(length: int, levels: list) -> str:
    """A run of one sequence a step."""
    text = f'[data]\nmodality = "bytes"\n\n[model]\ncontext = {length}\ndropout = 0.0\nposition = "learned"\n'
    for unit, width, layers, heads in levels:
        text += f"\n[[model.level]]\nunit = {unit}\nn_embd = {width}\nn_layer = {layers}\nn_head = {heads}\n"
    return text + f"\n[train]\nbytes_per_step = {length}\nstretch_bytes = 65536\ncheckpoint_levels = [0]\n"


def parents(length: int, levels: list):
    """Rows, units in a row, and the level, of each level's attention."""
    span = length
    for unit, width, layers, heads in levels:
        yield length // span, span // unit, width, layers, heads
        span = unit


def attention_flops(length: int, levels: list) -> float:
    """Of a training step: forward 4 n D a unit and block, and twice that back, over the whole square."""
    return sum(3 * 4 * units * width * layers * rows * units for rows, units, width, layers, _ in parents(length, levels))


def attention_seconds(length: int, levels: list) -> float:
    """Forward and back through PyTorch's causal attention alone, in bfloat16, a share of the rows measured where they are many."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attend

    total = 0.0
    for rows, units, width, layers, heads in parents(length, levels):
        part = min(rows, max(1, (1 << 16) // units))
        q, k, v = (torch.randn(part, heads, units, width // heads, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        best = math.inf
        for _ in range(2):
            start = time.perf_counter()
            attend(q, k, v, is_causal=True).sum().backward()
            best = min(best, time.perf_counter() - start)
        total += best * layers * rows / part
    return total


def step(args: argparse.Namespace, length: int, levels: list) -> dict:
    """A step's seconds and the process's peak memory, or why there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(config(length, levels))
        file.flush()
        words = [args.program, "bench", "train", "--config", file.name, "--seconds", "0.01", "--device", "cpu", "--json"]
        before = limit(args.memory)
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)
        try:
            out, err = child.communicate(timeout=2.5 * args.limit)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return {"failed": f"two steps took more than {2.5 * args.limit:.0f} s"}
    if child.returncode != 0:
        return {"failed": (err.strip().splitlines() or [f"status {child.returncode}"])[-1][:200]}
    found = json.loads(out)
    return {"seconds": found["ms_per_step"] / 1e3, "parameters": found["parameters"], "mfu": found["mfu"]}


def limit(gib: float):
    """Keeps a child from taking the whole machine."""
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (int(gib * 2**30),) * 2)


def apart(work: Callable[[], dict]) -> dict:
    """What `work` gives, in a process of its own, with the peak memory of the programs that it ran.

    Of a program, the system's peak begins with what the process held that started it: this one stays small, and never loads
    PyTorch itself.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = work()
            if "failed" not in found:
                found["peak_gib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / KIB / KIB
        except Exception as failure:  # noqa: BLE001 (said in the table)
            found = {"failed": f"{type(failure).__name__}: {failure}"[:200]}
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"failed": "the process ended early"}


def measured(args: argparse.Namespace, name: str, length: int, levels: list) -> dict:
    """One row."""
    found = apart(lambda: step(args, length, levels))
    alone = {} if "failed" in found else apart(lambda: {"seconds": attention_seconds(length, levels)})
    return {"name": name, "length": length, "levels": levels, "attention_flops": attention_flops(length, levels),
            "attention_seconds": alone.get("seconds"), **found}


def exponent(rows: list[dict], key: str) -> float | None:
    """The slope of a quantity over the length, both logarithmic (least squares)."""
    points = [(math.log(row["length"]), math.log(row[key])) for row in rows if row.get(key)]
    if len(points) < 2:
        return None
    x, y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = ["| model | bytes | patch | s a step | peak GiB | attention TFLOP | attention alone, s | of matrix rate |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for row in rows:
        start = f"| {row['name']} | {row['length']:,} | {row['levels'][0][0]} |"
        if "failed" in row:
            lines.append(f"{start} {row['failed']} | | {row['attention_flops'] / 1e12:.2f} | | |")
        else:
            alone = row["attention_seconds"]
            lines.append(f"{start} {row['seconds']:.1f} | {row['peak_gib']:.2f} | {row['attention_flops'] / 1e12:.2f} | "
                         f"{'' if alone is None else f'{alone:.2f}'} | {row['mfu'] * 100:.0f} % |")
    lines += ["", "| exponent over the length | step | attention FLOPs | attention time | memory |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in dict.fromkeys(row["name"] for row in rows):
        # The others have another patch than their lengths ask for.
        here = [row for row in rows if row["name"] == name and (row["length"] in CUBES or name == "flat")]
        found = (exponent(here, key) for key in ("seconds", "attention_flops", "attention_seconds", "peak_gib"))
        lines.append(f"| {name} | " + " | ".join("" if value is None else f"{value:.2f}" for value in found) + " |")
    return "\n".join(lines)


def plot(rows: list[dict], out: Path) -> None:
    """Seconds and memory over the length."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    for axis, key, label in zip(axes, ("seconds", "attention_seconds", "peak_gib"),
                                ("seconds of a training step", "seconds of its attention alone", "peak memory, GiB"), strict=True):
        for name in dict.fromkeys(row["name"] for row in rows):
            points = sorted((row["length"], row[key]) for row in rows if row["name"] == name and row.get(key))
            axis.plot(*zip(*points, strict=True), "o-", label=name) if points else None
        axis.set(xscale="log", yscale="log", xlabel="bytes of the sequence", title=label)
        axis.legend()
    figure.tight_layout()
    figure.savefig(out / "long.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(PATCHES)[1:], choices=list(PATCHES))
    parser.add_argument("--flat", type=int, nargs="*", default=[n * KIB for n in (4, 8, 16, 32, 64)], help="lengths of the flat Transformer")
    parser.add_argument("--limit", type=float, default=100, help="seconds that a step may take")
    parser.add_argument("--memory", type=float, default=18, help="GiB that a step may take")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/megabyte")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    for name, length, levels in cases(args.sizes, args.flat):
        if any(row["name"] == name == "flat" and row.get("seconds", math.inf) > args.limit for row in rows):
            break
        print(f"{name}, {length:,} bytes", file=sys.stderr, flush=True)
        rows.append(measured(args, name, length, levels))
        (args.out / "long.json").write_text(json.dumps(rows, indent=1))
    text = table(rows)
    (args.out / "long.md").write_text(text + "\n")
    plot(rows, args.out)
    print(text)


if __name__ == "__main__":
    main()
