"""Byte-by-byte generation with key/value caches: what the reference is measured with."""

import torch
import torch.nn.functional as F
from torch import Tensor

from megabyte import LevelModule, Megabyte


class LevelCache:
    """Keys and values of one parent at one level, and how many units they hold."""

    def __init__(self, level: LevelModule, batch: int):
        shape = (batch, level.level.n_head, level.config.children(level.l), level.level.n_embd // level.level.n_head)
        self.keys = [level.pad.new_empty(shape) for _ in level.block]
        self.values = [level.pad.new_empty(shape) for _ in level.block]
        self.len = 0

    def step(self, level: LevelModule, x: Tensor) -> Tensor:
        """The output (B, 1, D) for the next unit's input (B, 1, D)."""
        j = self.len
        turn = level.turn(1, j)
        for block, keys, values in zip(level.block, self.keys, self.values):
            q, k, v = block.attn.heads(block.attn_norm(x, True), turn, True)
            keys[:, :, j : j + 1], values[:, :, j : j + 1] = k, v
            y = F.scaled_dot_product_attention(q, keys[:, :, : j + 1], values[:, :, : j + 1])
            x = x + block.attn.out(y.transpose(1, 2).reshape(x.shape))
            x = x + block.ffn(block.ffn_norm(x, True), True)
        self.len += 1
        return level.norm(x, True)


@torch.inference_mode()
def generate(model: Megabyte, prompt: Tensor, length: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Continues prompts (B, at least 0) to `length` symbols: the symbols (B, length) and the logits (B, length, V)."""
    config = model.config
    if config.cross_patch or config.conv_encoder or config.latents:
        raise ValueError("the reference cannot generate with cross_patch, conv_encoder or latents")
    if any(level.window or level.n_layer == 0 for level in config.level):
        raise ValueError("the reference cannot generate with a window or with a level without blocks")
    batch, kept = prompt.shape
    symbols = torch.zeros(batch, length, dtype=torch.int64, device=prompt.device)
    symbols[:, :kept] = prompt
    caches = [LevelCache(level, batch) for level in model.level]
    from_above = [None] * len(model.level)
    logits = []
    for t in range(length):
        # The levels whose unit begins here, coarse first.
        for l, (level, cache) in enumerate(zip(model.level, caches)):
            unit, place = level.level.unit, t % model.config.span(l)
            if place % unit:
                continue
            if place == 0:
                cache.len = 0
                x = level.pad.expand(batch, 1, -1)
            else:
                x = level.units(symbols[:, t - unit : t], place - unit)
            if l > 0:
                x = x + from_above[l][:, place // unit].unsqueeze(1)
            out = cache.step(level, x)
            if l + 1 < len(model.level):
                from_above[l + 1] = model.level[l + 1].from_above(out.squeeze(1))
        scores = F.linear(out.squeeze(1), model.output_matrix()).float()
        logits.append(scores)
        if t >= kept:
            symbols[:, t] = torch.multinomial((scores / temperature).softmax(-1), 1).squeeze(1)
    return symbols, torch.stack(logits, dim=1)
