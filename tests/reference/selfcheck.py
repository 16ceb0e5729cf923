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
from torch.utils.flop_counter import FlopCounterMode

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
# What the byte-by-byte cache does not know: each as the keys of a model beside its context of 24 bytes.
TWO, THREE = LEVELS[2], LEVELS[3]
EXTENSIONS = [
    {"level": TWO, "cross_patch": 1},
    {"level": TWO, "cross_patch": 9, "position": "rotary", "qk_norm": True},
    {"level": THREE, "cross_patch": 2},
    {"level": THREE, "cross_patch": 3, "position": "none", "qk_norm": True},
    {"level": TWO, "conv_encoder": True},
    {"level": THREE, "conv_encoder": True, "bias": False, "position": "none"},
    {"level": THREE, "conv_encoder": True, "embedding": "linear", "byte_dim": 6, "cross_patch": 2, "projection": "linear"},
    {"level": [Level(1, 16, 2, 2, window=4)]},
    {"level": [Level(4, 32, 2, 4, window=2), TWO[1]], "position": "rotary"},
    {"level": [Level(1, 16, 2, 2)], "latents": 6},
    {"level": [Level(1, 16, 2, 2)], "latents": 10, "position": "rotary", "qk_norm": True, "ffn": "swiglu"},
    {"level": [Level(4, 32, 0, 4), TWO[1]]},
    {"level": [Level(12, 48, 0, 2), *THREE[1:]], "conv_encoder": True, "cross_patch": 2},
    {"level": [TWO[0], Level(1, 16, 0, 2)]},
    {"level": [*THREE[:2], Level(1, 16, 0, 2)], "projection": "linear", "cross_patch": 2, "tie": False},
    {"level": [Level(12, 48, 0, 2), THREE[1], Level(1, 16, 0, 2)]},
]


def random_model(levels: int, **switches) -> Megabyte:
    return random_weights(level=LEVELS[levels], **switches)


def random_weights(**keys) -> Megabyte:
    """A model of 24 bytes of context whose every parameter is random, gains and biases too."""
    model = Megabyte(Config(context=24, **keys)).double()
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


def plain_norm(norm: nn.Module, x: Tensor) -> Tensor:
    width = x.shape[-1:]
    if norm.kind == "layernorm":
        return nn.functional.layer_norm(x, width, norm.weight, norm.bias, norm.eps)
    return nn.functional.rms_norm(x, width, norm.weight, norm.eps)


