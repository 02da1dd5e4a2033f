"""Where encoders start: pretrained without labels, trained alone on the labels, or read from a file.

Section ``pretrain`` lets all encoders learn without labels first (:mod:`fusionnas.pretraining`). A modality with
another policy than ``joint`` reads the safetensors file under ``weights``, starts from that, or, where neither is
there, has its encoder trained alone on the labels. Every later training starts from those weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fusionnas.data.base import SearchData
from fusionnas.errors import InputError
from fusionnas.layers import leading_block
from fusionnas.network import FusionNetwork, build
from fusionnas.pretraining.stage import pretrain_unlabelled, split_weights
from fusionnas.run.progress import Progress
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.references import top
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, train

if TYPE_CHECKING:
    from fusionnas.run import Run
    from fusionnas.space import SearchSpace
    from fusionnas.supernet import Supernet


def pretrain(
    space: SearchSpace, data: SearchData, *, seed: int, run: Run, progress: Progress
) -> dict[str, dict[str, Tensor]]:
    """Weights that trainings start from, by modality (and ``operator NAME``); empty where all start fresh.

    Raises:
        InputError: a ``weights`` file is missing, damaged, or of another form than the encoder.
    """
    found = _unlabelled(space, data, seed=seed, run=run, progress=progress)
    for name, modality in space.file.modalities.items():
        if modality.weights is not None:
            found[name] = _read(space, name, modality.weights, data)
        elif modality.policy != "joint" and name not in found:
            found[name] = _alone(space, name, data, seed=seed, run=run, progress=progress)
    return found


def _unlabelled(
    space: SearchSpace, data: SearchData, *, seed: int, run: Run, progress: Progress
) -> dict[str, dict[str, Tensor]]:
    if space.file.pretrain is None:
        return {}
    progress.stage(f"pretrain {space.file.pretrain.objective}", space.file.pretrain.epochs)

    def compute(checkpoint: Checkpoint) -> Result:
        return pretrain_unlabelled(space, data, seed=seed, checkpoint=checkpoint, watch=progress.advance)

    return split_weights(run.unit("pretraining", compute).tensors)


def _alone(
    space: SearchSpace, name: str, data: SearchData, *, seed: int, run: Run, progress: Progress
) -> dict[str, Tensor]:
    training = space.file.training
    progress.stage(f"pretrain {name}", training.epochs)

    def compute(checkpoint: Checkpoint) -> Result:
        with seeded(derive(seed, "pretrain", name)):
            network = build(space, space.architecture([], output=top(space, name)), data.signature)
        schedule = Schedule(data.select, training.epochs, training.epochs)
        recipe = Recipe(training, device=space.file.execution.device)
        trained = train(
            network, data.train, schedule, recipe, seed=derive(seed, "pretrain", name),
            checkpoint=checkpoint, watch=progress.advance,
        )  # fmt: skip
        return Result({"epoch": trained.epoch, "loss": trained.loss}, dict(network.encoders[name].state_dict()))

    return run.unit(f"pretrain/{name}", compute).tensors


def load_pretrained(network: FusionNetwork | Supernet, pretrained: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Copy pretrained weights into the encoders and operators that are there.

    An encoder may have fewer layers, an operator fewer inputs: its weights are the leading block.
    """
    for name, encoder in network.encoders.items():
        if name in pretrained:
            encoder.load_state_dict({key: pretrained[name][key] for key in encoder.state_dict()})
    for name, operator in _operators(network):
        given = pretrained.get(f"operator {name}", {})
        own = operator.state_dict()
        if own and all(key in given for key in own):
            blocks = {key: leading_block(value, given[key]) for key, value in own.items()}
            if all(blocks[key].shape == value.shape for key, value in own.items()):
                operator.load_state_dict(blocks)


def _operators(network: FusionNetwork | Supernet) -> list[tuple[str, nn.Module]]:
    if isinstance(network, FusionNetwork):
        names = [node.operator for node in network.architecture.nodes]
        return list(zip(names, network.head.nodes, strict=False))
    return [pair for node in network.nodes if isinstance(node, nn.ModuleDict) for pair in node.items()]


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
