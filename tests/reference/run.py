"""Runs the reference on a model folder: logits, loss and every parameter's gradient.

    python run.py --model DIR --input IN.safetensors --dtype float64 --out OUT.safetensors
    python run.py --cases DIR --dtype float64

The input has `symbols`, int64 (B, T), -1 for padding. The output has `logits` (B, T, V), `loss` (mean nats over the
predicted symbols that are not padding) and `grad.NAME` for every parameter NAME, all in the asked dtype. A model with
latents predicts the last n of the T symbols alone: its logits are (B, n, V). With `--cases`, every folder in DIR is a
model folder that holds its `input.safetensors` and gets an `out.safetensors`.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from megabyte import load


def run(folder: Path, symbols: Path, dtype: torch.dtype, out: Path) -> None:
    model = load(folder, dtype)
    symbols = load_file(symbols)["symbols"]
    logits = model(symbols)
    loss = model.loss(symbols, logits)
    loss.backward()

    result = {"logits": logits.detach().contiguous(), "loss": loss.detach()}
    for name, parameter in model.named_parameters():
        # A parameter that the sequence was too short to reach has no gradient: that is zero.
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        result[f"grad.{name}"] = gradient.contiguous()
    save_file(result, out)


def main() -> None:
    parser = argparse.ArgumentParser(description="logits, loss and gradients of the reference")
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    dtype = getattr(torch, args.dtype)
    if args.cases:
        for folder in sorted(args.cases.iterdir()):
            run(folder, folder / "input.safetensors", dtype, folder / "out.safetensors")
    elif args.model and args.input and args.out:
        run(args.model, args.input, dtype, args.out)
    else:
        parser.error("either --cases, or --model, --input and --out")


if __name__ == "__main__":
    main()
