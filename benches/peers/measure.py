"""One measurement in a process of its own: prints one JSON object. `run.py` calls it; see there.

    python measure.py --what train --entry reference --config small.toml --dtype bfloat16 --seconds 10
"""

import argparse
import json
import time

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from entries import BUILDERS, Config, Entry, Loss

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

WARM_UP_STEPS = 3
# How far compiled loss and gradients may be from eager ones, as a share: rounding in another order.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


def synchronize(device: torch.device) -> None:
    """Waits until a CUDA device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def random_batches(config: Config, rows: int, device: torch.device) -> list[torch.Tensor]:
    """Random bytes from 1: MEGABYTE-pytorch and mblm take 0 for padding and leave it out of the loss."""
    return [torch.randint(1, 256, (rows, config.context), device=device) for _ in range(8)]


def train(args: argparse.Namespace, config: Config, rows: int, device: torch.device) -> dict:
    """Forward, backward, clipping to 1 and a fused AdamW step, for `args.seconds`."""
    entry = BUILDERS[args.entry](config, count=False)
    model = entry.model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batches = random_batches(config, rows, device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.dtype == "bfloat16")
    loss_of, compile_seconds = entry.loss, None
    if args.compile:
        loss_of, compile_seconds = compiled(args, entry, batches[0], autocast)

    def step(i: int) -> torch.Tensor:
        with autocast:
            loss = loss_of(batches[i % len(batches)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    for i in range(WARM_UP_STEPS):
        loss = step(i)
    synchronize(device)
    steps, start = 0, time.perf_counter()
    while steps < 3 or time.perf_counter() - start < args.seconds:
        loss = step(steps)
        steps += 1
        if steps % 16 == 0:
            synchronize(device)  # else the clock would run ahead of the device
    synchronize(device)
    seconds = time.perf_counter() - start
    if not torch.isfinite(loss):
        raise SystemExit(f"the loss is {loss.item()}")
    return {
        "bytes_per_second": steps * rows * config.context / seconds,
        "ms_per_step": 1e3 * seconds / steps,
        "steps": steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "flops_per_byte": entry.flops_per_byte,
        "compile_seconds": compile_seconds,
        "memory": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def compiled(args: argparse.Namespace, entry: Entry, symbols: Tensor, autocast: torch.autocast) -> tuple[Loss, float]:
    """Forward and loss by torch.compile for the one shape that there is, checked against the eager ones; and how long
    compiling them and their way back took."""
    loss_of = torch.compile(entry.loss, mode=args.compile, dynamic=False)

    def pass_(function: Loss) -> tuple[Tensor, Tensor]:
        with autocast:
            loss = function(symbols)
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in entry.model.parameters() if p.grad is not None])
        entry.model.zero_grad(set_to_none=True)
        return loss.detach(), norm

    start = time.perf_counter()
    found = pass_(loss_of)
    synchronize(symbols.device)
    seconds = time.perf_counter() - start
    for name, got, wanted in zip(("loss", "norm of the gradients"), found, pass_(entry.loss)):
        if not torch.isclose(got, wanted, rtol=TOLERANCE[args.dtype], atol=0):
            raise SystemExit(f"compiled, the {name} is {got.item()}, and {wanted.item()} without")
    return loss_of, seconds


def count(args: argparse.Namespace, config: Config, rows: int, device: torch.device) -> dict:
    """Counts the matrix operations of one training step, where no formula gives them."""
    entry = BUILDERS[args.entry](config, count=True)
    symbols = random_batches(config, rows, torch.device("cpu"))[0]
    with FlopCounterMode(display=False) as counter:
        entry.loss(symbols).backward()
    return {"flops_per_byte": counter.get_total_flops() / symbols.numel()}


def generate(args: argparse.Namespace, config: Config, rows: int, device: torch.device) -> dict:
    """A whole sequence from nothing, or where `args.tail` is above 0, its last `args.tail` bytes after random ones."""
    entry = BUILDERS[args.entry](config, count=False)
    entry.model.to(device, torch.bfloat16 if args.dtype == "bfloat16" else torch.float32).eval()

    def prompt(length: int) -> torch.Tensor:
        return torch.randint(1, 256, (1, length), device=device)

    with torch.inference_mode():
        if args.entry == "reference":
            entry.generate(prompt(0))  # it generates fast, and its prompt costs as much as what it generates
            kept = 0
        else:
            entry.generate(prompt(config.context - 4))
            kept = config.context - args.tail if args.tail else 0
        synchronize(device)
        start = time.perf_counter()
        out = entry.generate(prompt(kept))
        synchronize(device)
        seconds = time.perf_counter() - start
    if out.numel() != config.context:
        raise SystemExit(f"generated a sequence of {out.numel()} bytes, expected {config.context}")
    generated = config.context - kept
    return {"bytes_per_second": generated / seconds, "bytes": generated, "seconds": seconds, "whole": kept == 0}


def ceiling(args: argparse.Namespace, config: Config, rows: int, device: torch.device) -> dict:
    """The device's matrix rate: the best of many products of square matrices, in FLOP/s, a type."""
    n = 1024 if device.type == "cpu" else 8192
    result = {"n": n, "torch": torch.__version__, "flops_per_byte": config.training_flops_per_byte()}
    if device.type == "cuda":
        result["gpu"] = torch.cuda.get_device_name()
    for dtype in (torch.bfloat16, torch.float32):
        a, b = torch.randn(n, n, device=device).to(dtype), torch.randn(n, n, device=device).to(dtype)
        best, end = float("inf"), time.perf_counter() + args.seconds / 2
        while time.perf_counter() < end:
            synchronize(device)
            start = time.perf_counter()
            torch.mm(a, b)
            synchronize(device)
            best = min(best, time.perf_counter() - start)
        result[str(dtype).removeprefix("torch.")] = 2 * n**3 / best
    return result


def main() -> None:
    whats = {"train": train, "generate": generate, "count": count, "ceiling": ceiling}
    parser = argparse.ArgumentParser(description="one measurement")
    parser.add_argument("--what", choices=whats, required=True)
    parser.add_argument("--entry", choices=BUILDERS, default="reference")
    parser.add_argument("--config", required=True)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="float32")
    parser.add_argument("--compile", metavar="MODE", help="train what torch.compile makes: default, max-autotune, …")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tail", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with open(args.config, "rb") as file:
        keys = tomllib.load(file)
    config = Config.from_keys(keys["model"])
    rows = keys["train"]["bytes_per_step"] // config.context
    print(json.dumps(whats[args.what](args, config, rows, torch.device(args.device))))


if __name__ == "__main__":
    main()
