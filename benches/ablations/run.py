"""Trains the paper's ablations at one budget of FLOPs, several seeds each, and says which of its directions hold.

Results are files of their own, so that an interrupted call goes on where it stopped. Needs a built program and data:
see README.md beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import report  # noqa: E402
from variants import TASKS  # noqa: E402

LADDER = ("plain", "sliding", "strided", "sliding+strided")


def overrides(changes: dict) -> list[str]:
    """`--set` for every key; one level in place of all where the variant is flat."""
    words = []
    for key, value in changes.items():
        if key == "flat":
            keys = ", ".join(f"{name} = {number}" for name, number in ({"unit": 1} | value).items())
            key, value = "model.level", f"[{{{keys}}}]"
        elif key == "data.scan":
            value = f'"{value}"'
        words += ["--set", f"{key}={value}"]
    return words


def call(program: Path, *words: str) -> dict:
    """The JSON that a verb prints, or its error."""
    # One thread each: models this small lose more to waiting for a second than it gives them.
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, env=alone)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout) if done.stdout.startswith("{") else {}


def ladder(args: argparse.Namespace, task: str, name: str) -> tuple[str, ...]:
    """The ways in which a variant is evaluated."""
    return LADDER if name == "base" and task in args.ladder else ("plain",)


def run(args: argparse.Namespace, task: str, name: str, seed: int, place: Path) -> None:
    """One training and its evaluations, written to `place`."""
    base = HERE / f"{task}.toml"
    changes = overrides(TASKS[task][name])
    cost = call(args.program, "inspect", "--config", str(base), *changes, "--json")
    # A step of a model with latents predicts a part of what it reads.
    predicted = cost["bytes_per_step"] * cost["trained_bytes"] / cost["model"]["context"]
    steps = max(1, round(args.flops / (cost["training_flops_per_byte"] * predicted)))
    folder = args.out / "runs" / place.stem
    sets = ["--set", f"train.seed={seed}", "--set", f"train.max_steps={steps}"]
    data = str(args.data / ("cifar10" if task == "image" else "enwik8"))
    call(args.program, "train", "--config", str(base), *changes, *sets, "--data", data, "--out", str(folder),
         "--device", args.device, "--force")
    # A training that was interrupted saves and ends well: it is no result.
    done = json.loads((folder / "checkpoints/latest/state.json").read_text())["step"]
    if done != steps:
        raise RuntimeError(f"ended after {done} of {steps} steps")
    speed = [json.loads(line) for line in (folder / "speed.jsonl").read_text().splitlines()]
    found = {
        "task": task, "variant": name, "seed": seed, "steps": steps, "predicted_bytes": round(steps * predicted),
        "base": base.read_text(), "changes": changes, "eval_bytes": args.eval_bytes,
        "training_flops_per_byte": cost["training_flops_per_byte"],
        "parameters": sum(level["parameters"] for level in cost["levels"]),
        "seconds": speed[-1]["seconds"], "eval": {},
    }
    for inference in ladder(args, task, name):
        found["eval"][inference] = call(
            args.program, "eval", "--model", str(folder / "checkpoints/latest"), "--data", data, "--split", "test",
            "--inference", inference, "--limit-bytes", str(args.eval_bytes), "--device", args.device, "--json")
    beside = place.with_suffix(".tmp")
    beside.write_text(json.dumps(found, indent=1))
    beside.replace(place)


def there(args: argparse.Namespace, task: str, name: str, place: Path) -> bool:
    """Whether a run has its result; one of other sizes, or scored on other data, is none."""
    if not place.exists():
        return False
    found = json.loads(place.read_text())
    base = (HERE / f"{task}.toml").read_text()
    if not set(ladder(args, task, name)) <= found.get("eval", {}).keys():
        return False
    return (found.get("base"), found.get("changes"), found.get("eval_bytes")) == (base, overrides(TASKS[task][name]), args.eval_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flops", type=float, default=8e12, help="training FLOPs of every run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--ladder", nargs="*", default=["text"], help="tasks whose base is evaluated in every way")
    parser.add_argument("--only", nargs="*", help="variants whose names begin so")
    parser.add_argument("--eval-bytes", type=int, default=200_000, help="held-out bytes that are scored, about")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="the folder with cifar10 and enwik8")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/megabyte")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time, of a thread each")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    for task, name in (("image", "cifar10"), ("text", "enwik8")):
        if task in args.tasks and not (args.data / name).exists():
            parser.exit(1, f"{args.data / name} is absent: megabyte download {name} --out {args.data / name}\n")
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("XDG_CACHE_HOME", str(args.out / "cache"))

    wanted = [
        (task, name, seed)
        # Seed by seed: what was interrupted has every variant.
        for seed in range(args.seeds)
        for task in args.tasks
        for name in TASKS[task]
        if not args.only or any(name.startswith(start) for start in args.only)
    ]
    failures = []

    def measure(task: str, name: str, seed: int) -> None:
        place = report.name_of(args.out, task, name, seed, args.flops)
        if there(args, task, name, place):
            return
        print(f"{wanted.index((task, name, seed)) + 1} of {len(wanted)}: {task}, {name}, seed {seed}", file=sys.stderr, flush=True)
        try:
            run(args, task, name, seed, place)
        except Exception as failure:  # noqa: BLE001 (said at the end; the others go on)
            failures.append(f"{task}, {name}, seed {seed}: {failure}")
            print(failures[-1], file=sys.stderr, flush=True)

    pool = ThreadPoolExecutor(args.jobs)
    try:
        for done in as_completed([pool.submit(measure, *one) for one in wanted]):
            done.result()
    except KeyboardInterrupt:
        print("interrupted: the results so far follow, and the same command goes on", file=sys.stderr)
    finally:
        pool.shutdown(cancel_futures=True)
    report.write(args.out, args.flops)
    if failures:
        sys.exit("\n".join(["not measured:", *failures]))


if __name__ == "__main__":
    main()
