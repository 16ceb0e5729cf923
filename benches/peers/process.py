"""What both comparisons need: other programs run, peers installed, their answers read."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "target" / "release" / "megabyte"
PEERS = ROOT / ".peers"


class Failed(Exception):
    """A measurement that didn't come off, and why."""


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def install(python: str, name: str, requirements: Path) -> Path:
    """Installs what a file of requirements pins into a folder of its own; gives the folder."""
    version = subprocess.run([python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=True)
    stamp = hashlib.sha256(requirements.read_bytes() + version.stdout.encode()).hexdigest()[:12]
    folder = PEERS / f"{name}-{stamp}"
    if folder.exists():
        return folder
    PEERS.mkdir(exist_ok=True)
    (PEERS / ".gitignore").write_text("*\n")
    say(f"installing {name} into {folder}")
    part = folder.with_suffix(".tmp")
    shutil.rmtree(part, ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*command, "--target", str(part), "-r", str(requirements)], os.environ, 600)
    part.rename(folder)
    return folder


def run(command: list[str], env: dict, timeout: float) -> str:
    """Runs a command and gives its standard output; says the last line of its errors when it fails."""
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {timeout:.0f} s") from None
    except OSError as error:
        raise Failed(str(error)) from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise Failed(f"{lines[-1].strip()} (exit code {done.returncode})")
    return done.stdout


def result_of(output: str) -> dict:
    """The JSON object on the last line."""
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"printed no JSON: {output.strip()[-200:]!r}") from None
