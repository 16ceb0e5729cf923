#!/usr/bin/env bash
# What a machine with a GPU shows in nine minutes, from what `make dist-gpu` packed: whether results are right there, how fast
# it trains and generates beside PyTorch, and what happens where memory ends. Needs PyTorch 2.11, builds nothing, and
# fetches nothing.
#
#     OUT=runs/gpu scripts/gpu.sh [megabyte-….tar.gz megabyte-checks-….tar.gz]
#
# Without arguments it takes the tarballs in dist/. Parts run in the order of what they are worth, each within a limit of its
# own; what one has found is in $OUT at once: a line in summary.jsonl, and its output in one of a few .txt files. At the end
# there is summary.md. It fails where a part failed.
#
#     DEVICE=cpu SIZE=tiny OUT=/tmp/gpu scripts/gpu.sh …      a rehearsal: the same parts with a tiny model
#
# PATIENCE=5 makes all limits five times as long: on a machine that does other things besides.
set -uo pipefail

export OUT=${OUT:-runs/gpu} DEVICE=${DEVICE:-cuda} SIZE=${SIZE:-full} PYTHON=${PYTHON:-python3}
PATIENCE=${PATIENCE:-1}
BUDGET=$((540 * PATIENCE)) # seconds for everything
# Steps of a tiny model are too short to be shared.
[ "$SIZE" = full ] || export OMP_NUM_THREADS=1
self=$(readlink -f "$0")

fail() {
    echo "gpu.sh: $*" >&2
    exit 2
}

# ------------------------------------------------------------------------------------------- single parts, as `gpu.sh part NAME`

# One step of `megabyte`.
megabyte() { "$PROGRAM/megabyte" "$@"; }

# A configuration file: small and large as benches/peers has them, paper is the 1.4 billion parameters of table 13.
config() {
    if [ "$SIZE" = tiny ]; then
        echo "$WORK/tiny.toml"
        return
    fi
    case $1 in
    small | large) echo "$CHECKS/benches/peers/$1.toml" ;;
    paper) echo "$PROGRAM/configs/paper/pg19/ratio_1300m_218m.toml" ;;
    esac
}

# What a measurement takes, in seconds.
seconds() { if [ "$SIZE" = tiny ]; then echo 0.2; else echo "$1"; fi; }

# Training steps: the size, seconds, and keys that differ.
train() {
    local size=$1 seconds=$2 keys=()
    shift 2
    for key in "$@"; do keys+=(--set "$key"); done
    megabyte bench train --device "$DEVICE" --json --config "$(config "$size")" --seconds "$(seconds "$seconds")" "${keys[@]}"
}

# The same steps by PyTorch: the implementation, the size, seconds. The paper's in sequences of a micro-batch.
peer() {
    local entry=$1 size=$2 seconds=$3 file=$WORK/$1-$2.toml
    sed -e '/^cross_patch/d' "$(config "$size")" >"$file"
    if [ "$size" = paper ] && [ "$SIZE" = full ]; then
        sed -i -e 's/^bytes_per_step.*/bytes_per_step = 32768/' "$file"
    fi
    local folder=$CHECKS/peers
    if [ "$entry" != reference ] && [ ! -d "$folder" ]; then
        echo "skipped: $entry was not packed"
        return
    fi
    PYTHONPATH="$folder" "$PYTHON" "$CHECKS/benches/peers/measure.py" --what train --entry "$entry" --config "$file" \
        --dtype bfloat16 --device "$DEVICE" --seconds "$(seconds "$seconds")" --threads "$(nproc)"
}