def masked_block(block: nn.Module, x: Tensor, mask: Tensor, rotary: bool) -> Tensor:
    """A block on x (N, D) where i sees j if mask[i, j]; the rotary position of i is i itself, turned as a complex number."""
    n, d = x.shape
    attn = block.attn
    e = d // attn.n_head
    q, k, v = attn.qkv(plain_norm(block.attn_norm, x)).chunk(3, dim=-1)
    angles = torch.tensor([[i * 10_000.0 ** (-2 * c / e) for c in range(e // 2)] for i in range(n)], dtype=x.dtype)
    turns = torch.polar(torch.ones_like(angles), angles)
    heads = []
    for h in range(attn.n_head):
        rows = []
        for y, norm in ((q, attn.q_norm), (k, attn.k_norm)):
            y = y[:, h * e : (h + 1) * e]
            y = y if norm is None else plain_norm(norm, y)
            if rotary:
                turned = torch.complex(y[:, : e // 2], y[:, e // 2 :]) * turns
                y = torch.cat((turned.real, turned.imag), dim=1)
            rows.append(y)
        scores = (rows[0] @ rows[1].T / e**0.5).masked_fill(~mask, -torch.inf)
        heads.append(scores.softmax(-1) @ v[:, h * e : (h + 1) * e])
    x = x + attn.out(torch.cat(heads, dim=1))
    return x + block.ffn(plain_norm(block.ffn_norm, x), True)


def mask_of(n: int, sees) -> Tensor:
    return torch.tensor([[bool(sees(i, j)) for j in range(n)] for i in range(n)])


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
    cases = [{"level": LEVELS[levels], **switches} for levels in LEVELS for switches in SWITCHES]
    for keys in cases + EXTENSIONS:
        name = f"fused, {keys}"
        model = random_weights(**keys)
        x = torch.randint(0, 256, (3, 22))
        x[1, 19:] = -1
        results = []
        for fused in (False, True):
            model.fused = fused
            model.zero_grad()
            logits = model(x)
            predicted = x[:, -logits.shape[1] :]
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), predicted.flatten(), ignore_index=-1)
            (loss if fused else model.loss(x, logits)).backward()
            results.append((logits.detach(), loss.detach(), [p.grad.clone() for p in model.parameters()]))
        (logits, loss, grads), (other_logits, other_loss, other_grads) = results
        close(name, other_logits, logits)
        close(name, other_loss, loss)
        for a, b in zip(other_grads, grads):
            close(name, a, b, 1e-10)


def reach(keys: dict) -> Tensor:
    """bool (T, T): whether logit t is moved by byte s; the sets of bytes are followed through the levels' definitions."""
    levels, t, from_above = keys["level"], 24, None
    for l, level in enumerate(levels):
        if l == 0 and level.n_layer == 0:
            continue
        unit, span = level.unit, t if l == 0 else levels[l - 1].unit
        n = span // unit
        seen = []
        for i in range(t // unit):
            first = (i - 1) * unit
            if keys.get("conv_encoder") and unit > 1:
                first = max(i // n * span, first - 2 - 4 - 6)
            seen.append(set(range(first, i * unit)) if level.n_layer > 0 and i % n > 0 else set())
            if from_above is not None:
                seen[i] |= from_above[i // n]
        r = min(keys.get("cross_patch", 0), n) if l > 0 else 0
        for _ in range(level.n_layer):
            after = []
            for i in range(len(seen)):
                parent = i // n
                units = set(range(parent * n, i + 1))
                if parent > 0:
                    units |= set(range(parent * n - r, parent * n))
                if level.window:
                    units = {j for j in units if j > i - level.window}
                after.append(set().union(*(seen[j] for j in units)))
            seen = after
        from_above = seen
    return mask_of(t, lambda i, j: j in from_above[i])


@torch.no_grad()
def check_extensions_causality() -> None:
    """Byte s moves the logits that it should, and no other."""
    for keys in EXTENSIONS:
        model = random_weights(**keys)
        x = torch.randint(0, 256, (1, 24))
        base = model(x)[0]
        expected = reach(keys)[-len(base) :]
        for s in range(24):
            other = x.clone()
            other[0, s] = (x[0, s] + 1) % 256
            moved = (model(other)[0] - base).abs().amax(-1)
            wrong = (moved > 0) != expected[:, s]
            assert not wrong.any(), f"{keys}, byte {s}: logits {wrong.nonzero().flatten().tolist()} of {moved}"


@torch.no_grad()
def check_cross_patch() -> None:
    """A level with cross_patch is one attention over the whole sequence, with a mask, positions counted through."""
    for levels, l in ((2, 1), (3, 1), (3, 2)):
        for r in (1, 2, 3, 100):
            for switches in ({}, {"qk_norm": True, "position": "rotary"}):
                model = random_model(levels, cross_patch=r, **switches)
                level, n = model.level[l], model.config.children(l)
                rows = 24 // model.config.span(l)
                def sees(i: int, j: int) -> bool:
                    return j <= i and (i // n == j // n or i // n == j // n + 1 and j % n >= n - r)
                mask = mask_of(rows * n, sees)
                x = torch.randn(2 * rows, n, level.level.n_embd, dtype=torch.float64)
                expected = []
                for y in x.view(2, rows * n, -1):
                    for block in level.block:
                        y = masked_block(block, y, mask, rotary=True)
                    expected.append(plain_norm(level.norm, y))
                for fused in (False, True):
                    name = f"cross_patch = {r}, level {l} of {levels}, {switches}, fused = {fused}"
                    close(name, level.transformer(x, rows, fused).reshape(2, rows * n, -1), torch.stack(expected))


@torch.no_grad()
def check_conv() -> None:
    """The convolutions by loops over bytes, channels and taps."""
    for levels, l in ((2, 0), (3, 0), (3, 1)):
        model = random_model(levels, conv_encoder=True)
        level = model.level[l]
        symbols = torch.randint(0, 256, (2, model.config.span(l)))
        for row in symbols:
            x = [(level.byte_embedding[s] + level.position[t]).tolist() for t, s in enumerate(row)]
            width = len(x[0])
            for i, taps in enumerate((3, 5, 7)):
                weight, bias = level.conv[i].weight.tolist(), level.conv[i].bias.tolist()
                y = []
                for t in range(len(x)):
                    sums = list(bias)
                    for o in range(width):
                        for j in range(taps):
                            at = t - (taps - 1) + j
                            if at >= 0:
                                sums[o] += sum(weight[o][c][j] * x[at][c] for c in range(width))
                    y.append([x[t][o] + max(0.0, sums[o]) for o in range(width)])
                x = y
            expected = torch.tensor(x, dtype=torch.float64).view(-1, level.level.n_embd)
            for fused in (False, True):
                units = level.units(row.unsqueeze(0), fused=fused)[0]
                close(f"conv, level {l} of {levels}, fused = {fused}", units, expected)


@torch.no_grad()
def check_window() -> None:
    """A window is a mask; one as wide as the context changes nothing."""
    for window in (1, 3, 24, 50):
        for position in ("learned", "rotary"):
            model = random_weights(level=[Level(1, 16, 2, 2, window=window)], position=position)
            level = model.level[0]
            x = torch.randn(24, 16, dtype=torch.float64)
            expected = x
            mask = mask_of(24, lambda i, j: max(0, i - window + 1) <= j <= i)
            for block in level.block:
                expected = masked_block(block, expected, mask, position == "rotary")
            for fused in (False, True):
                name = f"window = {window}, {position}, fused = {fused}"
                close(name, level.transformer(x.unsqueeze(0), 1, fused)[0], plain_norm(level.norm, expected))


@torch.no_grad()
def check_latents() -> None:
    """With N >= T the model is flat with one block more; else the first block cut to its last N outputs, and then the rest."""
    for switches in SWITCHES:
        model = random_weights(level=[Level(1, 16, 2, 2)], latents=24, **switches)
        flat = random_weights(level=[Level(1, 16, 3, 2)], **switches)
        weights = {}
        for name, weight in model.state_dict().items():
            for old, new in (("block.1.", "block.2."), ("block.0.", "block.1."), ("cross.", "block.0.")):
                if old in name:
                    name = name.replace(old, new)
                    break
            weights[name] = weight
        flat.load_state_dict(weights)
        for length in (1, 17, 24):
            x = torch.randint(0, 256, (2, length))
            close(f"latents, {switches}, T = {length}", model(x), flat(x))
        model.config.latents = n = 10
        if switches.get("ffn", "relu") != "relu":
            continue
        level, rotary = model.level[0], switches.get("position") == "rotary"
        x = torch.randint(0, 256, (24,))
        y = torch.cat((level.pad.unsqueeze(0), level.units(x[:-1].unsqueeze(0))[0]))
        y = masked_block(level.cross, y, mask_of(24, lambda i, j: j <= i), rotary)
        # Places before the latents are dropped by the mask, and those of the latents stay what they were.
        for block in level.block:
            y = masked_block(block, y, mask_of(24, lambda i, j: j <= i and (i < 24 - n or j >= 24 - n)), rotary)
        expected = plain_norm(level.norm, y[24 - n :]) @ model.output_matrix().T
        close(f"latents = {n}, {switches}", model(x.unsqueeze(0))[0], expected)


@torch.no_grad()
def check_flops() -> None:
    """training_flops_per_byte is thrice what PyTorch counts in a forward pass, less what that pass does not need or skips."""
    for keys in [{"level": level} for level in LEVELS.values()] + EXTENSIONS:
        model = random_weights(**keys)
        config = model.config
        with FlopCounterMode(display=False) as counter:
            model(torch.randint(0, 256, (1, 24)))
        counted, predicted = counter.get_total_flops(), config.latents or 24
        for l, level in enumerate(config.level):
            rows, d = 24 // config.span(l), level.n_embd
            # The codes of a parent's last unit are not made.
            if config.has_conv(l):
                counted += 2 * rows * level.unit * 15 * config.code_dim(l) ** 2
            if level.n_layer > 0 and level.unit > 1 and config.embedding == "linear":
                counted += 2 * rows * level.unit * config.byte_dim * d
            # Scores outside of a window are made and masked.
            if level.window:
                n = config.children(l)
                counted -= 4 * level.n_layer * n * (n - min(level.window, n)) * d
        if config.latents:
            # Queries are made for all, and used for the latents.
            counted -= 2 * (24 - config.latents) * config.level[0].n_embd ** 2
        ratio = config.training_flops_per_byte() * predicted / (3 * counted)
        assert abs(ratio - 1) < 1e-12, f"FLOPs of {keys}: {ratio} of what is counted"


def check_refusals() -> None:
    """What does not exist is refused, and generation refuses what it cannot do."""
    for level in ([Level(1, 16, 0, 2)], [THREE[0], Level(3, 24, 0, 2), THREE[2]], [TWO[0], Level(1, 16, 2, 2, window=2)]):
        refused(lambda: Config(context=24, level=level), str(level))
    refused(lambda: Config(context=24, level=TWO, latents=4), "latents with two levels")
    for keys in EXTENSIONS:
        refused(lambda: generate(random_weights(**keys), torch.zeros(1, 1, dtype=torch.int64), 24), str(keys))


def refused(action, name: str) -> None:
    try:
        action()
    except ValueError:
        return
    raise AssertionError(f"{name} is not refused")


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
    """run.py on model folders gives each model's logits, loss and gradients that finite differences confirm."""
    # Not relu: a step across its corner would be no derivative.
    smooth = [{"level": THREE, "tie": False, "ffn": "gelu"}]
    smooth += [{**keys, "ffn": "gelu"} for keys in EXTENSIONS if not keys.get("conv_encoder")]
    models = [random_weights(**keys) for keys in smooth]
    x = torch.randint(0, 256, (2, 24))
    x[0, 20:] = -1
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root) / f"{i:02}" for i in range(len(models))]
        for model, folder in zip(models, folders):
            folder.mkdir()
            description = {"format": 1, "modality": "text", "layout": {}, "model": asdict(model.config)}
            (folder / "config.json").write_text(json.dumps(description))
            save_file({n: p.detach() for n, p in model.named_parameters()}, folder / "model.safetensors")
            save_file({"symbols": x}, folder / "input.safetensors")
        here = Path(__file__).parent
        subprocess.run([sys.executable, here / "run.py", "--cases", root], check=True)
        results = [load_file(folder / "out.safetensors") for folder in folders]
        files = ["--model", folders[0], "--input", folders[0] / "input.safetensors", "--out", Path(root) / "one"]
        subprocess.run([sys.executable, here / "run.py", *files], check=True)
        one = load_file(Path(root) / "one")
    for name, value in results[0].items():
        close(f"run.py --model, {name}", one[name], value)
    for keys, model, result in zip(smooth, models, results):
        check_result(f"run.py, {keys}", model, x, result)


@torch.no_grad()
def check_result(case: str, model: Megabyte, x: Tensor, result: dict[str, Tensor]) -> None:
    names = {"logits", "loss"} | {f"grad.{n}" for n, _ in model.named_parameters()}
    assert set(result) == names, set(result) ^ names
    close(f"{case}, logits", result["logits"], model(x))
    close(f"{case}, loss", result["loss"], model.loss(x))
    step = 1e-5
    for name, parameter in model.named_parameters():
        gradient = result[f"grad.{name}"]
        place = gradient.abs().flatten().argmax()
        flat = parameter.view(-1)
        flat[place] += step
        above = model.loss(x)
        flat[place] -= 2 * step
        below = model.loss(x)
        flat[place] += step
        close(f"{case}, grad.{name}", (above - below) / (2 * step), gradient.flatten()[place], 1e-6)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(torch.seed() % 2**31)
    print("seed", torch.initial_seed())
    checks = [check_equations, check_causality, check_paths, check_cache, check_extensions_causality, check_cross_patch]
    checks += [check_conv, check_window, check_latents, check_flops, check_refusals, check_run]
    for check in checks:
        check()
        print("ok", check.__name__)


if __name__ == "__main__":
    main()
