"""What each rank does in tests of ranks: processes import it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from fusionnas.device import compute_device
from fusionnas.errors import FusionNASError
from fusionnas.run.unit import Checkpoint
from fusionnas.search.gradient import Relaxed, SupernetTraining
from fusionnas.search.methods.gdas import gumbel_softmax
from fusionnas.search.methods.pc_darts import PartialChannels
from fusionnas.space.schema import Training
from fusionnas.supernet import Alphas, Mixing, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.training.randomness import one_thread, seeded
from fusionnas.training.ranks import Ranks, TorchRanks
from fusionnas.training.recipe import Recipe
from tests.spaces import tiny_data, tiny_signature, tiny_space

SPACE = tiny_space(nodes=1, inputs="2")
NOISY = Training(batch_size=16, dropout=0.1, robustness={"missing": 0.2, "noise": 0.1, "rank": 0.1})


def hard(alphas: Alphas, share: float) -> Mixing:
    """One sampled path, as GDAS has it."""

    def relax(alpha: torch.Tensor) -> torch.Tensor:
        soft = gumbel_softmax(alpha, 1.0)
        return torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0) + soft - soft.detach()

    return alphas.mixing(relax)


def soft(alphas: Alphas, share: float) -> Mixing:
    return alphas.mixing(softmax)


def ascent(alphas: Alphas, share: float, loss: Any) -> Mixing:
    """Weights train where the loss is higher: one step along its gradient in the mixing."""
    groups = {name: rows.clone().requires_grad_() for name, rows in soft(alphas, share).groups().items()}
    with torch.enable_grad():
        found = torch.autograd.grad(loss(Mixing.of(groups)), list(groups.values()), materialize_grads=True)
    moved = {name: (rows + 0.1 * g).detach() for (name, rows), g in zip(groups.items(), found, strict=True)}
    return Mixing.of({name: rows * (soft(alphas, share).groups()[name] > 0) for name, rows in moved.items()})


def channels(supernet: Supernet) -> None:
    for node in supernet.nodes:
        for operator in node.values():
            PartialChannels(2).around(operator)


def statistics(supernet: Supernet) -> None:
    """What an operator does that keeps statistics of its batches."""
    supernet.readout.register_buffer("mean", torch.zeros(()))

    def note(module: torch.nn.Module, given: Any, found: torch.Tensor) -> None:
        if module.training:
            module.mean.add_(found.detach().mean())

    supernet.readout.register_forward_hook(note)


KINDS = {
    "first": {"mixing": soft}, "second": {"mixing": soft, "order": "second"},
    "differences": {"mixing": soft, "order": "finite_difference"}, "together": {"mixing": soft, "together": True},
    "sampled": {"mixing": hard, "settled": lambda alphas: soft(alphas, 1.0)},
    "ascent": {"mixing": soft, "weights": ascent}, "channels": {"mixing": soft, "prepare": channels},
    "statistics": {"mixing": soft, "prepare": statistics},
}  # fmt: skip


def fresh(
    kind: str, seen: list[Any], before: Callable[[float], None] = lambda share: None, *, device: str = "cpu"
) -> SupernetTraining:
    """A training whose last batch of an epoch has one row (49 = 3 x 16 + 1).

    Args:
        kind: of ``KINDS``.
        seen: receives every mixing that is drawn.
        before: is called before every draw, with the share of the search that is done.
        device: as in a space file.
    """
    given = dict(KINDS[kind])
    draw = given.pop("mixing")

    def mixing(alphas: Alphas, share: float) -> Mixing:
        before(share)
        found = draw(alphas, share)
        seen.append([rows.tolist() for rows in found.groups().values()])
        return found

    with seeded(0):
        supernet, alphas = Supernet(SPACE, tiny_signature()), Alphas(SPACE)
    recipe = replace(Recipe.of(SPACE), training=NOISY, device=device)
    return SupernetTraining(supernet, alphas, tiny_data(49), Relaxed(mixing, rate=0.02, **given), recipe, seed=7)


def state_of(training: SupernetTraining) -> dict[str, Any]:
    """What is compared."""
    modules = {"supernet": training.supernet, "alphas": training.alphas}
    return {**{name: module.state_dict() for name, module in modules.items()}, "history": training.history}


def trained(kind: str, *, ranks: Ranks | None = None, epochs: int = 2, device: str = "cpu") -> dict[str, Any]:
    """State after a training, and what it drew."""
    seen: list[Any] = []
    training = fresh(kind, seen, device=device)
    with one_thread():
        training.run(lambda epoch: epoch / epochs, Checkpoint(None, 0), lambda facts: None, ranks)
    return {**state_of(training), "seen": seen}


def as_rank(rank: int, size: int, folder: str, kinds: tuple[str, ...], epochs: int = 2, device: str = "cpu") -> None:
    """One rank of a group of its own, in a process that ends with it; on ``cuda`` with the GPU of its number."""
    if device == "cuda":
        torch.cuda.set_device(rank)
    backend, where = "nccl" if device == "cuda" else "gloo", compute_device(device)
    distributed.init_process_group(
        backend, init_method=f"file://{folder}/meet", rank=rank, world_size=size, timeout=timedelta(seconds=30)
    )
    try:
        for kind in kinds:
            try:
                state = trained(kind, ranks=TorchRanks(where), epochs=epochs, device=device)
            except FusionNASError as error:
                state = {"error": str(error)}
            torch.save(state, Path(folder) / f"{kind}-{rank}.pt")
    finally:
        distributed.destroy_process_group()
    # Gloo's threads may hold tensors a moment longer; to free one while the interpreter winds up aborts the process.
    os._exit(0)
