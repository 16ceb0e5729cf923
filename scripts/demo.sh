#!/usr/bin/env bash
# The main job from nothing: obtain data, train three small models, measure them on held-out data, let them complete
# held-out files, and write one page about it. What is there already is used again; what was interrupted goes on.
# The trainings get what is left of the time, by what this machine reaches (scripts/plan.py).
#
#   DEMO="image text" scripts/demo.sh        only these
#   DEMO_AUDIO=piano scripts/demo.sh         another data set card
#   DEMO_MINUTES=30 scripts/demo.sh          minutes for all that is made, downloads not counted; 12
set -euo pipefail
cd "$(dirname "$0")/.."

megabyte=${MEGABYTE:-target/release/megabyte}
models=${DEMO:-image audio text}
declare -A card=([image]=${DEMO_IMAGE:-twemoji} [audio]=${DEMO_AUDIO:-asterisk} [text]=${DEMO_TEXT:-enwik8})
# How much of the held-out data is scored: enough for a standard error of about 1 %, in seconds.
declare -A eval_bytes=([image]=600000 [audio]=400000 [text]=300000)
prompts=4 # held-out files to complete, for each modality
count=3   # completions of each
minutes=${DEMO_MINUTES:-12}

# Ctrl-C reaches the program too, which saves and ends well; the script must not go on as if it were done.
trap 'echo "stopped; make demo goes on from here" >&2; exit 130' INT TERM

