#!/usr/bin/env bash
# Packs what scripts/gpu.sh runs beside the program: test programs, the reference in PyTorch, and what it is compared with.
# The test programs are those that cargo builds, or those in a folder that is named, where each has the name of its test.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${DIST:-dist}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=megabyte-checks-$version-linux-$(uname -m)
limit=$((40 * 1000 * 1000)) # with the program's it has to fit into 64 MiB
wanted=(device reference generation gradients causality optimizer train compress attention)

mkdir -p "$out"
work=$(mktemp -d "$out/.pack.XXXXXX")
trap 'rm -rf "$work"' EXIT
folder=$work/$name
mkdir -p "$folder/programs" "$folder/tests" "$folder/benches/peers"

# The programs of tests, as lines of a name and a path.
built() {
    "${CARGO:-cargo}" test --release --no-run --message-format=json "${wanted[@]/#/--test=}" | .venv/bin/python -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["kind"] == ["test"]:
        print(message["target"]["name"], message["executable"])'
}

if [ $# -gt 0 ]; then
    for test in "${wanted[@]}"; do
        [ ! -e "$1/$test" ] || strip -o "$folder/programs/$test" "$1/$test"
    done
else
    built >"$work/built"
    while read -r test path; do strip -o "$folder/programs/$test" "$path"; done <"$work/built"
    .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --target "$folder/peers" \
        -r benches/peers/requirements/MEGABYTE-pytorch.txt "$(grep '^safetensors==' requirements.txt)"
fi
cp -R tests/reference "$folder/tests/"
rm -rf "$folder/tests/reference/__pycache__"
cp benches/peers/{measure.py,entries.py,small.toml,large.toml} "$folder/benches/peers/"
cp scripts/gpu.sh "$folder"

tar -C "$work" --owner=0 --group=0 --sort=name -czf "$work/$name.tar.gz" "$name"
size=$(stat -c %s "$work/$name.tar.gz")
if [ "$size" -ge "$limit" ]; then
    echo "$name.tar.gz has $size bytes; it must stay below $limit" >&2
    exit 1
fi
mv "$work/$name.tar.gz" "$out/$name.tar.gz"
echo "$out/$name.tar.gz ($size bytes)"
