"""Checks of the reference itself: `python selfcheck.py`. Everything is in float64 on fresh random weights."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from decode import generate
from megabyte import Config, Level, Megabyte

LEVELS = {
    1: [Level(1, 16, 2, 2)],
    2: [Level(4, 32, 2, 4), Level(1, 16, 2, 2)],
    3: [Level(12, 48, 1, 2), Level(3, 24, 2, 2), Level(1, 16, 1, 2)],
}
SWITCHES = [
    {},
    {"norm": "rmsnorm"},
    {"ffn": "relu2"},
    {"ffn": "gelu"},
    {"ffn": "swiglu"},
    {"bias": False},
    {"position": "rotary"},
    {"position": "none"},
    {"qk_norm": True},
    {"qk_norm": True, "position": "rotary", "norm": "rmsnorm", "bias": False, "ffn": "swiglu"},
    {"embedding": "linear", "byte_dim": 6},
    {"projection": "linear"},
    {"tie": False},
    {"vocab": 257},
]


def random_model(levels: int, **switches) -> Megabyte:
    """A model of 24 bytes of context whose every parameter is random, gains and biases too."""
    model = Megabyte(Config(context=24, level=LEVELS[levels], **switches)).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            nn.init.normal_(parameter, mean=1.0 if name.endswith("norm.weight") else 0.0, std=0.2)
    return model


def paper_equations(model: Megabyte, x: Tensor) -> Tensor:
    """Equations 1 to 6 for one sequence x (T,), byte by byte; gives the logits (T, V)."""
    (g, local), d = model.level, model.config.level
    p, t_max = d[0].unit, len(x)
    d_g, patches = d[0].n_embd // p, t_max // p
    # (1)
    h_embed = torch.stack([g.byte_embedding[x[t]] + g.position[t] for t in range(t_max)])
    # (2)
    h_in = [g.pad] + [torch.cat([h_embed[(k - 1) * p + i] for i in range(p)]) for k in range(1, patches)]
    # (3)
    h_out = torch_transformer(g, torch.stack(h_in))
    logits = []
    for k in range(patches):
        # (4)
        rows = []
        for i in range(p):
            past = local.pad if i == 0 else local.byte_embedding[x[k * p + i - 1]] + local.position[i - 1]
            rows.append(local.from_parent @ h_out[k, i * d_g : (i + 1) * d_g] + past)
        # (5)
        out = torch_transformer(local, torch.stack(rows))
        # (6)
        logits += [local.byte_embedding @ out[i] for i in range(p)]
    return torch.stack(logits)


def torch_transformer(level: nn.Module, x: Tensor) -> Tensor:
    """The transformer of a level on x (N, D) by PyTorch's own layers."""
    width, heads = level.level.n_embd, level.level.n_head
    mask = nn.Transformer.generate_square_subsequent_mask(len(x), dtype=x.dtype)
    for block in level.block:
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "relu", 1e-5, norm_first=True).double()
        layer.load_state_dict({
            "self_attn.in_proj_weight": block.attn.qkv.weight,
            "self_attn.in_proj_bias": block.attn.qkv.bias,
            "self_attn.out_proj.weight": block.attn.out.weight,
            "self_attn.out_proj.bias": block.attn.out.bias,
            "linear1.weight": block.ffn.up.weight,
            "linear1.bias": block.ffn.up.bias,
            "linear2.weight": block.ffn.down.weight,
            "linear2.bias": block.ffn.down.bias,
            "norm1.weight": block.attn_norm.weight,
            "norm1.bias": block.attn_norm.bias,
            "norm2.weight": block.ffn_norm.weight,
            "norm2.bias": block.ffn_norm.bias,
        })
        x = layer(x.unsqueeze(1), src_mask=mask).squeeze(1)
    return nn.functional.layer_norm(x, (width,), level.norm.weight, level.norm.bias)


def close(name: str, a: Tensor, b: Tensor, limit: float = 1e-11) -> None:
    gap = ((a - b).abs().max() / b.abs().max()).item()
    assert gap < limit, f"{name}: relative difference {gap:.1e}, allowed {limit:.0e}"


