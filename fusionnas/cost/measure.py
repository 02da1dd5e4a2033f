"""Measuring the parts of a space: many rounds in each of which every part has its turn.

Rounds are interleaved, so that a moment in which the machine is busy with something else falls on all parts alike. The
lower quartile counts: what else runs on the machine only ever adds.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fusionnas.architecture import Architecture
from fusionnas.cost.costs import Costs, PartCost
from fusionnas.cost.parts import operator_part
from fusionnas.encoders.base import encoders
from fusionnas.encoders.stem import Stem
from fusionnas.feature import Feature, InputSpec, Signature, pool, random_feature
from fusionnas.gates.gate import Gate
from fusionnas.layers import Linear
from fusionnas.network import FusionNetwork, WidePath
from fusionnas.operators import operators
from fusionnas.operators.base import FusionOperator
from fusionnas.training.randomness import derive, seeded

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

ROUNDS = (5, 31)
"""Fewest and most measurements per part."""
TURN = 3e-4
"""Seconds, at least, that a part runs in each round."""


@dataclass(frozen=True)
class _Part:
    run: Callable[[int], object]  # batch size -> what the part gives out
    parameters: int
    inputs: str = ""


def measure_costs(
    space: SearchSpace,
    signature: Signature,
    *,
    batch: int = 64,
    also: Iterable[Architecture] = (),
    seconds: float = 3.0,
) -> Costs:
    """Measure every part of a space on this machine with torch's present number of threads.

    Args:
        space: whose encoders and operators to measure.
        signature: sizes of the inputs.
        batch: samples per pass.
        also: architectures outside of the space whose parts are needed as well.
        seconds: after so long no further round begins.
    """
    with seeded(derive(0, "cost")), torch.no_grad():
        parts = _encoder_parts(space, signature) | _head_parts(space, signature, tuple(also))
        smallest = _smallest(space, signature)
        parts["network"] = _Part(smallest.run, 0)
        times = _interleaved({name: part.run for name, part in parts.items()}, batch, seconds)
        measured = {name: _cost(part, times[name]) for name, part in parts.items()}
    inside = sum(measured[name].latency_ms for name in smallest.inputs.split())
    rest = measured["network"]
    measured["network"] = PartCost(max(rest.latency_ms - inside, 0.0), rest.spread_ms, 0, 0)
    wide = tuple(name for name, modality in space.file.modalities.items() if modality.wide)
    return Costs(measured, signature, wide, batch, platform.processor() or platform.machine(), torch.get_num_threads())


def _interleaved(runs: dict[str, Callable[[int], object]], batch: int, seconds: float) -> dict[str, list[float]]:
    """Seconds per pass by part, one value per round."""
    began = time.monotonic()
    repeats: dict[str, int] = {}
    for name, run in runs.items():
        run(batch)
        start = time.perf_counter()
        run(batch)
        repeats[name] = max(1, round(TURN / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for done in range(ROUNDS[1]):
        if done >= ROUNDS[0] and time.monotonic() - began > seconds:
            break
        for name, run in runs.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                run(batch)
            times[name].append((time.perf_counter() - start) / repeats[name])
    return times


def _cost(part: _Part, seconds: list[float]) -> PartCost:
    low, high = (float(q) for q in np.quantile(1000 * np.array(seconds), (0.25, 0.75)))
    counter = _Macs()
    with counter:
        out = part.run(1)
    tokens = out.values.shape[-2] if isinstance(out, Feature) else 1
    return PartCost(low, high - low, counter.found, part.parameters, tokens)


class _Macs(TorchDispatchMode):
    """Adds up multiply-adds of matrix products by torch's own formulas.

    Not torch's ``FlopCounterMode``: that imports the compiler, which takes seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.found += formula(*args, **(kwargs or {}), out_val=out) // 2
        return out


def _encoder_parts(space: SearchSpace, signature: Signature) -> dict[str, _Part]:
    parts = {}
    width = space.file.fusion.width
    for name, modality in space.file.modalities.items():
        spec = signature.inputs[name]
        parts[f"stem/{name}"] = _module_part(Stem(spec, width), spec)
        inner = InputSpec(width, spec.tokens, grid=spec.grid)
        for encoder in modality.encoder:
            parts[f"layer/{name}/{encoder}"] = _module_part(encoders[encoder](width, spec), inner)
        if modality.wide:
            parts[f"wide/{name}"] = _module_part(WidePath(spec.width, signature.outputs, 0.0), spec)
    return parts


def _head_parts(space: SearchSpace, signature: Signature, also: Sequence[Architecture]) -> dict[str, _Part]:
    width = space.file.fusion.width
    lengths = sorted({1, *(spec.tokens for spec in signature.inputs.values())})
    parts = {f"pool/{length}": _pool_part(InputSpec(width, length)) for length in lengths if length > 1}
    readout = Linear(width, signature.outputs)
    vector = _inputs([InputSpec(width)])
    parts["readout"] = _Part(lambda size: readout(pool(vector(size)[0])), _count(readout))
    gate = Gate(1, width, signature.outputs)
    parts["gate"] = _Part(lambda size: gate(vector(size)) > 0, _count(gate))
    sizes = {name: set(range(rule.fewest, rule.most + 1)) for name, rule in space.rules.items()}
    for node in (node for architecture in also for node in architecture.nodes):
        sizes.setdefault(node.operator, set()).add(len(node.inputs))
    for name, counts in sizes.items():
        pairs = list(product(lengths, lengths)) if operators[name].sequence else [(1, 1)]
        for inputs, (first, others) in product(sorted(counts), pairs):
            specs = [InputSpec(width, first), *[InputSpec(width, others)] * (inputs - 1)]
            part = operator_part(name, inputs, first, others)
            parts[part] = _operator_part(operators[name].build(inputs, width, signature.outputs), specs)
    return parts


def _smallest(space: SearchSpace, signature: Signature) -> _Part:
    """A network of one modality at level 0: all that it takes beyond its parts is what every network takes."""
    name = next(iter(space.file.modalities))
    architecture = Architecture(((name, ()),), (), next(p for p in space.points() if p.modality == name))
    network = FusionNetwork(architecture, signature, width=space.file.fusion.width).eval()
    inputs = _inputs([signature.inputs[name]])
    length = signature.inputs[name].tokens
    inside = f"stem/{name} readout" + (f" pool/{length}" if length > 1 else "")
    return _Part(lambda size: network({name: inputs(size)[0]}), 0, inside)


def _module_part(module: nn.Module, spec: InputSpec) -> _Part:
    module.eval()
    inputs = _inputs([spec])
    return _Part(lambda size: module(inputs(size)[0]), _count(module))


def _pool_part(spec: InputSpec) -> _Part:
    inputs = _inputs([spec])
    return _Part(lambda size: Feature.vector(pool(inputs(size)[0]), inputs(size)[0].present), 0)


def _operator_part(module: FusionOperator, specs: Sequence[InputSpec]) -> _Part:
    module.eval()
    inputs = _inputs(specs)
    return _Part(lambda size: module(inputs(size)), _count(module))


def _inputs(specs: Sequence[InputSpec]) -> Callable[[int], list[Feature]]:
    """Random inputs by batch size, drawn once per size."""
    drawn: dict[int, list[Feature]] = {}

    def inputs(size: int) -> list[Feature]:
        if size not in drawn:
            generator = torch.Generator().manual_seed(0)
            drawn[size] = [random_feature(spec, size, generator, complete=True) for spec in specs]
        return drawn[size]

    return inputs


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
