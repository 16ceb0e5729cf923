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
    window: int = 0


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
    latents: int = 0
    init_std: float = 0.006

    def __post_init__(self):
        last = len(self.level) - 1
        if any(level.n_layer == 0 for level in self.level[1:last]) or all(level.n_layer == 0 for level in self.level):
            raise ValueError("model.level.n_layer = 0 is for the first or the last level of several")
        if any(level.window for level in self.level[1:]):
            raise ValueError("model.level.window is for level 0")
        if self.latents and (last > 0 or self.level[0].unit != 1 or self.level[0].window):
            raise ValueError("model.latents is for one level of unit 1 without a window")

    @classmethod
    def from_keys(cls, keys: dict) -> "Config":
        """From the keys as they stand in `config.json` or TOML; an unknown key is an error."""
        unknown = set(keys) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"model.{sorted(unknown)[0]} is not known to the reference")
        return cls(**{**keys, "level": [Level(**level) for level in keys["level"]]})

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

    def has_parent(self, l: int) -> bool:
        """Whether level `l` hears from the level above; a first level without blocks says nothing."""
        return l > 0 and (l > 1 or self.level[0].n_layer > 0)

    def has_conv(self, l: int) -> bool:
        """Whether convolutions pass over the byte codes of level `l`."""
        return self.conv_encoder and self.level[l].unit > 1 and self.level[l].n_layer > 0

    def earlier(self, l: int) -> int:
        """How many units of the parent before are seen at level `l`."""
        return min(self.cross_patch, self.children(l)) if l > 0 else 0

    def ffn_dim(self, l: int) -> int:
        """Width of the feed-forward layer; two thirds, in steps of 8, where there are three matrices."""
        width = self.ffn_mult * self.level[l].n_embd
        if self.ffn == "swiglu":
            return max(8, 8 * math.floor(width * 2 / 3 / 8 + 0.5))
        return math.floor(width + 0.5)

    def training_flops_per_byte(self) -> float:
        """Forward and twice that backward: two a matrix weight and unit, 4 D a key, unit and block for attention."""
        if self.latents:
            return 3 * self.latent_flops_per_byte()
        total, last = 0.0, len(self.level) - 1
        for l, level in enumerate(self.level):
            if l == 0 and level.n_layer == 0:
                continue
            d = level.n_embd
            weights = level.n_layer * (4 * d * d + self.ffn_weights(l))
            if self.has_parent(l):
                above = self.level[l - 1].n_embd
                weights += d * (above // self.children(l) if self.projection == "slice" else above)
            if self.embedding == "linear" and level.unit > 1 and level.n_layer > 0:
                weights += level.unit * self.byte_dim * d
            if self.has_conv(l):
                weights += (3 + 5 + 7) * self.code_dim(l) ** 2 * level.unit
            if l == last:
                weights += self.vocab * d
            keys = self.children(l) + self.earlier(l)
            if level.window:
                keys = min(level.window, keys)
            total += (2 * weights + 4 * level.n_layer * keys * d) / level.unit
        return 3 * total

    def latent_flops_per_byte(self) -> float:
        """Forward, a predicted byte at a full context."""
        level, t, n = self.level[0], self.context, self.latents
        d, ffn = level.n_embd, self.ffn_weights(0)
        blocks = level.n_layer * (2 * (4 * d * d + ffn) + 4 * n * d)
        # Query, out and feed-forward layer of a latent; the keys and values of all T serve N latents.
        cross = 2 * (2 * d * d + ffn) + 2 * 2 * d * d * t / n + 4 * t * d
        return blocks + cross + 2 * self.vocab * d

    def ffn_weights(self, l: int) -> int:
        """Matrix weights of one feed-forward layer."""
        return (3 if self.ffn == "swiglu" else 2) * self.level[l].n_embd * self.ffn_dim(l)


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


@dataclass
class Sight:
    """Who sees whom. The keys have the places 0 to K, and the queries are the last of these places."""

    queries: int
    # The first keys of a row are the last units of the row before, where that is of the same sequence.
    earlier: int
    # Rows in a sequence.
    rows: int
    # (K, E) each, by place
    turn: tuple[Tensor, Tensor] | None
    # bool (P or 1, 1, Q, K), for the rows of one sequence; None where every place sees itself and all before it
    visible: Tensor | None


def earlier_units(x: Tensor, sight: Sight) -> Tensor:
    """The last units (R, H, r, E) of the row before in x (R, H, N, E); zeros for the first row of a sequence."""
    last = x[:, :, x.shape[2] - sight.earlier :].unflatten(0, (-1, sight.rows))
    return torch.cat((torch.zeros_like(last[:, :1]), last[:, :-1]), dim=1).flatten(0, 1)


class Attention(nn.Module):
    """Causal self-attention; of the last inputs to all where there are fewer queries than keys."""

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

    def forward(self, x: Tensor, sight: Sight, fused: bool) -> Tensor:
        q, k, v = self.heads(x, None, fused)
        q = q[:, :, -sight.queries :]
        if sight.earlier:
            k, v = torch.cat((earlier_units(k, sight), k), dim=2), torch.cat((earlier_units(v, sight), v), dim=2)
        if sight.turn is not None:
            cos, sin = sight.turn
            q, k = rotate(q, cos[-sight.queries :], sin[-sight.queries :]), rotate(k, cos, sin)
        visible = sight.visible
        if visible is not None:
            visible = visible.repeat(x.shape[0] // visible.shape[0], 1, 1, 1)
        if fused:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if visible is None:
                visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).tril()
            scores = scores.masked_fill(~visible, -math.inf)
            weights = (scores - scores.amax(-1, keepdim=True)).exp()
            y = weights / weights.sum(-1, keepdim=True) @ v
        return self.out(y.transpose(1, 2).flatten(2))


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

    def forward(self, x: Tensor, sight: Sight, fused: bool) -> Tensor:
        x = x[:, -sight.queries :] + self.attn(self.attn_norm(x, fused), sight, fused)
        return x + self.ffn(self.ffn_norm(x, fused), fused)


def convolve(x: Tensor, conv: nn.Conv1d, fused: bool) -> Tensor:
    """The convolution of x (R, T, C) over T that sees no later byte, and zeros before the first."""
    taps = conv.weight.shape[-1]
    if fused:
        return conv(F.pad(x.transpose(1, 2), (taps - 1, 0))).transpose(1, 2)
    padded = F.pad(x, (0, 0, taps - 1, 0))
    y = sum(padded[:, j : j + x.shape[1]] @ conv.weight[:, :, j].T for j in range(taps))
    return y if conv.bias is None else y + conv.bias


class LevelModule(nn.Module):
    """One level: byte codes, the vectors of units, the way from the parent, and a transformer.

    Without blocks, the first level is nothing at all, and the last one is the way from the parent and the norm.
    """

    def __init__(self, config: Config, l: int):
        super().__init__()
        level, code = config.level[l], config.code_dim(l)
        self.config, self.l, self.level = config, l, level
        self.block = nn.ModuleList(Block(config, l) for _ in range(level.n_layer))
        if level.n_layer == 0 and l == 0:
            return
        # Without blocks, the codes serve only as the output matrix.
        if level.n_layer > 0 or config.tie:
            self.byte_embedding = nn.Parameter(torch.empty(config.vocab, code))
        if config.has_parent(l):
            above, children = config.level[l - 1].n_embd, config.children(l)
            slice_shape = (level.n_embd, above // children)
            linear_shape = (children * level.n_embd, above)
            self.from_parent = nn.Parameter(torch.empty(slice_shape if config.projection == "slice" else linear_shape))
        self.norm = Norm(level.n_embd, config.norm, config.norm_eps, config.bias)
        if level.n_layer == 0:
            return
        if config.position == "learned":
            self.position = nn.Parameter(torch.empty(config.span(l), code))
        if config.has_conv(l):
            self.conv = nn.ModuleList(nn.Conv1d(code, code, taps, bias=config.bias) for taps in (3, 5, 7))
        if config.embedding == "linear" and level.unit > 1:
            self.embed = nn.Parameter(torch.empty(level.n_embd, level.unit * code))
        self.pad = nn.Parameter(torch.empty(level.n_embd))
        if config.latents:
            self.cross = Block(config, l)

    def units(self, symbols: Tensor, start: int = 0, fused: bool = False) -> Tensor:
        """Vectors (R, N, D) of the units of symbols (R, N u), the first of which stands at byte `start` of its parent."""
        codes = F.embedding(symbols, self.byte_embedding)
        if self.config.position == "learned":
            codes = codes + self.position[start : start + symbols.shape[1]]
        if self.config.has_conv(self.l) and symbols.shape[1] > 0:
            for conv in self.conv:
                codes = codes + F.relu(convolve(codes, conv, fused))
        joined = codes.reshape(symbols.shape[0], -1, self.level.unit * codes.shape[-1])
        return F.linear(joined, self.embed) if hasattr(self, "embed") else joined

    def from_above(self, parent: Tensor) -> Tensor:
        """What the children (R, N, D) of the parents (R, D of the level above) get from them."""
        if self.config.projection == "slice":
            return F.linear(parent.view(parent.shape[0], self.config.children(self.l), -1), self.from_parent)
        return F.linear(parent, self.from_parent).view(parent.shape[0], -1, self.level.n_embd)

    def turn(self, n: int, start: int = 0) -> tuple[Tensor, Tensor] | None:
        """The rotation of positions `start` to `start + n`, where positions are rotary."""
        if self.config.position != "rotary" and self.config.earlier(self.l) == 0:
            return None
        width = self.level.n_embd // self.level.n_head
        return rotation(n, width, self.config.rotary_base, self.pad, start)

    def sight(self, n: int, rows: int) -> Sight:
        """Who sees whom among the n units of each of a sequence's rows."""
        earlier, window = self.config.earlier(self.l), self.level.window
        keys = torch.arange(earlier + n, device=self.pad.device)
        queries = keys[earlier:].unsqueeze(1)
        visible = None
        if earlier:
            # The first row has no row before it.
            row = torch.arange(rows, device=keys.device).view(-1, 1, 1, 1)
            visible = (keys <= queries) & ((row > 0) | (keys >= earlier))
        elif window:
            visible = ((keys <= queries) & (keys > queries - window)).view(1, 1, n, n)
        return Sight(n, earlier, rows, self.turn(earlier + n), visible)

    def transformer(self, x: Tensor, rows: int, fused: bool) -> Tensor:
        """Blocks and the final norm, on (R, N, D); a sequence has `rows` of the R."""
        if self.config.latents:
            return self.perceiver(x, fused)
        if self.level.n_layer > 0:
            sight = self.sight(x.shape[1], rows)
            for block in self.block:
                x = block(x, sight, fused)
        return self.norm(x, fused)

    def perceiver(self, x: Tensor, fused: bool) -> Tensor:
        """Outputs (B, n, D) of the last n of x (B, T, D), which alone see all T, and only once."""
        t = x.shape[1]
        n = min(self.config.latents, t)
        places = torch.arange(t, device=x.device)
        visible = (places <= places[t - n :].unsqueeze(1)).view(1, 1, n, t)
        x = self.cross(x, Sight(n, 0, 1, self.turn(t), visible), fused)
        sight = Sight(n, 0, 1, self.turn(n, t - n), None)
        for block in self.block:
            x = block(x, sight, fused)
        return self.norm(x, fused)

    def forward(self, symbols: Tensor, parent: Tensor | None, rows: int, fused: bool) -> Tensor | None:
        """Outputs (R, N, D) for symbols (R, N u), one parent a row, `rows` a sequence; None without blocks and parent."""
        if self.level.n_layer == 0:
            return None if parent is None else self.transformer(self.from_above(parent), rows, fused)
        pad = self.pad.expand(symbols.shape[0], 1, -1)
        # The last unit is nobody's past: it needs no vector.
        before = symbols[:, : symbols.shape[1] - self.level.unit]
        x = torch.cat((pad, self.units(before, fused=fused)), dim=1)
        if parent is not None:
            x = x + self.from_above(parent)
        return self.transformer(x, rows, fused)


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
        """Logits (B, T, V) for int64 symbols (B, T); -1 is padding and read as symbol 0.

        With `latents`, of the last min(latents, T) symbols alone.
        """
        b, t = symbols.shape
        x = F.pad(symbols, (0, -t % self.config.level[0].unit)).clamp(min=0)
        parent = None
        for l, level in enumerate(self.level):
            rows = x if l == 0 else x.view(-1, self.config.span(l))
            parent = level(rows, parent, rows.shape[0] // b, self.fused)
            if parent is not None:
                parent = parent.reshape(-1, level.level.n_embd)
        return F.linear(parent.view(b, -1, parent.shape[-1])[:, :t], self.output_matrix())

    def loss(self, symbols: Tensor, logits: Tensor | None = None) -> Tensor:
        """Mean nats over the predicted symbols that are not padding."""
        logits = self(symbols) if logits is None else logits
        symbols = symbols[:, symbols.shape[1] - logits.shape[1] :]
        if self.fused:
            return F.cross_entropy(logits.float().flatten(0, 1), symbols.flatten(), ignore_index=-1)
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