# A test program, and the tests of it that are wanted; in a rehearsal one that takes little.
check() {
    local name=$1 rehearsed=$2
    shift 2
    [ -x "$CHECKS/programs/$name" ] || { echo "skipped: $name was not packed"; return; }
    if [ "$SIZE" = tiny ]; then set -- "$rehearsed"; fi
    # What the reference needs beside PyTorch.
    if [ -d "$CHECKS/peers" ]; then export PYTHONPATH=$CHECKS/peers; fi
    MEGABYTE_DEVICE=$DEVICE MEGABYTE_PYTHON=$PYTHON CARGO_MANIFEST_DIR=$CHECKS CUBLAS_WORKSPACE_CONFIG=:4096:8 \
        LD_LIBRARY_PATH=$TORCH_LIB${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$CHECKS/programs/$name" "$@"
}

# A run of so many steps: its folder, the number, and what else is to be said.
run() {
    local folder=$1 steps=$2 file
    shift 2
    file=$(config small)
    if [ ! -e "$WORK/text" ]; then
        "$PYTHON" -c 'for i in range(20000): print("the square of", i, "is", i * i)' >"$WORK/text"
    fi
    XDG_CACHE_HOME=$WORK/cache megabyte train --device "$DEVICE" --out "$folder" --data "$WORK/text" \
        --set data.cut_over=1000 --set train.schedule=constant --set train.warmup_steps=2 --set train.lr=1e-3 \
        --set train.log_every=5 --set train.eval_bytes=20000 --set train.max_steps="$steps" --config "$file" "$@"
}

# Three steps and what they say beside their results: nothing of `bench`, and of a run no warning.
quiet() {
    megabyte bench train --device "$DEVICE" --config "$(config small)" --seconds 0.5 2>"$WORK/stderr" || return 1
    run "$WORK/quiet" 3 2>"$WORK/lines" || { cat "$WORK/lines"; return 1; }
    cat "$WORK/stderr" "$WORK/lines"
    [ ! -s "$WORK/stderr" ] && ! grep -i warn "$WORK/lines"
}

# Ten steps, stopped, and ten more, beside twenty: the same losses, within what sums in another order change.
resume() {
    run "$WORK/whole" 20 2>&1 && run "$WORK/pieces" 10 2>&1 || return 1
    XDG_CACHE_HOME=$WORK/cache megabyte train --device "$DEVICE" --out "$WORK/pieces" --resume --allow-config-change \
        --set train.max_steps=20 2>&1 || return 1
    "$PYTHON" - "$WORK/whole/metrics.jsonl" "$WORK/pieces/metrics.jsonl" <<'PROGRAM'
import json, sys

def losses(path):
    lines = [json.loads(line) for line in open(path)]
    return {line["step"]: line["bits_per_byte"] for line in lines if line["kind"] == "train"}

whole, pieces = map(losses, sys.argv[1:])
print(json.dumps({"whole": whole, "pieces": pieces}))
worst = max(abs(whole[step] - pieces[step]) for step in whole)
sys.exit(f"losses differ by {worst}" if whole.keys() != pieces.keys() or not worst < 0.02 else 0)
PROGRAM
}

# More than there is: an error that speaks of memory, exit code 1, and no crash.
shortage() {
    local file keys=(--set train.micro_batch=48)
    file=$(config paper)
    if [ "$SIZE" = tiny ]; then
        sed -e 's/^n_embd.*/n_embd = 65536/' -e 's/^n_layer.*/n_layer = 64/' "$file" >"$WORK/huge.toml"
        file=$WORK/huge.toml keys=()
    fi
    megabyte bench train --device "$DEVICE" --config "$file" --seconds 1 "${keys[@]}" 2>"$WORK/shortage"
    local code=$?
    cat "$WORK/shortage"
    echo "exit code $code"
    [ "$code" = 1 ] && grep -q 'memory' "$WORK/shortage" && ! grep -qi 'internal\|panicked' "$WORK/shortage"
}

# A sequence of 8,192 bytes.
generate() {
    local size=$1
    shift
    if [ "$SIZE" = full ]; then set -- --set model.context=8192 "$@"; fi
    megabyte bench generate --device "$DEVICE" --json --config "$(config "$size")" --seconds 0.1 "$@"
}

machine() {
    megabyte doctor
    if [ "$DEVICE" != cpu ]; then nvidia-smi; fi
    return 0
}

part() {
    case $1 in
    machine) machine ;;
    device) check device only_devices ;;
    reference) check reference equals_the_reference_in_float32 ;;
    generation) check generation the_end_symbol ;;
    gradients) check gradients gradients_are_those ;;
    causality) check causality every_byte_value ;;
    optimizer) check optimizer a_gradient_that_is_not_finite ;;
    training) check train micro_batches a_resumed micro_batches training_learns averages_are frozen_levels so_does_one_with_muon ;;
    archives) check compress bfloat16_and_float32 round:: ;;
    # On the CPU, whose levels may be others than those of the machine that built it.
    attention) check attention other_sizes_are ;;
    quiet) quiet ;;
    train-small) train small 6 ;;
    train-large) train large 6 ;;
    train-paper) train paper 12 ;;
    train-paper-own) train paper 10 model.cross_patch=0 ;;
    train-paper-plain) train paper 10 model.cross_patch=0 model.dropout=0.0 ;;
    reference-small) peer reference small 6 ;;
    reference-large) peer reference large 6 ;;
    reference-paper) peer reference paper 10 ;;
    MEGABYTE-pytorch-small) peer MEGABYTE-pytorch small 6 ;;
    MEGABYTE-pytorch-large) peer MEGABYTE-pytorch large 6 ;;
    MEGABYTE-pytorch-paper) peer MEGABYTE-pytorch paper 10 ;;
    generate-small | generate-large) generate "${1#generate-}" ;;
    generate-paper) generate paper --dtype bfloat16 ;;
    compress-small | compress-large)
        megabyte bench compress --device "$DEVICE" --json --config "$(config "${1#compress-}")" --seconds "$(seconds 4)"
        ;;
    shortage) shortage ;;
    resume) resume ;;
    *) fail "there is no part $1" ;;
    esac
}

