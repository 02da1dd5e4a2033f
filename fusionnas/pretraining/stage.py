"""The stage before the search: encoders, and what reads them together, learn without labels.

Its result maps modality names, and ``operator NAME`` where the space's operator was pretrained along, to weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fusionnas.data.base import Part, SearchData
from fusionnas.device import compute_device, placed
from fusionnas.encoders.encoder import SearchableEncoder
from fusionnas.pretraining.base import Batch, Encoders, Kit, Term, objectives
from fusionnas.pretraining.context import Context
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.training.optimizer import cosine, make_optimizer
from fusionnas.training.randomness import derive, random_state, seeded, set_random_state
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import finite

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

Watch = Callable[[Mapping[str, Any]], None]


def pretrain_unlabelled(
    space: SearchSpace, data: SearchData, *, seed: int, checkpoint: Checkpoint, watch: Watch
) -> Result:
    """Train on the inputs of train and alpha for ``pretrain.epochs`` epochs; a pure function of the arguments.

    Raises:
        FusionNASError: the loss is not finite. InputError: ``execution.device`` is not there.
    """
    assert space.file.pretrain is not None
    device = compute_device(space.file.execution.device)
    epochs, part = space.file.pretrain.epochs, Part.concat(data.train, data.alpha).to(device)
    batches = torch.Generator().manual_seed(derive(seed, "pretraining", "batches"))
    with seeded(derive(seed, "pretraining")), ExitStack() as stack:
        loop = _Loop(space, data, len(part))
        stack.enter_context(placed(device, loop.encoders, loop.beside))
        if (saved := checkpoint.load()) is not None:
            loop.restore(saved, batches)
        while len(loop.history) < epochs:
            loop.run_epoch(part, epochs, batches)
            watch({"epoch": len(loop.history), "epochs": epochs, "loss": loop.history[-1]})
            if checkpoint.due() and len(loop.history) < epochs:
                checkpoint.save(loop.saved(batches))
    return Result({"history": loop.history}, loop.weights(space))


def split_weights(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The stage's tensors by owner: modality, or ``operator NAME``."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        owner, _, name = key.partition("/")
        found.setdefault(owner, {})[name] = value
    return found


class _Loop:
    """The state of one pretraining."""

    def __init__(self, space: SearchSpace, data: SearchData, samples: int) -> None:
        file, specs = space.file, data.signature.inputs
        assert file.pretrain is not None
        self.training, width = file.training, file.fusion.width
        self.encoders = Encoders(
            {
                name: SearchableEncoder(specs[name], width, m.encoder, m.levels, m.dropout)
                for name, m in file.modalities.items()
            }
        )
        steps = math.ceil(samples / self.training.batch_size)
        kit = Kit(self.encoders, specs, space.groups(), width, steps, file.pretrain.mask)
        terms = objectives[file.pretrain.objective](kit)
        self.shares = [share for share, _ in terms]
        self.beside = nn.ModuleDict(
            {
                "terms": nn.ModuleList(term for _, term in terms),
                "context": Context(Context.named(file.fusion.operators), len(specs), width),
            }
        )
        self.optimizer = make_optimizer(self.encoders, Recipe(self.training), beside=self.beside)
        self.history: list[float] = []

    def run_epoch(self, part: Part, epochs: int, batches: torch.Generator) -> None:
        cosine(self.optimizer, len(self.history), epochs)
        total = 0.0
        for batch in part.batches(self.training.batch_size, batches):
            self.encoders.draw()
            loss = self._loss(batch)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_([*self.encoders.parameters(), *self.beside.parameters()], 5.0)
            self.optimizer.step()
            for term in self._terms():
                term.after_step(self.encoders)
            total += float(loss.detach()) * len(batch)
        self.history.append(finite(total / len(part), len(self.history) + 1))

    def _loss(self, part: Part) -> Tensor:
        context = self.beside["context"]
        assert isinstance(context, Context)
        batch = Batch(part.inputs, self.encoders, context, self.encoders(part.inputs))
        losses = [share * term(batch) for share, term in zip(self.shares, self._terms(), strict=True)]
        return torch.stack(losses).sum()

    def _terms(self) -> list[Term]:
        terms = self.beside["terms"]
        assert isinstance(terms, nn.ModuleList)
        return [term for term in terms if isinstance(term, Term)]

    def weights(self, space: SearchSpace) -> dict[str, Tensor]:
        """By ``owner/parameter``: every encoder, and the operator that read them, if the space has it."""
        found = {
            f"{name}/{key}": value
            for name, encoder in self.encoders.encoders.items()
            for key, value in encoder.state_dict().items()
        }
        context = self.beside["context"]
        assert isinstance(context, Context)
        if context.operator is not None and context.name in space.file.fusion.operators:
            found |= {f"operator {context.name}/{k}": v for k, v in context.operator.state_dict().items()}
        return found

    def saved(self, batches: torch.Generator) -> dict[str, Any]:
        return {
            "encoders": self.encoders.state_dict(), "beside": self.beside.state_dict(), "history": self.history,
            "optimizer": self.optimizer.state_dict(), **random_state(), "batches": batches.get_state(),
        }  # fmt: skip

    def restore(self, saved: Mapping[str, Any], batches: torch.Generator) -> None:
        self.encoders.load_state_dict(saved["encoders"])
        self.beside.load_state_dict(saved["beside"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.history = saved["history"]
        set_random_state(saved)
        batches.set_state(saved["batches"])
