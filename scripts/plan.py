"""How long the trainings of `make demo` may take on this machine: it is measured, and they get what is left of the time.

    python scripts/plan.py --megabyte PROGRAM --seconds 600 --out FOLDER image=600000 audio=400000 text=300000

The numbers are the held-out bytes that are scored at the end. Writes FOLDER/MODEL.plan, a line KEY=VALUE for each key of the
training that is set; `--measured FILE` takes what was measured from a file.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

# Of the time for training, in parts.
PARTS = {"image": 34, "audio": 30, "text": 36}
# While a model is trained, it is evaluated and drawn from so often.
EVALUATIONS = 6
SAMPLES = 2
# A training has at least so many steps where their bytes can be halved to that end.
STEPS = 600
# Sequences completed one after the other, each from its middle on; half a sequence each.
COMPLETED = 4
# Seconds that a model takes beside its steps, evaluations and sequences: programs that start, coders to compare with, files.
REST = 15
# Of the time that is left: the machine may be slower later on.
USED = 0.92
# No training is shorter, whatever the time.
LEAST = 45


def plan(measured, seconds):
    """The training of each model, and the seconds that all of it takes: `measured` has rates, `seconds` is what there is."""
    beside = {name: seconds_beside(**of) for name, of in measured.items()}
    left = USED * seconds - sum(beside.values())
    parts = sum(PARTS.get(name, 30) for name in measured)
    trainings = {}
    for name, of in measured.items():
        training = max(LEAST, left * PARTS.get(name, 30) / parts)
        size, context = of["bytes_per_step"], of["context"]
        while training * of["rate"] / size < STEPS and size % (2 * context) == 0:
            size //= 2
        steps = min(of["max_steps"], int(training * of["rate"] / size) + 1)
        trainings[name] = {
            "seconds": min(training, steps * size / of["rate"]),
            "steps": steps,
            "set": {
                "train.max_minutes": round(training / 60, 3),
                "train.bytes_per_step": size,
                "train.eval_every": max(1, steps // EVALUATIONS),
                "train.sample_every": max(1, steps // SAMPLES),
                "train.checkpoint_every": max(1, steps // EVALUATIONS),
            },
        }
    return trainings, sum(one["seconds"] for one in trainings.values()) + sum(beside.values())


def seconds_beside(rate, context, eval_bytes, test_bytes, generated, **_):
    """What a model takes beside its training. Scoring is a third of a training step's work."""
    scored = (EVALUATIONS + 1) * eval_bytes + test_bytes
    drawn = (SAMPLES + 1) * context + COMPLETED * context / 2
    return scored / (3 * rate) + drawn / generated + REST


def measure(megabyte, name, test_bytes):
    """Bytes a second of training and generation, and what of the configuration the plan depends on."""
    config = Path("configs/small") / f"{name}.toml"
    text = config.read_text()
    key = lambda name: int(re.search(rf"^{name} *= *([0-9_]+)", text, re.M).group(1).replace("_", ""))
    ask = lambda *arguments: json.loads(
        subprocess.run([megabyte, *arguments, "--json"], check=True, stdout=subprocess.PIPE).stdout
    )
    context = key("context")
    trained = ask("train", "--config", config, "--dry-run")
    if trained["bytes_per_second"] is None:
        sys.exit(f"{config} does not fit into the memory of this machine: {trained['shortage']}")
    # A byte takes as long in a shorter sequence.
    shorter = f"model.context={context // 4}"
    drawn = ask("bench", "generate", "--config", config, "--seconds", "0.5", "--dtype", trained["dtype"], "--set", shorter)
    return {
        "rate": trained["bytes_per_second"],
        "generated": drawn["bytes_per_second"],
        "dtype": trained["dtype"],
        "reason": trained["reason"],
        "context": context,
        "bytes_per_step": key("bytes_per_step"),
        "max_steps": key("max_steps"),
        "eval_bytes": key("eval_bytes"),
        "test_bytes": test_bytes,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabyte", default="target/release/megabyte")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    models = {name: int(test_bytes) for name, test_bytes in (model.split("=") for model in args.models)}
    if args.measured:
        measured = json.loads(args.measured.read_text())
    else:
        measured = {name: measure(args.megabyte, name, test_bytes) for name, test_bytes in models.items()}
    trainings, total = plan(measured, args.seconds)
    for name, training in trainings.items():
        of = measured[name]
        print(
            f"{name}: trains at {of['rate'] / 1e3:.1f} kB/s in {of['dtype']} ({of['reason']}); {training['seconds'] / 60:.1f} minutes, "
            f"about {training['steps']} steps of {training['set']['train.bytes_per_step']} bytes",
            file=sys.stderr,
        )
        lines = "".join(f"{key}={value}\n" for key, value in training["set"].items())
        (args.out / f"{name}.plan").write_text(lines)
    late = f", more than the {args.seconds / 60:.1f} that there are" if total > args.seconds else ""
    print(f"all of it takes about {total / 60:.1f} minutes from here on{late}", file=sys.stderr)


if __name__ == "__main__":
    main()
