"""What is measured in Python: each implementation built at one size, with its loss and its generation.

Every function gets the reference's `Config` and gives an `Entry`. The peers get their own learned positions, fused
attention and the paper's feed-forward width where they have the choice, and nothing of theirs is changed.
"""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))

from decode import generate  # noqa: E402
from megabyte import Config, Megabyte  # noqa: E402


# Symbols (B, T) to the mean loss.
Loss = Callable[[Tensor], Tensor]


@dataclass
class Entry:
    """An implementation, ready to be measured."""

    model: nn.Module
    loss: Loss
    # A prompt (1, n) to a whole sequence, batch 1.
    generate: Callable[[Tensor], Tensor]
    # Operations of a training step a byte; None where they have to be counted.
    flops_per_byte: float | None


def reference(config: Config, count: bool) -> Entry:
    """The PyTorch reference by its fused path, with cached generation."""
    model = Megabyte(config, fused=True)

    def generation(prompt: Tensor) -> Tensor:
        return generate(model, prompt, config.context)[0]

    return Entry(model, model.loss, generation, config.training_flops_per_byte())


def two_levels(config: Config) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Widths, depths, heads and units in a parent, coarse first."""
    levels = config.level
    lengths = tuple(config.children(l) for l in range(len(levels)))
    return tuple(v.n_embd for v in levels), tuple(v.n_layer for v in levels), tuple(v.n_head for v in levels), lengths


def lucidrains(config: Config, count: bool) -> Entry:
    """MEGABYTE-pytorch. Its stages share one number of heads: the coarse level's."""
    from MEGABYTE_pytorch import MEGABYTE

    widths, depths, heads, lengths = two_levels(config)
    model = MEGABYTE(
        num_tokens=config.vocab,
        dim=widths,
        depth=depths,
        max_seq_len=lengths,
        dim_head=widths[0] // heads[0],
        heads=heads[0],
        pos_emb=True,
        # Fused attention hides from the counter of operations.
        flash_attn=not count,
    )

    def loss(symbols: Tensor) -> Tensor:
        return model(symbols, return_loss=True)

    return Entry(model, loss, model.generate, None)


def mblm(config: Config, count: bool) -> Entry:
    """mblm with transformers at both stages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no mamba_ssm, which is not used
        from mblm import MBLM, MBLMModelConfig, TransformerBlock

    widths, depths, heads, lengths = two_levels(config)
    blocks = [
        TransformerBlock(
            attn_head_dims=width // head,
            attn_num_heads=head,
            attn_use_rot_embs=False,
            ff_multiplier=4,
            use_flash_attn=not count,
            pos_emb_type="fixed",
        )
        for width, head in zip(widths, heads)
    ]
    model = MBLM(
        MBLMModelConfig(
            num_tokens=config.vocab,
            pad_token_id=0,
            hidden_dims=widths,
            num_layers=depths,
            seq_lens=lengths,
            train_checkpoint_chunks=None,
            block=blocks,
        )
    )

    def generation(prompt: Tensor) -> Tensor:
        return model.generate(prompt[0] if prompt.numel() else None, filter_thres=0.9, enable_progress=False)

    return Entry(model, model, generation, None)


BUILDERS = {"reference": reference, "MEGABYTE-pytorch": lucidrains, "mblm": mblm}
