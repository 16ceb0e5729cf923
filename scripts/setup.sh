#!/usr/bin/env bash
# Installs the PyTorch wheel, which holds libtorch, into .venv, and lays the link .libtorch that the build looks for.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
cargo=${CARGO:-cargo}
missing=()

lacks() { # what, and the command that gets it
    missing+=("$1"$'\n'"    $2")
}

if ! command -v "$python" >/dev/null; then
    lacks "$python" "apt-get install python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    lacks "Python 3.10 or newer ($("$python" --version 2>&1) is too old)" "make PYTHON=python3.11 setup, with a newer one"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lacks "Python's venv with pip" "apt-get install python3-venv"
fi
command -v g++ >/dev/null || lacks "g++" "apt-get install g++"
if ! command -v "$cargo" >/dev/null; then
    lacks "cargo" "apt-get install curl && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
else
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$("$cargo" --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
        lacks "cargo $needed or newer ($found is too old)" "rustup update"
    fi
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "note: only Linux on x86-64 has been tried; this is $(uname -sm)" >&2
fi
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
if [ -e .libtorch ] && [ ! -L .libtorch ]; then
    echo ".libtorch is a folder or a file where a link has to lie: move it away" >&2
    exit 1
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --disable-pip-version-check --requirement requirements.txt

# Without importing torch, which takes seconds.
torch=$(.venv/bin/python -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))')
[ -e "$torch/lib/libtorch_cpu.so" ] || { echo "$torch has no lib/libtorch_cpu.so: remove .venv and try again" >&2; exit 1; }
ln -sfn "${torch#"$PWD/"}" .libtorch
echo "libtorch: $(readlink .libtorch)"
