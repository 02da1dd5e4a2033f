"""A trained network goes on to other data of the same kind: low-rank updates of its weights are learned there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionnas.errors import DataError, InputError, did_you_mean

if TYPE_CHECKING:
    from fusionnas.run.progress import Progress

PARTS = ("encoders", "fusion")


def adapt(
    run_or_export: Path,
    *,
    output: Path,
    data: str | Path | None = None,
    data_path: Path | None = None,
    parts: Sequence[str] = PARTS,
    overrides: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Adapt a network to more data: its weights stay, low-rank updates of them are trained and merged.

    Four fifths of the data (their test part, if they have one, aside) train; on the last fifth the best epoch is
    chosen. Preprocessing stays that of the network.

    Args:
        run_or_export: a finished run or a native export.
        output: folder for the adapted network, a native export.
        data, data_path: labelled data, as for :func:`fusionnas.evaluate`.
        parts: what is adapted: ``encoders``, ``fusion`` (nodes and readout), or both.
        overrides: ``training.adapt.rank=8`` and other keys of the space that say how to train.
        seed: of everything random.
        progress: display; default: none.

    Returns:
        ``{"before": metrics, "after": metrics, "n": samples, "trained": weights, "weights": of the network, ...}``;
        metrics are of the fifth on which the epoch was chosen.

    Raises:
        InputError, RunError, DataError: what is given cannot be used.
    """
    import numpy as np
    from torch import nn

    from fusionnas.data.load import load_development, load_part
    from fusionnas.data.split import split
    from fusionnas.export.native import read_native, write_native
    from fusionnas.network import predict
    from fusionnas.run.progress import QuietProgress
    from fusionnas.space import SearchSpace
    from fusionnas.training.adaptation import adapt as add_updates
    from fusionnas.training.adaptation import is_update, merge
    from fusionnas.training.randomness import derive, seeded
    from fusionnas.training.recipe import Recipe
    from fusionnas.training.scoring import scores
    from fusionnas.training.train import Schedule, train

    unknown = [f"'{part}':{did_you_mean(part, PARTS)}" for part in parts if part not in PARTS]
    if unknown or not parts:
        raise InputError("parts: expected encoders, fusion or both", unknown)
    model = read_native(run_or_export)
    space = SearchSpace.parse(model.space.to_yaml(), folder=model.space.folder, overrides=overrides, method=False)
    records = load_development(space, data, data_path)
    if records.target is None:
        raise DataError("the data have no labels", ["adapting needs the outcome of every sample"])
    shares = {"train": 0.8, "select": 0.2}
    places, _ = split(records.target, shares, np.random.default_rng(derive(seed, "adapt")), groups=records.groups)
    ready = {name: load_part(model.preprocessing, records.take(places[name])) for name in shares}
    network, held = model.network, ready["select"]
    before = scores(predict(network, held.inputs), held.target)
    chosen: dict[str, list[nn.Module]] = {"encoders": [*network.encoders.values()], "fusion": [network.head]}
    network.requires_grad_(False)
    with seeded(derive(seed, "updates")):
        add_updates([module for part in parts for module in chosen[part]], space.file.training.adapt)
    updates = sum(p.numel() for name, p in network.named_parameters() if is_update(name))
    if not updates:
        rank = space.file.training.adapt.rank
        raise InputError(f"training.adapt.rank: {rank} is as large as the weights of {' and '.join(parts)}; lower it")
    epochs = space.file.training.epochs
    shown = progress or QuietProgress(stages=False)
    shown.stage("adapt", epochs)
    recipe = replace(Recipe.of(space), policies={})
    train(network, ready["train"], Schedule(held, epochs, epochs), recipe, seed=seed, watch=shown.advance)
    merge(network)
    write_native(output, network, model.space.to_yaml(), model.preprocessing)
    after = scores(predict(network, held.inputs), held.target)
    return {
        "before": before, "after": after, "n": len(held), "trained": updates, "parts": list(parts),
        "weights": sum(p.numel() for p in network.parameters()), "output": str(output),
    }  # fmt: skip
