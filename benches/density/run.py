"""Trains a model for photographs, one for speech and one for text, and compresses what they have not seen.

The tables have held-out bits per byte by plain and by sliding + strided inference, the bytes of the archives on disk, and
what classical coders make of the same files: those of the program itself, and those of classical.py. With
--classical-only, only the latter: no model is trained or needed. Trainings go on where they stopped, and results are files of their own, so
that an interrupted call goes on. See README.md beside this file.
"""

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import classical

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TASKS = {"photos": "--photos", "speech": "--speech", "enwik8": "--enwik8"}
LADDER = ("plain", "sliding+strided")


def call(args: argparse.Namespace, *words) -> dict:
    """The JSON that a verb prints; what it says goes to the screen."""
    threads = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    command = [args.program, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=threads)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: failed")
    return json.loads(done.stdout) if done.stdout.startswith("{") else {}


def trained(args: argparse.Namespace, task: str, data: Path) -> Path:
    """The run of a task, trained to its end."""
    config, run = HERE / f"{task}.toml", args.out / "runs" / task
    steps = tomllib.loads(config.read_text())["train"]["max_steps"]
    state = run / "checkpoints/latest/state.json"
    if not state.exists():
        call(args, "train", "--config", config, "--data", data, "--out", run, "--force")
    elif json.loads(state.read_text())["step"] < steps:
        call(args, "train", "--out", run, "--resume")
    found = json.loads(state.read_text())
    # A training that was interrupted saves and ends well: its model is no result.
    if found["step"] != steps:
        raise SystemExit(f"{run}: ended after {found['step']} of {steps} steps; call again to go on")
    return run


def held_out(args: argparse.Namespace, task: str, data: Path, names: list[str]) -> list[Path]:
    """The files that the model has not seen."""
    if task != "enwik8":
        return [data / name for name in names]
    last = args.out / "enwik8-last-5MB"
    with enwik8(data).open("rb") as file:
        file.seek(95_000_000)
        last.write_bytes(file.read())
    return [last]


def reference(args: argparse.Namespace, task: str, data: Path) -> dict:
    """What the coders of classical.py make of what the model has not seen."""
    if task == "enwik8":
        files, before = held_out(args, task, data, []), enwik8(data).read_bytes()[:90_000_000]
        return classical.measure(task, files, files[0].read_bytes(), before)
    prepared = args.out / "prepared" / task
    call(args, "prepare", data, "--config", HERE / f"{task}.toml", "--out", prepared, "--json")
    items = classical.test_items(prepared)
    files = held_out(args, task, data, [name for name, _ in items])
    return classical.measure(task, files, b"".join(content for _, content in items), b"")


def enwik8(data: Path) -> Path:
    """The file of 100 MB."""
    return data if data.is_file() else next(path for path in data.rglob("enwik8") if path.is_file())


def archive(args: argparse.Namespace, model: Path, task: str, files: list[Path]) -> dict:
    """What the files are as archives, which are decoded again and compared with them."""
    packed, back = args.out / f"{task}.mbz", args.out / f"{task}.back"
    for place in (packed, back, args.out / f"{task}.content.mbz"):
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
    flags = ["--model", model, "--dtype", "bfloat16", "--lanes", args.lanes, "--threads", args.threads]
    made = call(args, "compress", *flags, "--no-verify", "--json", "--force", "--out", packed, *files)
    began = time.monotonic()
    call(args, "decompress", "--model", model, "--threads", args.threads, "--json", "--out", back, packed)
    same = [filecmp.cmp(file, back / file.name if back.is_dir() else back, shallow=False) for file in files]
    if not all(same):
        raise SystemExit(f"{task}: {same.count(False)} files did not come back")
    seconds_back = time.monotonic() - began
    # What classical coders have too: the decoded content, without what else a file's container holds.
    bare = args.out / f"{task}.content.mbz"
    content = made if task == "enwik8" else call(args, "compress", *flags, "--payload-only", "--json", "--force", "--out", bare, *files)
    return {
        "files": len(files), "file_bytes": made["bytes"], "archive_bytes": size(packed),
        "stored": sum(file["method"] == "stored" for file in made["files"]),
        "content_bytes": content["content_bytes"], "content_archive_bytes": size(packed if task == "enwik8" else bare),
        "seconds": made["seconds"], "seconds_back": seconds_back, "baselines": content["baselines"],
    }


def size(place: Path) -> int:
    """Bytes of an archive, or of a folder of them."""
    return sum(path.stat().st_size for path in ([place] if place.is_file() else place.rglob("*.mbz")))


