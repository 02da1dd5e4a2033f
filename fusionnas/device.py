"""Where a training computes: on the CPU, or on the GPU that this process has (``execution.device``).

Modules and data move to the device once, at the start of a training. On the CPU stay what is drawn for batches and the
architecture parameters, so both are the same on every device; results and checkpoints come back to it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fusionnas.errors import InputError

CPU = torch.device("cpu")


def compute_device(asked: str) -> torch.device:
    """The device of this process for ``cpu``, ``cuda`` or ``auto``: cuda where there is one.

    Raises:
        InputError: cuda is asked for, and this process has none.
    """
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        raise InputError(
            "execution.device: given cuda, but this process sees no GPU; expected one that torch can use",
            [
                "give auto (the GPU where there is one) or cpu, or "
                + ("have nvidia-smi list one" if built else f"install torch with CUDA: {torch.__version__} has none"),
                "workers of a Ray cluster see a GPU only with execution.gpus above 0",
            ],
        )
    return torch.device("cuda", torch.cuda.current_device())


def check_device(asked: str, *, ray: bool, gpus: float) -> None:
    """Whether trainings find the device that is asked for, as far as can be said before any is begun.

    Args:
        asked: ``execution.device``.
        ray: trainings run on a Ray cluster, whose nodes may have what this process has not.
        gpus: ``execution.gpus``.

    Raises:
        InputError: they do not.
    """
    if not ray:
        compute_device(asked)
    elif asked == "cuda" and gpus == 0:
        raise InputError(
            "execution.device: given cuda, but workers of a Ray cluster see no GPU; expected execution.gpus above 0",
            ["give execution.gpus: 1 for one GPU per training, 0.25 for four trainings on one"],
        )


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are; the CPU where it has none."""
    return next((parameter.device for parameter in module.parameters()), CPU)


@contextmanager
def placed(device: torch.device, *modules: nn.Module) -> Iterator[None]:
    """Inside, ``modules`` are on ``device`` and sums there are repeatable; after it they are where they were.

    Parameters stay the same objects: an optimizer made before or inside goes on with them.
    """
    with ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(_repeatable())
        for module in modules:
            stack.callback(module.to, device_of(module))
            module.to(device)
        yield


@contextmanager
def _repeatable() -> Iterator[None]:
    """Kernels that add in a fixed order, in whole float32; where there is none, torch warns and names the operation."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS at its first product
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def on_cpu(value: Any) -> Any:
    """Plain data with every tensor on the CPU; tensors that are there already are not copied."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, Mapping):
        moved: Any = copy.copy(value)  # what a state dict says about itself comes along
        moved.update({key: on_cpu(item) for key, item in value.items()})
        return moved
    return type(value)(map(on_cpu, value)) if type(value) in (list, tuple, set) else value
