#!/usr/bin/env bash
# The programs that the tests in tests/outside compare this project's decoders with: FFmpeg, libsndfile and libFLAC for
# sound. Installed from Debian's or Ubuntu's packages where that is allowed, else named. A test whose program is missing
# says so and is ignored.
set -euo pipefail

# A command, and the package that has it.
programs=(
    ffmpeg:ffmpeg
    flac:flac
    sndfile-convert:sndfile-programs
)

missing=()
for program in "${programs[@]}"; do
    command -v "${program%%:*}" > /dev/null || missing+=("${program##*:}")
done
if [ ${#missing[@]} = 0 ]; then
    echo "all decoders are installed"
    exit
fi

if ! command -v apt-get > /dev/null; then
    echo "install these, of which your system has packages: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2> /dev/null; then
        echo "install these as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"
