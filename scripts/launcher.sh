#!/bin/sh
# Runs megabyte with the libtorch of this machine's own PyTorch: the one that `python3` (or $PYTHON) has.
set -eu
here=$(dirname "$(readlink -f "$0")")
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null 2>&1; then
    echo "megabyte: there is no $python here; install Python with PyTorch 2.11, or name one: PYTHON=/path/to/python3" >&2
    exit 1
fi
# The version is read from torch/version.py: importing torch would take seconds.
lib=$("$python" - <<'PROGRAM'
import importlib.util, os, re, sys

spec = importlib.util.find_spec("torch")
if spec is None or not spec.origin:
    sys.exit(f"megabyte: {sys.executable} has no torch; get it with: {sys.executable} -m pip install torch==2.11.0")
folder = os.path.dirname(spec.origin)
with open(os.path.join(folder, "version.py")) as file:
    found = re.search(r"__version__ = '([^']+)'", file.read())
version = found.group(1) if found else "of unknown version"
if not re.match(r"2\.11\.\d", version):
    sys.exit(f"megabyte: {folder} is torch {version}, and this program needs 2.11.0; name another Python: PYTHON=/path/to/python3")
print(os.path.join(folder, "lib"))
PROGRAM
)
# The wheel's libraries find those of CUDA, in the nvidia folders beside torch, by themselves.
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/bin/megabyte" "$@"
