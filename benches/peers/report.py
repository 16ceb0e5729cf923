"""Where the comparison ran, and its tables: as text, as Markdown and as JSON."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

# The flags of a CPU that decide how fast it multiplies matrices.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "asimd", "bf16", "sve")
OURS = "megabyte"


def wanted(name: str, only: list[str]) -> bool:
    """Whether an entry was asked for."""
    return not only or any(name.startswith(start) for start in only)


def command(*words: str) -> str:
    """A command's output, empty where it fails."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def host(root: Path) -> dict:
    """Processor, its flags, time and commit."""
    info: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
    flags = (info.get("flags") or info.get("Features") or "").split()
    commit = command("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    changed = command("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit + (" with changes" if changed else ""),
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
    }


def machine(root: Path, args: argparse.Namespace, ceilings: list[dict]) -> dict:
    """The host, versions, and the best matrix rates that were seen, in FLOP/s."""
    return {
        **host(root),
        "threads": args.threads,
        "device": args.device,
        "gpu": ceilings[0].get("gpu"),
        "torch": ceilings[0]["torch"],
        "rounds": args.rounds,
        "seconds": args.seconds,
        "matrix_size": ceilings[0]["n"],
        "matrix_flops": {t: max(c[t] for c in ceilings) for t in ("bfloat16", "float32")},
    }


def rates(row: dict) -> list[float]:
    """Bytes/s of every round."""
    return [run["bytes_per_second"] for run in row["runs"]]


def cells(table: dict, about: dict) -> list[list[str]]:
    """A table's rows, the head first. Ratios are of this project's faster type; `-` is not measured."""
    training = table["what"] == "train"
    own = [rates(row) for row in table["rows"] if row["name"].startswith(OURS) and row["runs"]]
    ours = max(own, key=max) if own else None
    head = ["", "type", "best bytes/s", "median bytes/s", "megabyte / this", "by medians"]
    head += ["ms/step", "parameters", "kFLOP/byte", "of matrix rate"] if training else ["bytes measured"]
    lines = [head]
    for row in table["rows"]:
        if not row["runs"]:
            lines.append([row["name"], row["dtype"]] + ["-"] * (len(head) - 2))
            continue
        best = max(row["runs"], key=lambda run: run["bytes_per_second"])
        rate = best["bytes_per_second"]
        # A tail is slower than the whole, so that a ratio of the two would flatter.
        whole = best.get("whole", True)
        median = statistics.median(rates(row))
        ratios = [f"{max(ours) / rate:.2f}", f"{statistics.median(ours) / median:.2f}"] if ours and whole else ["-", "-"]
        # What this project generates in is its own to say.
        dtype = row["dtype"] if training or row["name"] != OURS else best.get("dtype", "-")
        line = [row["name"], dtype, f"{rate:,.0f}", f"{median:,.0f}", *ratios]
        if training:
            flops = row["flops_per_byte"]
            line += [f"{best['ms_per_step']:.1f}", f"{best['parameters']:,}"]
            # Where a type is emulated, products of some shapes are slower than others: a share of these says nothing.
            share = rate * flops / about["matrix_flops"][row["dtype"]] if flops else None
            line += [f"{flops / 1e3:,.0f}" if flops else "-", f"{share:.0%}" if share and share <= 1 else "-"]
        else:
            line.append(f"{best['bytes']:,}" if whole else f"last {best['bytes']:,}")
        lines.append(line)
    return lines


def heading(table: dict) -> str:
    """What a table is about."""
    return f"{'Training' if table['what'] == 'train' else 'Generation'}, {table['size']} size"


def place(about: dict) -> str:
    """The machine in a sentence."""
    flops = about["matrix_flops"]
    what = about["gpu"] or f"{about['cpu']} ({', '.join(about['cpu_flags'])}), {about['threads']} threads"
    n = about["matrix_size"]
    return (
        f"{what}; torch {about['torch']}; commit {about['commit'] or 'unknown'}; {about['when']}; best of "
        f"{about['rounds']} interleaved rounds. Best product of two {n} x {n} matrices: "
        f"{flops['bfloat16'] / 1e9:,.0f} GFLOP/s in bfloat16, {flops['float32'] / 1e9:,.0f} in float32. "
        f"Load average at the end: {about['load_average'][0]:.1f}."
    )


def compiling(results: dict) -> list[str]:
    """What torch.compile took before the measured time, a line a row; the first round has to do it all."""
    lines = []
    for table in results["tables"]:
        for row in table["rows"]:
            seconds = [run["compile_seconds"] for run in row["runs"] if run.get("compile_seconds")]
            if seconds:
                lines.append(f"not counted: {row['name']}, {table['size']}: compiled in {max(seconds):.0f} s")
    return lines


def aligned(lines: list[list[str]]) -> str:
    """A table for a terminal: two columns of words, then numbers."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rows = ["  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))) for line in lines]
    return "\n".join(row.rstrip() for row in rows)


def piped(lines: list[list[str]]) -> str:
    """The same in Markdown."""
    rule = ["---", "---"] + ["---:"] * (len(lines[0]) - 2)
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def text(results: dict) -> str:
    """The tables for a terminal."""
    parts = [place(results["machine"])]
    for table in results["tables"]:
        lines = cells(table, results["machine"])
        parts.append(heading(table) + "\n" + aligned(lines))
    parts += compiling(results)
    parts += [f"not measured: {f['name']}, {f['what']}, {f['size']}: {f['reason']}" for f in results["failures"]]
    return "\n\n".join(parts)


def markdown(results: dict) -> str:
    """The tables for BENCHMARKS.md."""
    parts = [place(results["machine"])]
    for table in results["tables"]:
        parts.append(f"### {heading(table)}\n\n{piped(cells(table, results['machine']))}")
    failures = [f"- {f['name']}, {f['what']}, {f['size']}: {f['reason']}" for f in results["failures"]]
    if times := compiling(results):
        parts.append("\n".join(f"- {line}" for line in times))
    if failures:
        parts.append("Not measured:\n\n" + "\n".join(failures))
    return "\n\n".join(parts) + "\n"


def write(folder: Path, results: dict, name: str = "peers", tables: str | None = None) -> None:
    """Writes `NAME-TIME.json` and `.md`, each beside its place and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-" + results["machine"]["when"].replace(":", "").replace("-", "")
    for suffix, content in ((".json", json.dumps(results, indent=1) + "\n"), (".md", tables or markdown(results))):
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            file.write(content)
        os.chmod(file.name, 0o644)
        os.replace(file.name, folder / (stem + suffix))
