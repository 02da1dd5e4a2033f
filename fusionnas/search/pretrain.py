"""Encoder policies: pretrained encoders, frozen, fine-tuned or adapted in low rank.

A modality with another policy than ``joint`` has its encoder trained alone on the labels first, or read from the
safetensors file under ``weights``. It then starts every later training from those weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fusionnas.data.base import SearchData
from fusionnas.errors import InputError
from fusionnas.network import build
from fusionnas.run.progress import Progress
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.references import top
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, train

if TYPE_CHECKING:
    from fusionnas.run import Run
    from fusionnas.space import SearchSpace


def pretrain(
    space: SearchSpace, data: SearchData, *, seed: int, run: Run, progress: Progress
) -> dict[str, dict[str, Tensor]]:
    """Weights of every encoder that is not trained jointly, by modality.

    Raises:
        InputError: a ``weights`` file is missing, damaged, or of another form than the encoder.
    """
    found = {}
    for name, modality in space.file.modalities.items():
        if modality.policy == "joint":
            continue
        if modality.weights is not None:
            found[name] = _read(space, name, modality.weights, data)
            continue
        progress.stage(f"pretrain {name}", space.file.training.epochs)

        def compute(checkpoint: Checkpoint, name: str = name) -> Result:
            with seeded(derive(seed, "pretrain", name)):
                network = build(space, space.architecture([], output=top(space, name)), data.signature)
            schedule = Schedule(data.select, space.file.training.epochs, space.file.training.epochs)
            trained = train(
                network, data.train, schedule, Recipe(space.file.training), seed=derive(seed, "pretrain", name),
                checkpoint=checkpoint, watch=progress.advance,
            )  # fmt: skip
            return Result({"epoch": trained.epoch, "loss": trained.loss}, dict(network.encoders[name].state_dict()))

        found[name] = run.unit(f"pretrain/{name}", compute).tensors
    return found


def load_pretrained(encoders: nn.ModuleDict, pretrained: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Copy pretrained weights into the encoders that are there; an encoder may have fewer layers."""
    for name, encoder in encoders.items():
        if name in pretrained:
            encoder.load_state_dict({key: pretrained[name][key] for key in encoder.state_dict()})


def _read(space: SearchSpace, name: str, file: str, data: SearchData) -> dict[str, Tensor]:
    path = space.folder / file
    where = f"modalities.{name}.weights"
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{where}: cannot read {path} as safetensors", [str(error)]) from error
    expected = build(space, space.architecture([], output=top(space, name)), data.signature).encoders[name].state_dict()
    problems = [f"{key}: missing" for key in expected if key not in state]
    problems += [
        f"{key}: given {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        raise InputError(f"{where}: {path} does not fit the encoder of {name}", problems)
    return {key: state[key] for key in expected}
