"""Measures this project beside other implementations of MEGABYTE: training and generation, in one session.

    python benches/peers/run.py                       everything, about half an hour on two quiet cores
    python benches/peers/run.py --sizes small --rounds 1 --seconds 2 --tail 16      only to see that it works

Every measurement runs in a process of its own. Rounds go through all entries in turn, so that a machine that slows
down slows them all down; the best round counts, and the median is printed beside it. What can't be installed or run is
named with its reason, and the rest goes on. Needs only the standard library itself.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import report
from process import BINARY, ROOT, Failed, install, result_of, run, say

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Entry:
    """A row of the tables."""

    name: str
    # What measure.py builds, or None for this project's binary.
    builder: str | None
    dtype: str
    # The requirements file of what has to be installed.
    requirements: str | None = None
    # Some rows are about training alone.
    generates: bool = True
    # The mode of torch.compile, where it trains compiled.
    compile: str | None = None


ENTRIES = [
    Entry("megabyte", None, "bfloat16"),
    Entry("megabyte, float32", None, "float32", generates=False),
    Entry("MEGABYTE-pytorch 0.3.6", "MEGABYTE-pytorch", "float32", "MEGABYTE-pytorch"),
    Entry("MEGABYTE-pytorch 0.3.6, autocast", "MEGABYTE-pytorch", "bfloat16", "MEGABYTE-pytorch", False),
    Entry("mblm 0.4.2", "mblm", "float32", "mblm"),
    Entry("mblm 0.4.2, autocast", "mblm", "bfloat16", "mblm", False),
    Entry("PyTorch reference", "reference", "bfloat16"),
    Entry("PyTorch reference, float32", "reference", "float32"),
    Entry("PyTorch reference, compiled", "reference", "bfloat16", generates=False, compile="default"),
    Entry("PyTorch reference, compiled, float32", "reference", "float32", generates=False, compile="default"),
]


class Bench:
    """Runs single measurements."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.folders: dict[str, Path] = {}
        self.env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "TQDM_DISABLE": "1"}
        # Each entry sees its own peer's folder and nothing that the user has set.
        self.env.pop("PYTHONPATH", None)

    def python(self, what: str, size: str, entry: Entry | None = None) -> dict:
        """Runs measure.py."""
        args, env = self.args, dict(self.env)
        command = [args.python, str(HERE / "measure.py"), "--what", what, "--config", str(HERE / f"{size}.toml")]
        command += ["--seconds", str(args.seconds), "--tail", str(args.tail), "--threads", str(args.threads)]
        command += ["--device", args.device]
        if entry:
            command += ["--entry", entry.builder, "--dtype", entry.dtype]
            if entry.compile and what == "train":
                command += ["--compile", entry.compile]
            if entry.requirements:
                if entry.requirements not in self.folders:
                    pinned = HERE / "requirements" / f"{entry.requirements}.txt"
                    self.folders[entry.requirements] = install(args.python, entry.requirements, pinned)
                env["PYTHONPATH"] = str(self.folders[entry.requirements])
        return result_of(run(command, env, args.timeout))

    def ours(self, what: str, size: str, entry: Entry) -> dict:
        """Runs `megabyte bench`."""
        if not BINARY.exists():
            raise Failed(f"{BINARY.relative_to(ROOT)} is not there: build it with `cargo build --release`")
        command = [str(BINARY), "bench", what, "--config", str(HERE / f"{size}.toml"), "--json"]
        command += ["--seconds", str(self.args.seconds), "--device", self.args.device]
        if what == "train":
            command += ["--set", f"train.dtype={entry.dtype}"]
        return result_of(run(command, self.env, self.args.timeout))

    def measure(self, what: str, size: str, entry: Entry) -> dict:
        """One measurement of one entry, with all that the tables need."""
        result = self.python(what, size, entry) if entry.builder else self.ours(what, size, entry)
        wanted = ["bytes_per_second", "ms_per_step", "parameters"] if what == "train" else ["bytes_per_second", "bytes"]
        for key in wanted:
            if not result.get(key, 0) > 0:
                raise Failed(f"reported no {key}: {result}")
        return result


def flops(bench: Bench, size: str, entry: Entry, formula: float) -> float | None:
    """Operations of a training step a byte: by the formula for the paper's model, counted for the others."""
    if not entry.requirements:
        return formula
    try:
        return bench.python("count", size, entry)["flops_per_byte"]
    except Failed as failure:
        say(f"{size}: the operations of {entry.name} can't be counted: {failure}")
        return None


def session(args: argparse.Namespace) -> dict:
    """All rounds of all sizes."""
    bench = Bench(args)
    ceilings: list[dict] = []
    tables, failures = [], {}
    for size in args.sizes:
        ceilings.append(bench.python("ceiling", size))
        formula = ceilings[-1]["flops_per_byte"]
        for what in args.what:
            entries = [e for e in ENTRIES if (what == "train" or e.generates) and report.wanted(e.name, args.only)]
            rows = {e.name: {"name": e.name, "dtype": e.dtype, "runs": []} for e in entries}
            for round_ in range(args.rounds):
                for entry in entries[round_ % len(entries) :] + entries[: round_ % len(entries)]:
                    if (what, size, entry.name) in failures:
                        continue
                    try:
                        run_ = bench.measure(what, size, entry)
                    except Failed as failure:
                        failures[what, size, entry.name] = str(failure)
                        say(f"{size} {what} round {round_ + 1}: {entry.name} failed: {failure}")
                        continue
                    rows[entry.name]["runs"].append(run_)
                    rate = f"{run_['bytes_per_second']:,.0f} bytes/s"
                    first = f", compiled in {run_['compile_seconds']:.0f} s" if entry.compile else ""
                    say(f"{size} {what} round {round_ + 1}: {entry.name} {rate}{first}")
                try:
                    ceilings.append(bench.python("ceiling", size))
                except Failed as failure:
                    say(f"{size} {what} round {round_ + 1}: matrix rate failed: {failure}")
            for entry in entries if what == "train" else []:
                row = rows[entry.name]
                if row["runs"]:
                    row["flops_per_byte"] = flops(bench, size, entry, formula)
            tables.append({"size": size, "what": what, "rows": list(rows.values())})
    return {
        "machine": report.machine(ROOT, args, ceilings),
        "tables": tables,
        "failures": [{"what": w, "size": s, "name": n, "reason": r} for (w, s, n), r in failures.items()],
    }


def main() -> None:
    venv = ROOT / ".venv" / "bin" / "python"
    parser = argparse.ArgumentParser(description="measures this project beside other implementations of MEGABYTE")
    parser.add_argument("--sizes", nargs="+", choices=["small", "large"], default=["small", "large"])
    parser.add_argument("--what", nargs="+", choices=["train", "generate"], default=["train", "generate"])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="entries whose names begin like this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured seconds of training an entry and round")
    parser.add_argument(
        "--tail", type=int, default=0, metavar="N",
        help="let the peers without a cache generate the last N bytes alone, which is their slowest stretch; no ratio",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds that one measurement may take")
    parser.add_argument("--python", default=str(venv if venv.exists() else sys.executable), help="one that has torch")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="the folder of the results")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or args.threads < 1 or args.tail < 0:
        parser.error("--rounds and --threads must be at least 1, --seconds above 0, --tail not negative")
    try:
        results = session(args)
    except Failed as failure:
        sys.exit(f"{args.python} can't run the reference: {failure}; `make` installs torch into .venv")
    report.write(args.out, results)
    print(report.text(results))
    if not any(row["runs"] for table in results["tables"] for row in table["rows"]):
        sys.exit("nothing could be measured")


if __name__ == "__main__":
    main()
