# `make` lists what there is. Everything that is installed goes into .venv; nothing else of the machine changes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
CARGO ?= cargo
# Of a wheel that was asked for, or of any.
READY := .venv/.ready$(TORCH:%=-%)
EXAMPLES := $(basename $(notdir $(wildcard examples/*.rs)))
FUZZ := $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
FUZZ_SECONDS ?= 60

.PHONY: help setup build test test-all examples docs lint demo bench ablations long density fuzz dist dist-gpu clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) ## libtorch 2.11.0 from the PyTorch wheel, in .venv; once; TORCH=cpu takes the wheel without CUDA, from TORCH_INDEX=URL
$(READY): requirements.txt scripts/setup.sh
	PYTHON="$(PYTHON)" CARGO="$(CARGO)" TORCH="$(TORCH)" TORCH_INDEX="$(TORCH_INDEX)" scripts/setup.sh
	touch .venv/.ready $@

build: setup ## target/release/megabyte
	$(CARGO) build --release

test: setup ## all tests but the slow ones, the documentation's examples, and the programs in examples/; minutes
	$(CARGO) test --release -- --skip slow::
	$(MAKE) examples

test-all: setup ## the same with the slow tests: kills, full disks, limits of memory, long runs
	$(CARGO) test --release
	$(MAKE) examples

examples: setup ## run each program in examples/
	for name in $(EXAMPLES); do echo "== example $$name"; $(CARGO) run --release --quiet --example "$$name"; done

docs: setup ## docs/configuration.md and configs/schema.json from the code
	UPDATE_DOCS=1 $(CARGO) test --release --test cli the_reference_is_what_the_code_says

lint: setup ## formatting, clippy and documentation, with warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --no-deps

demo: build ## train three small models on real data and show what they make: runs/demo/report.html
	scripts/demo.sh

bench: build ## measure this project's parts, then beside other implementations
	$(CARGO) bench
	for dtype in bfloat16 float32; do target/release/megabyte bench train --profile --device cpu --set train.dtype=$$dtype; done
	target/release/megabyte bench train --profile --device cpu --seconds 60 --config benches/peers/large.toml
	.venv/bin/python benches/data/run.py
	.venv/bin/python benches/peers/run.py

ablations: build ## the paper's ablations at a size for a CPU, three seeds each: benches/ablations/results/table.md, about two hours
	.venv/bin/pip install --quiet -r benches/ablations/requirements.txt
	for name in cifar10 enwik8; do test -e "data/$$name" || target/release/megabyte download "$$name" --out "data/$$name"; done
	.venv/bin/python benches/ablations/run.py

long: build ## training steps of up to a million bytes: time, memory and how they grow; about half an hour
	.venv/bin/pip install --quiet -r benches/ablations/requirements.txt
	.venv/bin/python benches/long/run.py

density: build ## photographs, speech and text: bits per byte, archives on disk, and classical coders; PHOTOS=DIR SPEECH=DIR; about three hours
	.venv/bin/pip install --quiet -r benches/density/requirements.txt
	test -e data/enwik8 || target/release/megabyte download enwik8 --out data/enwik8
	.venv/bin/python benches/density/run.py --enwik8 data/enwik8 $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(SPEECH),--speech "$(SPEECH)")

fuzz: build ## hostile files to everything that reads, FUZZ_SECONDS (60) a target; needs nightly Rust and cargo-fuzz
	.venv/bin/python fuzz/seeds.py
	$(CARGO) +nightly fuzz build -O --sanitizer none
# The program reads files in threads with stacks of 2 MiB.
	ulimit -s 2048; for target in $(FUZZ); do echo "== fuzz $$target"; \
	$(CARGO) +nightly fuzz run -O --sanitizer none "$$target" -- -max_total_time=$(FUZZ_SECONDS) \
	-timeout=10 -rss_limit_mb=1536 -max_len=65536; done

dist: build ## dist/megabyte-VERSION-linux-ARCHITECTURE.tar.gz, for machines with PyTorch 2.11 and no Rust
	scripts/dist.sh

dist-gpu: dist ## and the test programs and peers beside it, for scripts/gpu.sh on a machine with a GPU
	scripts/dist-gpu.sh

clean: ## remove what was built; .venv, data/ and runs/ stay
	$(CARGO) clean
	rm -rf dist fuzz/target
