"""Steps of PyTorch's own Muon: python muon.py IN OUT, both safetensors.

IN holds weight.NAME and grad.STEP.NAME of matrices; OUT the weights NAME after all steps. Queries, keys and values are
matrices of their own.
"""

import sys

import torch
from safetensors.torch import load_file, save_file


def main() -> None:
    source, target = sys.argv[1:]
    given = load_file(source)
    names = [name.removeprefix("weight.") for name in given if name.startswith("weight.")]
    steps = len(given) // len(names) - 1

    def parts(name: str, tensor: torch.Tensor) -> list[torch.Tensor]:
        return list(tensor.chunk(3 if name.endswith("attn.qkv.weight") else 1))

    weights = {
        name: [torch.nn.Parameter(part.clone()) for part in parts(name, given[f"weight.{name}"])] for name in names
    }
    muon = torch.optim.Muon(
        [part for name in names for part in weights[name]],
        lr=1e-2,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        adjust_lr_fn="match_rms_adamw",
    )
    for step in range(steps):
        for name in names:
            for part, grad in zip(weights[name], parts(name, given[f"grad.{step}.{name}"]), strict=True):
                part.grad = grad.clone()
        muon.step()
    save_file({name: torch.cat([part.detach() for part in weights[name]]) for name in names}, target)


if __name__ == "__main__":
    main()