if [ "${1:-}" = part ]; then
    part "$2"
    exit
fi

# ------------------------------------------------------------------------------------------------------------- all of them

started=$SECONDS
newest() { # of the tarballs in dist/, by a pattern
    # shellcheck disable=SC2012
    ls -t dist/$1 2>/dev/null | head -n 1
}
program=${1:-$(newest 'megabyte-[0-9]*.tar.gz')}
checks=${2:-$(newest 'megabyte-checks-*.tar.gz')}
[ -e "$program" ] && [ -e "$checks" ] || fail "no tarballs: \`make dist-gpu\` writes them into dist/, or name both"
case $SIZE in full | tiny) ;; *) fail "SIZE=$SIZE: expected full or tiny" ;; esac
command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON; name a Python with PyTorch 2.11: PYTHON=…"
mkdir -p "$OUT" || exit 2
OUT=$(readlink -f "$OUT")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir "$WORK/program" "$WORK/checks"
tar -C "$WORK/program" --strip-components=1 -xzf "$program" && tar -C "$WORK/checks" --strip-components=1 -xzf "$checks" || exit 2
PROGRAM=$WORK/program CHECKS=$WORK/checks
TORCH_LIB=$("$PYTHON" -c 'import importlib.util as u, os; print(os.path.join(os.path.dirname(u.find_spec("torch").origin), "lib"))') ||
    fail "$PYTHON has no torch"
export WORK PROGRAM CHECKS TORCH_LIB
cat >"$WORK/tiny.toml" <<'CONFIG'
[data]
modality = "text"

[model]
vocab = 256
context = 64
dropout = 0.0

[[model.level]]
unit = 4
n_embd = 16
n_layer = 1
n_head = 2

[[model.level]]
unit = 1
n_embd = 8
n_layer = 1
n_head = 2

[train]
bytes_per_step = 128
dtype = "float32"
CONFIG
rm -f "$OUT"/{summary.jsonl,summary.md,checks.txt,training.txt,peers.txt,generation.txt,limits.txt}

