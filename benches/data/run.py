"""Measures `megabyte prepare` beside the same work in Python, and the loader alone, in one session.

    python benches/data/run.py             everything, a few minutes on two quiet cores
    python benches/data/run.py --quick     only to see that it works

Rounds go through both sides in turn, each round from the other end. Both use as many workers as `--threads`; what is
measured is the wall-clock of the whole work, from the list of files to what is synced on the disk, without the start of
either program. Needs only the standard library itself.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "peers"))

import report  # noqa: E402
from process import BINARY, ROOT, Failed, install, result_of, run, say  # noqa: E402

IMAGE = ["data.width=64", "data.height=64", "data.channels=rgb", "data.scan=patch", "data.patch=8", "data.fit=crop", "data.filter=box"]
AUDIO = ["data.rate=16000", "data.channels=mono", "data.format=pcm16le"]
# What is prepared: the folder, what it is, its modality, its settings, the unit of the amount in it.
WORK = [
    ("jpeg", "JPEG 500 x 375 to 64 x 64", "image", IMAGE, "images/s"),
    ("png", "PNG 64 x 64", "image", IMAGE, "images/s"),
    ("wav22", "WAV 22.05 kHz mono to 16 kHz", "audio", AUDIO, "s of sound/s"),
    ("wav44", "WAV 44.1 kHz stereo to 16 kHz mono", "audio", AUDIO, "s of sound/s"),
    ("many", "text, files of 50 kB", "text", [], "MB/s"),
    ("one", "text, one file", "text", [], "MB/s"),
]
OURS, PYTHON, DRAFT = "megabyte", "Python", "Python, JPEG draft mode"


class Bench:
    """Runs single measurements."""

    def __init__(self, args: argparse.Namespace, folder: Path):
        self.args, self.folder = args, folder
        self.env = {**os.environ, "RAYON_NUM_THREADS": str(args.threads), "OMP_NUM_THREADS": "1"}
        self.env["PYTHONPATH"] = str(install(args.python, "data", HERE / "requirements.txt"))

    def files(self) -> dict:
        """Makes what is prepared; gives how much there is of each."""
        made = self.args.files / "amounts.json"
        if not made.exists():
            say(f"making files in {self.args.files}")
            command = [self.args.python, str(HERE / "make.py"), "--shared", str(self.args.shared), "--out", str(self.args.files)]
            output = run(command + ["--quick"] * self.args.quick, self.env, self.args.timeout)
            made.write_text(json.dumps(result_of(output)))
        return json.loads(made.read_text())

    def prepare(self, who: str, what: str, modality: str, settings: list[str]) -> dict:
        """One preparation into an empty folder."""
        source, out = self.args.files / what, self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        if who == OURS:
            command = [str(BINARY), "prepare", str(source), "--modality", modality, "--out", str(out), "--json"]
            command += [word for setting in settings for word in ("--set", setting)]
        else:
            kind = "image-draft" if who == DRAFT else modality
            command = [self.args.python, str(HERE / "pipeline.py"), "--kind", kind, "--source", str(source)]
            command += ["--out", str(out), "--workers", str(self.args.threads)]
        result = result_of(run(command, self.env, self.args.timeout))
        if who == OURS:
            result["bytes"] = sum(split["bytes"] for split in result["splits"].values())
            if result["skipped_count"]:
                raise Failed(f"skipped {result['skipped_count']} files: {result['skipped'][0]}")
        return {key: result[key] for key in ("seconds", "documents", "duplicates", "bytes")}

    def loader(self) -> float:
        """Bytes/s of `megabyte bench data`."""
        command = [str(BINARY), "bench", "data", "--seconds", str(self.args.seconds), "--json"]
        return result_of(run(command, self.env, self.args.timeout))["bytes_per_second"]


def agree(what: str, runs: dict[str, list[dict]]) -> None:
    """Both sides made the same number of documents of the same length; a resampled sound may differ by a sample."""
    made = [run_ for who in runs for run_ in runs[who]]
    if len({(run_["documents"], run_["duplicates"]) for run_ in made}) > 1:
        raise Failed(f"{what}: the two sides made different numbers of documents: {runs}")
    lengths = [run_["bytes"] for run_ in made]
    if max(lengths) - min(lengths) > 4 * made[0]["documents"]:
        raise Failed(f"{what}: the two sides made different amounts of bytes: {runs}")


def session(args: argparse.Namespace, folder: Path) -> dict:
    """All rounds."""
    bench = Bench(args, folder)
    amounts = bench.files()["amounts"]
    rows, loader, loads = [], [], []
    for what, name, modality, settings, unit in WORK:
        if what not in args.only:
            continue
        sides = [OURS, PYTHON] + [DRAFT] * (what == "jpeg")
        runs: dict[str, list[dict]] = {who: [] for who in sides}
        for round_ in range(args.rounds):
            for who in sides if round_ % 2 == 0 else sides[::-1]:
                runs[who].append(bench.prepare(who, what, modality, settings))
                say(f"{name}, round {round_ + 1}: {who} {amounts[what] / runs[who][-1]['seconds']:,.0f} {unit}")
            loads.append(os.getloadavg()[0])
        agree(what, runs)
        rates = {who: [amounts[what] / run_["seconds"] for run_ in runs[who]] for who in sides}
        rows.append({"what": what, "name": name, "unit": unit, "rates": rates, "runs": runs})
    for round_ in range(args.rounds):
        loader.append(bench.loader() / 1e6)
        say(f"loader, round {round_ + 1}: {loader[-1]:,.0f} MB/s")
    versions = (HERE / "requirements.txt").read_text().split()
    about = {**report.host(ROOT), "threads": args.threads, "rounds": args.rounds, "versions": versions, "loads": loads}
    return {"machine": about, "rows": rows, "loader": loader}


def table(results: dict) -> list[list[str]]:
    """Rows of the table, the head first."""
    lines = [["", "", "unit", "best", "median", "megabyte / this, best", "megabyte / this, median"]]
    for row in results["rows"]:
        ours = row["rates"][OURS]
        for who, rates in row["rates"].items():
            best, median = max(ours) / max(rates), statistics.median(ours) / statistics.median(rates)
            numbers = [f"{max(rates):,.0f}", f"{statistics.median(rates):,.0f}", f"{best:.2f}", f"{median:.2f}"]
            lines.append([row["name"], who, row["unit"], *numbers])
    loader = results["loader"]
    lines.append(["loader, shard of 256 MiB", OURS, "MB/s", f"{max(loader):,.0f}", f"{statistics.median(loader):,.0f}", "", ""])
    return lines


def place(about: dict) -> str:
    """The machine in a sentence."""
    loads, versions = about["loads"] or [0.0], ", ".join(v for v in about["versions"] if not v.startswith(("cffi", "pyc", "typing")))
    return (
        f"{about['cpu']} ({', '.join(about['cpu_flags'])}), {about['cores']} cores, {about['threads']} workers a side; Python "
        f"{about['python']}, {versions}; commit {about['commit'] or 'unknown'}; {about['when']}; {about['rounds']} rounds in turn. "
        f"Load average between {min(loads):.1f} and {max(loads):.1f}."
    )


def main() -> None:
    venv = ROOT / ".venv" / "bin" / "python"
    parser = argparse.ArgumentParser(description="measures preparation and loading beside the same work in Python")
    parser.add_argument("--only", nargs="+", choices=[what for what, *_ in WORK], default=[what for what, *_ in WORK])
    parser.add_argument("--rounds", type=int, help="5, or 1 with --quick")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds of the loader a round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="a tenth of the files, one round")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data", help="originals, where they are")
    parser.add_argument("--files", type=Path, help="where the files are made, or are already; else a temporary folder")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds that one measurement may take")
    parser.add_argument("--python", default=str(venv if venv.exists() else sys.executable), help="one that has pip")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="the folder of the results")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    if args.rounds < 1 or args.seconds <= 0 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1, --seconds above 0")
    if not BINARY.exists():
        sys.exit(f"{BINARY.relative_to(ROOT)} is not there: build it with `cargo build --release`")
    with tempfile.TemporaryDirectory() as folder:
        args.files = args.files or Path(folder) / "in"
        args.files.mkdir(parents=True, exist_ok=True)
        try:
            results = session(args, Path(folder))
        except Failed as failure:
            sys.exit(f"not measured: {failure}")
    about, lines = place(results["machine"]), table(results)
    report.write(args.out, results, "data", f"{about}\n\n{report.piped(lines)}\n")
    print(f"{about}\n\n{report.aligned(lines)}")


if __name__ == "__main__":
    main()
