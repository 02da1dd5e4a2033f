"""``model.pt2``: the network as a torch.export program that runs without fusionnas.

It takes one ``(values, mask, present)`` triple per modality, in the order of ``architecture.json``'s signature, and
gives logits. The batch is dynamic. Time is as long as in training: a recurrent encoder's length cannot be dynamic
under torch.export, and preprocessing always gives that length.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature, random_feature
from fusionnas.network import FusionNetwork

CHECKED_BATCHES = (1, 2, 33)
_REPEATS = 20


class Program(nn.Module):
    """The network behind a flat signature: tensors in, logits out."""

    def __init__(self, network: FusionNetwork) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(network.encoders)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Three tensors per modality (values, mask, present) -> logits (B, C)."""
        inputs = {name: Feature(*tensors[3 * i : 3 * i + 3]) for i, name in enumerate(self.names)}
        return self.network.dense(inputs)


def write_torch(path: Path, network: FusionNetwork) -> dict[str, Any]:
    """Export to ``path``; compare with eager on batches of 1, 2 and 33.

    Returns:
        per batch size, the largest absolute difference and the median milliseconds of both forms.
    """
    network.eval()
    program = Program(network).eval()
    generator = torch.Generator().manual_seed(0)
    example = sample_inputs(network, 2, generator)
    batch = torch.export.Dim("batch", min=1)
    shapes = (tuple({0: batch} for _ in example),)
    exported = torch.export.export(program, tuple(example), dynamic_shapes=shapes)
    described = {"inputs": list(program.names), "architecture": network.architecture.to_json()}
    torch.export.save(exported, path, extra_files={"fusionnas.json": json.dumps(described)})
    loaded = torch.export.load(path).module()
    checks = {}
    for size in CHECKED_BATCHES:
        tensors = sample_inputs(network, size, generator)
        with torch.no_grad():
            difference = float((program(*tensors) - loaded(*tensors)).abs().max())
            checks[str(size)] = {"max_difference": difference, "eager_ms": _milliseconds(program, tensors),
                                 "exported_ms": _milliseconds(loaded, tensors)}  # fmt: skip
    return {"file": path.name, "batches": checks}


def sample_inputs(network: FusionNetwork, size: int, generator: torch.Generator) -> list[Tensor]:
    """Random inputs of the network's sizes, some samples lacking each modality."""
    specs = network.signature.inputs
    return [tensor for name in network.encoders for tensor in random_feature(specs[name], size, generator)]


def _milliseconds(module: Any, tensors: list[Tensor]) -> float:
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        module(*tensors)
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[_REPEATS // 2]