# A line of the summary: the part, its exit code, its milliseconds, its limit in seconds, and the files of what it printed.
record() {
    "$PYTHON" - "$@" >>"$OUT/summary.jsonl" <<'PROGRAM'
import json, sys

part, code, milliseconds, limit, out, err = sys.argv[1:]
printed, errors = open(out).read().strip(), open(err).read().strip()
last = (printed.splitlines() or [""])[-1]
line = {"part": part, "state": "done", "seconds": int(milliseconds) / 1000}
if code in ("124", "137"):
    line.update(state="failed", reason=f"took longer than {limit} s")
elif code != "0":
    line.update(state="failed", reason=f"exit code {code}: {(errors.splitlines() or [last])[-1][:300]}")
elif last.startswith("skipped: "):
    line.update(state="skipped", reason=last.removeprefix("skipped: "))
else:
    for text in (printed, last):
        try:
            line["result"] = json.loads(text)
            break
        except ValueError:
            pass
print(json.dumps(line))
PROGRAM
    sync "$OUT/summary.jsonl" 2>/dev/null
    tail -n 1 "$OUT/summary.jsonl" | cut -c1-300
}

# Runs parts: the file of their output, the limit in seconds, their names.
parts() {
    local file=$OUT/$1.txt limit=$(($2 * PATIENCE)) name left within began group code out=$WORK/out err=$WORK/err
    shift 2
    for name in "$@"; do
        left=$((BUDGET - (SECONDS - started)))
        within=$((limit < left ? limit : left))
        rm -f "$out" "$err" && touch "$out" "$err"
        if [ "$within" -lt 5 ]; then
            echo "skipped: no time was left of $BUDGET s" >"$out"
            record "$name" 0 0 "$limit" "$out" "$err"
            continue
        fi
        began=$(date +%s%N)
        timeout -k 3 "$within" bash "$self" part "$name" >"$out" 2>"$err" </dev/null &
        group=$!
        wait "$group"
        code=$?
        # A program that was told to stop may still be saving what it has: the next part needs its memory.
        kill -KILL -- "-$group" 2>/dev/null
        { echo "== $name" && cat "$out" "$err"; } >>"$file"
        record "$name" "$code" $((($(date +%s%N) - began) / 1000000)) "$within" "$out" "$err"
    done
}

parts checks 30 machine
parts checks 40 device reference generation gradients
parts training 30 quiet
parts training 30 train-small train-large
parts training 75 train-paper train-paper-own train-paper-plain
parts peers 30 reference-small reference-large
parts peers 60 reference-paper
parts generation 70 generate-small generate-paper
parts checks 60 training optimizer causality archives attention
parts peers 30 MEGABYTE-pytorch-small MEGABYTE-pytorch-large
parts generation 40 compress-small compress-large
parts limits 45 shortage resume
parts peers 60 MEGABYTE-pytorch-paper
parts generation 60 generate-large

"$PYTHON" - "$OUT/summary.jsonl" >"$OUT/summary.md" <<'PROGRAM'
import json, sys

lines = [json.loads(line) for line in open(sys.argv[1])]
peak = max((line["result"].get("matrix_gflops") or 0 for line in lines if isinstance(line.get("result"), dict)), default=0)
print("| part | state | s | bytes/s | MFU | memory, GB | |\n|---|---|---:|---:|---:|---:|---|")
for line in lines:
    found = line.get("result") if isinstance(line.get("result"), dict) else {}
    results = [found, found["other"]] if found.get("other") else [found]
    for result in results:
        rate, mfu = result.get("bytes_per_second"), result.get("mfu")
        if mfu is None and rate and peak and result.get("flops_per_byte"):
            mfu = rate * result["flops_per_byte"] / (peak * 1e9)
        memory = result.get("memory")
        notes = [line.get("reason", ""), result.get("dtype", "")]
        if result.get("decompress_bytes_per_second"):
            notes.append(f"back at {result['decompress_bytes_per_second']:,.0f} bytes/s")
        cells = [
            line["part"], line["state"], line["seconds"],
            f"{rate:,.0f}" if rate else "", f"{mfu:.1%}" if mfu else "", f"{memory / 1e9:.1f}" if memory else "",
            ", ".join(note for note in notes if note).replace("|", "/"),
        ]
        print("| " + " | ".join(map(str, cells)) + " |")
PROGRAM
cat "$OUT/summary.md"
! grep -q '"state": "failed"' "$OUT/summary.jsonl"
