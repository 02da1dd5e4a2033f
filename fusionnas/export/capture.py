"""Capturing a network for torch.export and ONNX: a flat signature, and which dimensions may vary."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fusionnas.encoders.base import EncoderLayer
from fusionnas.encoders.encoder import Encoder
from fusionnas.errors import FusionNASError
from fusionnas.export.cases import flat, other_lengths, sample
from fusionnas.feature import Feature
from fusionnas.gates.conditional import conditional
from fusionnas.gates.network import GatedNetwork
from fusionnas.network import FusionNetwork
from fusionnas.operators.base import FusionOperator

T = TypeVar("T")
KINDS = ("values", "mask", "present")


class ExportError(FusionNASError):
    """A network cannot be written in some form; the message says why."""


class Program(nn.Module):
    """The network behind a flat signature: three tensors per modality in, logits out.

    Args:
        network: in eval mode.
        branches: gates as branches for the whole batch; else everything is computed, then selected.
    """

    def __init__(self, network: FusionNetwork, *, branches: bool = False) -> None:
        super().__init__()
        self.network, self.branches = network, branches
        self.names = tuple(network.encoders)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Values, mask and presence per modality -> logits (B, C)."""
        inputs = {name: Feature(*tensors[3 * i : 3 * i + 3]) for i, name in enumerate(self.names)}
        if self.branches and isinstance(self.network, GatedNetwork):
            return conditional(self.network, inputs)
        return self.network.dense(inputs)

    def input_names(self) -> list[str]:
        """``vitals_values``, ``vitals_mask``, ``vitals_present``, ..."""
        return [f"{name}_{kind}" for name in self.names for kind in KINDS]


@dataclass(frozen=True)
class Captured:
    """What a form made of a network.

    Attributes:
        result: the form's own object.
        lengths: modalities whose number of tokens may vary.
        fixed: per modality with several tokens that may not, why.
    """

    result: Any
    lengths: tuple[str, ...]
    fixed: dict[str, str]


def capture(
    network: FusionNetwork,
    write: Callable[[Program, tuple[Tensor, ...], Any], Any],
    *,
    branches: bool = False,
    running: Callable[[Any], Callable[..., Any]] | None = None,
) -> Captured:
    """Let ``write`` (program, example inputs, dynamic shapes) capture a network, lengths dynamic where they can be.

    Batches are dynamic from 1 up. A length is fixed where an encoder layer says so, on a grid, or where torch cannot
    keep it open; then all are, and the reason is kept. ``running`` makes what was captured run: torch finds some
    conditions on lengths only then, so others than the example's are tried.

    Raises:
        ExportError: not even with fixed lengths.
    """
    program = Program(network.eval(), branches=branches).eval()
    fixed = dict(_fixed(network))
    lengths = [name for name in program.names if network.signature.inputs[name].tokens > 1 and name not in fixed]
    if lengths:
        try:
            result = _captured(program, lengths, write)
            if running is not None:
                _try_other_lengths(program, lengths, running(result))
            return Captured(result, tuple(lengths), fixed)
        except Exception as error:  # whatever torch raises: then it cannot keep lengths open
            fixed |= dict.fromkeys(lengths, f"torch cannot keep the length open: {first_line(error)}")
    try:
        return Captured(_captured(program, [], write), (), fixed)
    except Exception as error:
        raise ExportError(f"architecture {network.architecture.id} cannot be captured: {first_line(error)}") from error


def _captured(program: Program, lengths: Sequence[str], write: Callable[..., Any]) -> Any:
    # A batch of 2: a batch of 1 would be taken for the only one that there is.
    example = flat(sample(program.network, 2, torch.Generator().manual_seed(0)))
    batch = torch.export.Dim("batch", min=1)
    shapes: list[dict[int, Any]] = []
    for name in program.names:
        length = {1: torch.export.Dim(f"{name}_length", min=2, max=65536)} if name in lengths else {}
        shapes += [{0: batch, **length}, {0: batch, **length}, {0: batch}]
    with quiet(), torch.no_grad():
        return write(program, tuple(example), (tuple(shapes),))


@torch.no_grad()
def _try_other_lengths(program: Program, lengths: Sequence[str], run: Callable[..., Any]) -> None:
    for changed in other_lengths(program.network, lengths).values():
        run(*flat(sample(program.network, 2, torch.Generator().manual_seed(0), changed)))


def _fixed(network: FusionNetwork) -> Iterator[tuple[str, str]]:
    recurrent = [node for node in network.head.nodes if isinstance(node, FusionOperator) and node.fixed_length]
    for name, encoder in network.encoders.items():
        assert isinstance(encoder, Encoder)
        layers = [layer for layer in encoder.modules() if isinstance(layer, EncoderLayer) and layer.fixed_length]
        if network.signature.inputs[name].grid:
            yield name, "tokens are patches of an image"
        elif layers and network.signature.inputs[name].tokens > 1:
            yield name, layers[0].fixed_length
        elif recurrent and network.signature.inputs[name].tokens > 1:
            yield name, recurrent[0].fixed_length


def first_line(error: BaseException) -> str:
    """What an error, or what caused it, says, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:200]


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's remarks on what it does while it captures."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


