"""MEGABYTE in plain PyTorch, the reference that the Rust code is compared with.

Written from the equations of the paper (Yu et al. 2023, section 2) and the project's tensor names alone; it shares no
code with `src/model`. There are two ways through the same weights:

* `fused=False` writes out every sum: softmax with its mask, norms, activations and loss. It is the one to prove against.
* `fused=True` uses PyTorch's fused operators, as a good PyTorch user would. It is the one to measure against.

There is no dropout here: proofs need none, and measurements are made without.

Dimensions: B sequences, T bytes, V symbols; at a level of unit u: N units in a parent, R parents in the batch
(R = B at the coarsest level), C width of a byte's code, D width, H heads, E = D / H.
"""

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


@dataclass
class Level:
    """One `[[model.level]]`."""

    unit: int
    n_embd: int
    n_layer: int
    n_head: int


@dataclass
class Config:
    """The keys of `[model]`; the defaults are the paper's."""

    context: int
    level: list[Level]
    vocab: int = 256
    norm: str = "layernorm"
    norm_eps: float = 1e-5
    ffn: str = "relu"
    ffn_mult: float = 4.0
    bias: bool = True
    position: str = "learned"
    rotary_base: float = 10_000.0
    embedding: str = "concat"
    byte_dim: int = 64
    projection: str = "slice"
    tie: bool = True
    dropout: float = 0.1
    qk_norm: bool = False
    cross_patch: int = 0
    conv_encoder: bool = False
    init_std: float = 0.006

    @classmethod
    def from_keys(cls, keys: dict) -> "Config":
        """From the keys as they stand in `config.json` or TOML; an unknown key is an error."""
        unknown = set(keys) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"model.{sorted(unknown)[0]} is not known to the reference")
        config = cls(**{**keys, "level": [Level(**level) for level in keys["level"]]})
        if config.cross_patch or config.conv_encoder:
            raise ValueError("the reference has neither cross_patch nor conv_encoder")
        return config

    def span(self, l: int) -> int:
        """Bytes of a parent of level `l`; at level 0 the context."""
        return self.context if l == 0 else self.level[l - 1].unit

    def children(self, l: int) -> int:
        """Units of level `l` in one parent; at level 0 in the context."""
        return self.span(l) // self.level[l].unit

    def code_dim(self, l: int) -> int:
        """Width of one byte's code at level `l`."""
        if self.embedding == "linear" and self.level[l].unit > 1:
            return self.byte_dim
        return self.level[l].n_embd // self.level[l].unit

    def ffn_dim(self, l: int) -> int:
        """Width of the feed-forward layer; two thirds, in steps of 8, where there are three matrices."""
        width = self.ffn_mult * self.level[l].n_embd
        if self.ffn == "swiglu":
            return max(8, 8 * math.floor(width * 2 / 3 / 8 + 0.5))
        return math.floor(width + 0.5)

    def training_flops_per_byte(self) -> float:
        """Forward and twice that backward: two a matrix weight and unit, 4 N D a unit and block for attention."""
        total = 0.0
        for l, level in enumerate(self.level):
            d = level.n_embd
            weights = level.n_layer * (4 * d * d + (3 if self.ffn == "swiglu" else 2) * d * self.ffn_dim(l))
            if l > 0:
                above = self.level[l - 1].n_embd
                weights += d * (above // self.children(l) if self.projection == "slice" else above)
            if self.embedding == "linear" and level.unit > 1:
                weights += level.unit * self.byte_dim * d
            if l == len(self.level) - 1:
                weights += self.vocab * d
            total += (2 * weights + 4 * level.n_layer * self.children(l) * d) / level.unit
        return 3 * total


class Norm(nn.Module):
    """LayerNorm or RMSNorm over the last dimension."""

    def __init__(self, width: int, kind: str, eps: float, bias: bool):
        super().__init__()
        self.kind, self.eps = kind, eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias and kind == "layernorm" else None

    def forward(self, x: Tensor, fused: bool) -> Tensor:
        if fused and self.kind == "layernorm":
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        if fused:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        if self.kind == "layernorm":
            x = x - x.mean(-1, keepdim=True)
        x = x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.weight
        return x if self.bias is None else x + self.bias


def rotation(n: int, width: int, base: float, like: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (N, E) for positions `start` to `start + n`; the two halves of E turn by the same angles."""
    j = torch.arange(start, start + n, dtype=torch.float64, device=like.device)
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float64, device=like.device) / width)
    angles = torch.outer(j, frequency).repeat(1, 2)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021) with the pairs (i, i + E/2)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, config: Config, level: Level):
        super().__init__()
        d, e = level.n_embd, level.n_embd // level.n_head
        self.n_head = level.n_head
        self.qkv = nn.Linear(d, 3 * d, bias=config.bias)
        self.out = nn.Linear(d, d, bias=config.bias)
        self.q_norm = Norm(e, "rmsnorm", config.norm_eps, False) if config.qk_norm else None
        self.k_norm = Norm(e, "rmsnorm", config.norm_eps, False) if config.qk_norm else None

    def heads(self, x: Tensor, turn: tuple[Tensor, Tensor] | None, fused: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (R, H, N, E) of x (R, N, D)."""
        r, n, d = x.shape
        q, k, v = self.qkv(x).view(r, n, 3, self.n_head, d // self.n_head).permute(2, 0, 3, 1, 4)
        if self.q_norm is not None:
            q, k = self.q_norm(q, fused), self.k_norm(k, fused)
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        return q, k, v

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None, fused: bool) -> Tensor:
        q, k, v = self.heads(x, turn, fused)
        if fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
            weights = (scores - scores.amax(-1, keepdim=True)).exp()
            y = weights / weights.sum(-1, keepdim=True) @ v
        return self.out(y.transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    """down(act(up(x))), or down(silu(gate(x)) * up(x))."""

    def __init__(self, config: Config, d: int, hidden: int):
        super().__init__()
        self.kind = config.ffn
        self.up = nn.Linear(d, hidden, bias=config.bias)
        self.gate = nn.Linear(d, hidden, bias=config.bias) if config.ffn == "swiglu" else None
        self.down = nn.Linear(hidden, d, bias=config.bias)

    def forward(self, x: Tensor, fused: bool) -> Tensor:
        h = self.up(x)
        if self.kind == "swiglu":
            g = self.gate(x)
            h = (F.silu(g) if fused else g / (1 + torch.exp(-g))) * h
        elif self.kind == "gelu":
            h = F.gelu(h) if fused else h * (1 + torch.erf(h / math.sqrt(2))) / 2
        elif self.kind == "relu2":
            h = F.relu(h).square()
        elif self.kind == "relu":
            h = F.relu(h)
        else:
            raise ValueError(f"model.ffn = {self.kind!r} is not known to the reference")
        return self.down(h)


class Block(nn.Module):
    """Pre-norm attention and feed-forward layer."""

    def __init__(self, config: Config, l: int):
        super().__init__()
        level = config.level[l]
        norm = (level.n_embd, config.norm, config.norm_eps, config.bias)
        self.attn_norm = Norm(*norm)
        self.attn = Attention(config, level)
        self.ffn_norm = Norm(*norm)
        self.ffn = FeedForward(config, level.n_embd, config.ffn_dim(l))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None, fused: bool) -> Tensor:
        x = x + self.attn(self.attn_norm(x, fused), turn, fused)
        return x + self.ffn(self.ffn_norm(x, fused), fused)


class LevelModule(nn.Module):
    """One level: byte codes, the vectors of units, the way from the parent, and a transformer."""

    def __init__(self, config: Config, l: int):
        super().__init__()
        level, code = config.level[l], config.code_dim(l)
        self.config, self.l, self.level = config, l, level
        self.byte_embedding = nn.Parameter(torch.empty(config.vocab, code))
        if config.position == "learned":
            self.position = nn.Parameter(torch.empty(config.span(l), code))
        if config.embedding == "linear" and level.unit > 1:
            self.embed = nn.Parameter(torch.empty(level.n_embd, level.unit * code))
        self.pad = nn.Parameter(torch.empty(level.n_embd))
        if l > 0:
            above, children = config.level[l - 1].n_embd, config.children(l)
            slice_shape = (level.n_embd, above // children)
            linear_shape = (children * level.n_embd, above)
            self.from_parent = nn.Parameter(torch.empty(slice_shape if config.projection == "slice" else linear_shape))
        self.block = nn.ModuleList(Block(config, l) for _ in range(level.n_layer))
        self.norm = Norm(level.n_embd, config.norm, config.norm_eps, config.bias)

    def units(self, symbols: Tensor, start: int = 0) -> Tensor:
        """Vectors (R, N, D) of the units of symbols (R, N u), the first of which stands at byte `start` of its parent."""
        codes = F.embedding(symbols, self.byte_embedding)
        if self.config.position == "learned":
            codes = codes + self.position[start : start + symbols.shape[1]]
        joined = codes.reshape(symbols.shape[0], -1, self.level.unit * codes.shape[-1])
        return F.linear(joined, self.embed) if hasattr(self, "embed") else joined

    def from_above(self, parent: Tensor) -> Tensor:
        """What the children (R, N, D) of the parents (R, D of the level above) get from them."""
        if self.config.projection == "slice":
            return F.linear(parent.view(parent.shape[0], self.config.children(self.l), -1), self.from_parent)
        return F.linear(parent, self.from_parent).view(parent.shape[0], -1, self.level.n_embd)

    def turn(self, n: int, start: int = 0) -> tuple[Tensor, Tensor] | None:
        """The rotation of positions `start` to `start + n`, where positions are rotary."""
        if self.config.position != "rotary":
            return None
        width = self.level.n_embd // self.level.n_head
        return rotation(n, width, self.config.rotary_base, self.pad, start)

    def transformer(self, x: Tensor, fused: bool) -> Tensor:
        """Blocks and the final norm, on (R, N, D)."""
        turn = self.turn(x.shape[1])
        for block in self.block:
            x = block(x, turn, fused)
        return self.norm(x, fused)

    def forward(self, symbols: Tensor, parent: Tensor | None, fused: bool) -> Tensor:
        """Outputs (R, N, D) for symbols (R, N u), one parent a row."""
        pad = self.pad.expand(symbols.shape[0], 1, -1)
        # The last unit is nobody's past: it needs no vector.
        before = symbols[:, : symbols.shape[1] - self.level.unit]
        x = torch.cat((pad, self.units(before)), dim=1)
        if parent is not None:
            x = x + self.from_above(parent)
        return self.transformer(x, fused)


class Output(nn.Module):
    """The output matrix where it is not tied."""

    def __init__(self, vocab: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab, width))


class Megabyte(nn.Module):
    """A hierarchy of causal transformers over bytes."""

    def __init__(self, config: Config, fused: bool = False):
        super().__init__()
        self.config, self.fused = config, fused
        self.level = nn.ModuleList(LevelModule(config, l) for l in range(len(config.level)))
        if not config.tie:
            self.output = Output(config.vocab, config.level[-1].n_embd)
        self.reset(config.init_std)

    @torch.no_grad()
    def reset(self, std: float) -> None:
        """Normal weights cut at two standard deviations; biases 0, gains 1."""
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1)
            elif name.endswith(".bias"):
                parameter.zero_()
            else:
                nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)

    def output_matrix(self) -> Tensor:
        """E of the output softmax (V, D of the finest level)."""
        return self.level[-1].byte_embedding if self.config.tie else self.output.weight

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits (B, T, V) for int64 symbols (B, T); -1 is padding and read as symbol 0."""
        b, t = symbols.shape
        patch = self.config.level[0].unit
        x = F.pad(symbols, (0, -t % patch)).clamp(min=0)
        parent = None
        for l, level in enumerate(self.level):
            rows = x if l == 0 else x.view(-1, self.config.span(l))
            parent = level(rows, parent, self.fused).view(-1, level.level.n_embd)
        return F.linear(parent.view(b, x.shape[1], -1)[:, :t], self.output_matrix())

    def loss(self, symbols: Tensor, logits: Tensor | None = None) -> Tensor:
        """Mean nats over the symbols that are not padding."""
        logits = self(symbols) if logits is None else logits
        if self.fused:
            return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), symbols.view(-1), ignore_index=-1)
        top = logits.amax(-1, keepdim=True)
        normalizer = (logits - top).exp().sum(-1).log() + top.squeeze(-1)
        nats = normalizer - logits.gather(-1, symbols.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return nats[symbols >= 0].mean()


def load(folder: Path, dtype: torch.dtype, fused: bool = False) -> Megabyte:
    """The model of a folder with `config.json` and `model.safetensors`; a missing or unexpected tensor is an error."""
    description = json.loads((folder / "config.json").read_text())
    if description.get("format") != 1:
        raise ValueError(f"{folder / 'config.json'}: format {description.get('format')!r}, expected 1")
    # The type first: the weights may be float64, and must not pass through float32.
    model = Megabyte(Config.from_keys(description["model"]), fused).to(dtype)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model
