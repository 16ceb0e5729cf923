#!/usr/bin/env bash
# Installs the PyTorch wheel, which holds libtorch, into .venv, and lays the link .libtorch that the build looks for.
# TORCH=cpu takes the wheel without CUDA, from the package index TORCH_INDEX or one that pip is configured with.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
cargo=${CARGO:-cargo}
missing=()

case $(uname -sm) in
    "Linux x86_64" | "Linux aarch64") ;;
    Darwin*) echo "macOS is not supported: this needs Linux on x86-64 or aarch64, of which a container will do" >&2; exit 1 ;;
    *) echo "$(uname -sm) is not supported: this needs Linux on x86-64 or aarch64" >&2; exit 1 ;;
esac
case ${TORCH:-} in
    "" | cpu) ;;
    *) echo "TORCH is \"$TORCH\": it is \"cpu\", for the wheel without CUDA, or not set" >&2; exit 1 ;;
esac
if [ -n "${TORCH_INDEX:-}" ] && [ "${TORCH:-}" != cpu ]; then
    echo "TORCH_INDEX names where the wheel without CUDA is, which TORCH=cpu asks for: set both or neither" >&2
    exit 1
fi

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
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
if [ -e .libtorch ] && [ ! -L .libtorch ]; then
    echo ".libtorch is a folder or a file where a link has to lie: move it away" >&2
    exit 1
fi

# The version that torch/version.py names, such as 2.11.0+cu130: importing torch would take seconds.
version() {
    [ ! -e .libtorch/version.py ] || sed -n "s/^__version__ = '\(.*\)'/\1/p" .libtorch/version.py
}
before=$(version)

[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=(.venv/bin/python -m pip install --disable-pip-version-check)
if [ "${TORCH:-}" = cpu ]; then
    wheel=$(sed -n 's/^\(torch==.*\)/\1+cpu/p' requirements.txt)
    "${pip[@]}" "$wheel" ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} || {
        echo "$wheel was not found: TORCH_INDEX=URL names a package index that has it (see PyTorch's installation page: Linux, Pip," \
            "CPU); without TORCH=cpu the wheel with CUDA is taken" >&2
        exit 1
    }
elif [ -z "$before" ] && [ ! -e /dev/nvidiactl ] && [ ! -e /dev/dxg ]; then
    echo "note: no NVIDIA GPU is seen here, and the wheel with CUDA is gigabytes; TORCH=cpu TORCH_INDEX=URL takes the one" \
        "without from a package index that has it, which PyTorch's installation page names (Linux, Pip, CPU)" >&2
fi
"${pip[@]}" --requirement requirements.txt

torch=$(.venv/bin/python -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))')
[ -e "$torch/lib/libtorch_cpu.so" ] || { echo "$torch has no lib/libtorch_cpu.so: remove .venv and try again" >&2; exit 1; }
ln -sfn "${torch#"$PWD/"}" .libtorch
found=$(version)
# Which libraries there are to link with was decided when torch-sys was built.
if [ -n "$before" ] && [ "$before" != "$found" ]; then
    "$cargo" clean --release --package torch-sys --package megabyte
fi
echo "libtorch $found: $(readlink .libtorch)"