@torch.no_grad()
def check_equations() -> None:
    model = random_model(2)
    x = torch.randint(0, 256, (24,))
    close("equations 1 to 6", model(x.unsqueeze(0))[0], paper_equations(model, x))


@torch.no_grad()
def check_causality() -> None:
    """Byte t changes no logit at or before t, and every logit after t."""
    for levels in LEVELS:
        for switches in SWITCHES:
            model = random_model(levels, **switches)
            x = torch.randint(0, 256, (1, 24))
            base = model(x)[0]
            for t in range(24):
                other = x.clone()
                other[0, t] = (x[0, t] + 1) % 256
                moved = (model(other)[0] - base).abs().amax(-1)
                name = f"L = {levels}, {switches}, byte {t}"
                assert moved[: t + 1].max() == 0, f"{name} changes logits at or before it: {moved}"
                assert (moved[t + 1 :] > 0).all(), f"{name} is not seen by all later logits: {moved}"


def check_paths() -> None:
    """Logits, loss and gradients of the fused path equal the written-out ones."""
    for levels in LEVELS:
        for switches in SWITCHES:
            name = f"fused, L = {levels}, {switches}"
            model = random_model(levels, **switches)
            x = torch.randint(0, 256, (3, 22))
            x[1, 15:] = -1
            results = []
            for fused in (False, True):
                model.fused = fused
                model.zero_grad()
                logits = model(x)
                loss = nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), ignore_index=-1)
                (loss if fused else model.loss(x, logits)).backward()
                results.append((logits.detach(), loss.detach(), [p.grad.clone() for p in model.parameters()]))
            (logits, loss, grads), (other_logits, other_loss, other_grads) = results
            close(name, other_logits, logits)
            close(name, other_loss, loss)
            for a, b in zip(other_grads, grads):
                close(name, a, b, 1e-10)


@torch.no_grad()
def check_cache() -> None:
    """Cached logits equal the full pass."""
    for levels in LEVELS:
        for switches in SWITCHES:
            model = random_model(levels, **switches)
            prompt = torch.randint(0, 256, (2, 5))
            symbols, logits = generate(model, prompt, 24)
            assert (symbols[:, :5] == prompt).all()
            # generate() hands out float32 logits
            close(f"cached, L = {levels}, {switches}", logits.double(), model(symbols), 1e-6)


def check_run() -> None:
    """run.py on a model folder gives this model's logits, its loss and a gradient that finite differences confirm."""
    model = random_model(3, tie=False)
    x = torch.randint(0, 256, (2, 24))
    x[0, 20:] = -1
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        keys = asdict(model.config)
        (folder / "config.json").write_text(json.dumps({"format": 1, "modality": "text", "layout": {}, "model": keys}))
        save_file({n: p.detach() for n, p in model.named_parameters()}, folder / "model.safetensors")
        save_file({"symbols": x}, folder / "in.safetensors")
        here = Path(__file__).parent
        files = ["--model", folder, "--input", folder / "in.safetensors", "--out", folder / "out.safetensors"]
        subprocess.run([sys.executable, here / "run.py", *files], check=True)
        result = load_file(folder / "out.safetensors")
    names = {"logits", "loss"} | {f"grad.{n}" for n, _ in model.named_parameters()}
    assert set(result) == names, set(result) ^ names
    close("run.py logits", result["logits"], model(x).detach())
    step = 1e-5
    for name, parameter in model.named_parameters():
        gradient = result[f"grad.{name}"]
        place = gradient.abs().flatten().argmax()
        with torch.no_grad():
            flat = parameter.view(-1)
            flat[place] += step
            above = model.loss(x)
            flat[place] -= 2 * step
            below = model.loss(x)
            flat[place] += step
        close(f"run.py grad.{name}", (above - below) / (2 * step), gradient.flatten()[place], 1e-6)


def main() -> None:
    torch.manual_seed(torch.seed() % 2**31)
    print("seed", torch.initial_seed())
    for check in (check_equations, check_causality, check_paths, check_cache, check_run):
        check()
        print("ok", check.__name__)


if __name__ == "__main__":
    main()