def measure(args: argparse.Namespace, task: str, data: Path) -> dict:
    """Trains, scores and compresses."""
    run = trained(args, task, data)
    model = run / "checkpoints/best"
    speed = [json.loads(line) for line in (run / "speed.jsonl").read_text().splitlines()]
    result = {"task": task, "train_seconds": speed[-1]["seconds"], "eval": {}}
    names = []
    for inference in LADDER:
        lines = args.out / f"{task}.jsonl"
        flags = ["--split", "test", "--dtype", "bfloat16", "--inference", inference]
        if inference != "plain":
            flags += ["--limit-bytes", args.limit_bytes]
        found = call(args, "eval", "--model", model, "--data", data, *flags, "--per-file", lines, "--force", "--json")
        result["eval"][inference] = {key: found[key] for key in ("bits_per_byte", "std_error", "bytes", "seconds")}
        if inference == "plain":
            names = [json.loads(line)["name"] for line in lines.read_text().splitlines()]
    return result | archive(args, model, task, held_out(args, task, data, names))


def table(results: list[dict]) -> str:
    """Markdown."""
    coders = list(dict.fromkeys(row["name"] for found in results for row in found["baselines"]))
    heads = ["", "plain", "sliding + strided", "archives", *coders, "training"]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for found in results:
        content = found["content_bytes"]
        scores = [found["eval"][name] for name in LADDER]
        cells = [found["task"], *(f"{score['bits_per_byte']:.3f} ± {score['std_error']:.3f}" for score in scores)]
        cells.append(f"{8 * found['content_archive_bytes'] / content:.3f}")
        sizes = {row["name"]: row["bytes"] for row in found["baselines"]}
        cells += [f"{8 * sizes[name] / content:.3f}" if name in sizes else "-" for name in coders]
        cells.append(f"{found['train_seconds'] / 60:.0f} min")
        lines.append(f"| {' | '.join(cells)} |")
    told = {row["name"]: f"{row['name']}: {row['version']}, {row['setting']}" for found in results for row in found["baselines"]}
    lines += ["", "; ".join(told.values()) + "."]
    heads = ["", "files", "bytes of them", "of their archives", "stored", "bytes of their content", "of its archives", "kB/s", "back"]
    lines += ["", f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for found in results:
        speeds = [f"{found['content_bytes'] / found[key] / 1e3:.1f}" for key in ("seconds", "seconds_back")]
        keys = ("files", "file_bytes", "archive_bytes", "stored", "content_bytes", "content_archive_bytes")
        counts = [found[key] for key in keys]
        lines.append(f"| {' | '.join([found['task'], *(f'{count:,}' for count in counts), *speeds])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="a folder of photographs of 64 x 64 pixels")
    parser.add_argument("--speech", type=Path, help="a folder of speech, 8,000 samples a second of 16 bits")
    parser.add_argument("--enwik8", type=Path, help="the file, or the folder that `megabyte download enwik8` made")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/megabyte")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--lanes", type=int, default=64, help="rows that go through the model together")
    parser.add_argument("--classical-only", action="store_true", help="train nothing: only what reference encoders make")
    parser.add_argument("--limit-bytes", type=int, default=1_000_000, help="of what is scored by sliding + strided inference")
    args = parser.parse_args()
    wanted = [(task, getattr(args, task)) for task in TASKS if getattr(args, task)]
    if not wanted:
        parser.error(f"name data with one of {', '.join(TASKS.values())}")
    for _, data in wanted:
        if not data.exists():
            parser.exit(1, f"{data} is absent\n")
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("XDG_CACHE_HOME", str(args.out / "cache"))

    encoders = [kept(args.out / f"{task}.classical.json", lambda: reference(args, task, data)) for task, data in wanted]
    text = classical.table(encoders)
    if not args.classical_only:
        results = [kept(args.out / f"{task}.json", lambda: measure(args, task, data)) for task, data in wanted]
        text = table(results) + "\n" + text
    (args.out / ("classical.md" if args.classical_only else "table.md")).write_text(text)
    print(text)


def kept(place: Path, make) -> dict:
    """A result that is there, with no coder left out, or is made and kept."""
    if not place.exists() or json.loads(place.read_text()).get("absent"):
        found = make()
        beside = place.with_suffix(".tmp")
        beside.write_text(json.dumps(found, indent=1))
        beside.replace(place)
    return json.loads(place.read_text())


if __name__ == "__main__":
    main()