stage() { printf '\n== [%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }

# Files of the test split, one a line. Longer ones first, so that there is something left to compare with.
held_out() {
    "$megabyte" inspect "$data/prepared" --json | .venv/bin/python -c '
import json, os, sys
names = json.load(sys.stdin)["splits"]["test"]["names"]
files = [os.path.join(folder, file) for folder, _, files in os.walk(sys.argv[1]) for file in files]
files = [file for file in files if any(file == name or file.endswith("/" + name) for name in names)]
print("\n".join(sorted(files, key=lambda file: (-os.path.getsize(file), file))))
' "$data/files" | awk NF
}

# Files to complete, one a line. A text of this size is cut in order: what is held out for testing is its last 5 %.
prompt_files() { # modality
    if [ "$1" != text ]; then
        held_out | head -n "$prompts" || true
        return
    fi
    local file folder=runs/demo/text/prompts size at i
    file=$data/files/${card[text]}
    size=$(stat -c %s "$file")
    mkdir -p "$folder"
    for ((i = 1; i <= prompts; i++)); do
        at=$((size * (950 + 10 * i) / 1000))
        tail -c "+$at" "$file" | head -c "$(context text)" >"$folder/held-out-$i.txt" || true
        echo "$folder/held-out-$i.txt"
    done
}

# Whether a run reached its end: training that is asked to stop saves and exits with 0 too.
finished() { # run folder
    .venv/bin/python - "$1" <<'PY'
import json, re, sys
run = sys.argv[1]
state = json.load(open(f"{run}/checkpoints/latest/state.json"))
config = open(f"{run}/config.toml").read()
limit = lambda key: float(re.search(rf"^{key} = (.*)$", config, re.M).group(1))
done = state["step"] >= limit("max_steps") or 0 < limit("max_minutes") <= state["minutes"]
sys.exit(0 if done else f"{run}: training was stopped; make demo goes on from here")
PY
}

context() { sed -n 's/^context *= *\([0-9_]*\).*/\1/p' "configs/small/$1.toml" | tr -d _; }

# Half of a picture is half of its file; of a recording or a text, half of what the model can look at.
keep() { if [ "$1" = image ]; then echo 50%; else echo $(($(context "$1") / 2)); fi; }

state=runs/demo/.state
mkdir -p "$state"
is() { [ -e "$state/$m.$1" ] && [ "$(cat "$state/$m.$1")" = "$key" ]; }
mark() { echo "$key" >"$state/$m.$1"; }
# Sets what belongs to a model.
select_model() {
    m=$1
    config=configs/small/$m.toml
    run=runs/demo/$m
    data=data/demo/$m/${card[$m]}
    key=$(cat "$config" "datasets/${card[$m]}.toml" | sha256sum | cut -d' ' -f1)
}

is_trained() { is trained && [ -e "$run/checkpoints/best" ]; }
is_under_way() { is begun && [ -e "$run/checkpoints/latest" ]; }

unplanned=()
fetching=0 # seconds, which are a matter of the network
for m in $models; do
    select_model "$m"
    stage "$m: data (${card[$m]})"
    began=$SECONDS
    "$megabyte" download "${card[$m]}" --out "$data/files"
    fetching=$((fetching + SECONDS - began))
    if ! is prepared; then
        "$megabyte" prepare "$data/files" --config "$config" --out "$data/prepared" --force
        mark prepared
    fi
    # A training that was planned keeps its plan, however often it is stopped.
    if ! is_trained && ! is_under_way && ! { is planned && [ -e "$state/$m.plan" ]; }; then
        unplanned+=("$m=${eval_bytes[$m]}")
    elif [ -n "${DEMO_MINUTES:-}" ] && [ "$DEMO_MINUTES" != "$(cat "$state/$m.minutes" 2>/dev/null)" ]; then
        stage "$m: keeps its plan of before, whatever DEMO_MINUTES is now; without runs/demo/$m and $state/$m.* it is made anew"
    fi
done

if [ ${#unplanned[@]} -gt 0 ]; then
    stage "plan: what this machine reaches"
    # What was planned before has its share of the time.
    all=$(wc -w <<<"$models")
    .venv/bin/python scripts/plan.py --megabyte "$megabyte" --out "$state" \
        --seconds $((minutes * 60 * ${#unplanned[@]} / all - SECONDS + fetching)) "${unplanned[@]}"
    for m in "${unplanned[@]%%=*}"; do
        select_model "$m"
        echo "$minutes" >"$state/$m.minutes"
        mark planned
    done
fi

for m in $models; do
    select_model "$m"
    if is_trained; then
        stage "$m: trained already ($run)"
    elif is_under_way; then
        stage "$m: training goes on where it stopped"
        "$megabyte" train --out "$run" --resume
        finished "$run"
        mark trained
    else
        stage "$m: training ($config)"
        rm -f "$state/$m".{begun,trained,measured,completed}
        mkdir -p "$run"
        settings=()
        while IFS= read -r setting; do settings+=(--set "$setting"); done <"$state/$m.plan"
        mark begun
        "$megabyte" train --config "$config" --data "$data/prepared" --out "$run" --force "${settings[@]}"
        finished "$run"
        mark trained
    fi

    if ! is measured; then
        stage "$m: bits per byte on held-out data"
        "$megabyte" eval --model "$run" --data "$data/prepared" --split test --baselines \
            --limit-bytes "${eval_bytes[$m]}" --json >"$run/eval.json.tmp"
        mv "$run/eval.json.tmp" "$run/eval.json"
        mark measured
    fi

    if ! is completed; then
        stage "$m: completions of held-out files"
        rm -rf "$run/completions"
        prompt_files "$m" >"$state/$m.prompts"
        [ -s "$state/$m.prompts" ] || { echo "no file of $data is held out for testing" >&2; exit 1; }
        while IFS= read -r file; do
            name=$(basename "$file")
            "$megabyte" generate --model "$run" --prompt "$file" --keep "$(keep "$m")" --count "$count" \
                --out "$run/completions/${name%.*}" --force </dev/null
        done <"$state/$m.prompts"
        mark completed
    fi
done

stage "report"
runs=()
for m in $models; do runs+=("runs/demo/$m"); done
"$megabyte" report "${runs[@]}" --out runs/demo/report.html --force
stage "done; open this in a browser:"
echo "$PWD/runs/demo/report.html"
