"""Runs the reference on a model folder: logits, loss and every parameter's gradient.

    python run.py --model DIR --input IN.safetensors --dtype float64 --out OUT.safetensors

The input has `symbols`, int64 (B, T), -1 for padding. The output has `logits` (B, T, V), `loss` (mean nats over the
symbols that are not padding) and `grad.NAME` for every parameter NAME, all in the asked dtype.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from megabyte import load


def main() -> None:
    parser = argparse.ArgumentParser(description="logits, loss and gradients of the reference")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    model = load(args.model, getattr(torch, args.dtype))
    symbols = load_file(args.input)["symbols"]
    logits = model(symbols)
    loss = model.loss(symbols, logits)
    loss.backward()

    result = {"logits": logits.detach().contiguous(), "loss": loss.detach()}
    for name, parameter in model.named_parameters():
        # A parameter that the sequence was too short to reach has no gradient: that is zero.
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        result[f"grad.{name}"] = gradient.contiguous()
    save_file(result, args.out)


if __name__ == "__main__":
    main()
