#!/usr/bin/env bash
# Packs the program for machines that have PyTorch 2.11 and no Rust.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=megabyte-$version-linux-$(uname -m)
limit=$((20 * 1000 * 1000))

mkdir -p dist
work=$(mktemp -d dist/.pack.XXXXXX)
trap 'rm -rf "$work"' EXIT
folder=$work/$name
mkdir -p "$folder/bin"
strip -o "$folder/bin/megabyte" target/release/megabyte
install -m 755 scripts/launcher.sh "$folder/megabyte"
cp -R configs datasets LICENSE-MIT LICENSE-APACHE "$folder"
[ ! -e README.md ] || cp README.md "$folder"

tar -C "$work" --owner=0 --group=0 --sort=name -czf "$work/$name.tar.gz" "$name"
size=$(stat -c %s "$work/$name.tar.gz")
if [ "$size" -ge "$limit" ]; then
    echo "$name.tar.gz has $size bytes; it must stay below $limit" >&2
    exit 1
fi
mv "$work/$name.tar.gz" "dist/$name.tar.gz"
echo "dist/$name.tar.gz ($size bytes)"
