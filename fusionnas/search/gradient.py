"""The training loop of a supernet: weights on train, architecture parameters on alpha.

First-order bilevel optimisation (Liu et al., "DARTS", 2019, arXiv:1806.09055, with xi = 0). Departs from it: the
architecture parameters stay still for the first epochs (warm-up), which keeps them off the modality that is merely
learned first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fusionnas.data.base import Part, SearchData
from fusionnas.feature import Feature
from fusionnas.network import Encoded, encode_frozen, encoded_rows
from fusionnas.run.unit import Checkpoint
from fusionnas.supernet import Alphas, Mixing, Supernet
from fusionnas.training.method import Methods, Reads, Trainee
from fusionnas.training.optimizer import cosine, make_optimizer
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import finite


@dataclass(frozen=True)
class Relaxed:
    """How a method relaxes the choices.

    Attributes:
        mixing: (alphas, epoch) -> Mixing; differentiable in the alphas where they are learned.
        learned: architecture parameters to train; empty: none.
        moves: epoch -> whether they move in that epoch.
        rate: their learning rate (Adam, betas .5 and .999, weight decay 1e-3, as in DARTS).
        price: Mixing -> what its cost adds to the alphas' loss, differentiable (:func:`fusionnas.search.price.price`).
    """

    mixing: Callable[[Alphas, int], Mixing]
    learned: Sequence[nn.Parameter] = ()
    moves: Callable[[int], bool] = field(default=lambda epoch: False)
    rate: float = 3e-3
    price: Callable[[Mixing], Tensor] = field(default=lambda mixing: torch.zeros(()))


def train_supernet(
    supernet: Supernet,
    alphas: Alphas,
    data: SearchData,
    relaxed: Relaxed,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    checkpoint: Checkpoint,
    watch: Callable[[Mapping[str, Any]], None],
) -> list[dict[str, float]]:
    """Train ``supernet`` and ``alphas`` in place; per epoch, the mean loss on select and the alphas' entropy.

    Args:
        supernet, alphas: freshly initialised, pretrained encoders loaded.
        data: train for weights, alpha for alphas, select to watch.
        relaxed: how alphas become mixing weights, and which of them move when.
        recipe: rates and batch size of the weights, encoder policies, training methods.
        epochs: epochs to run.
        seed: of batches, dropout and what training methods draw.
        checkpoint: where to save and resume.
        watch: is told ``epoch``, ``epochs``, ``loss`` and ``entropy`` after each epoch.

    Raises:
        FusionNASError: the loss is not finite.
    """
    space = supernet.space
    reads = Reads.of(space.points(), recipe, width=space.file.fusion.width, outputs=supernet.signature.outputs)
    with seeded(derive(seed, "methods")):
        methods = Methods(recipe, reads)
    frozen, weights = recipe.having("frozen"), make_optimizer(supernet, recipe, beside=methods)
    steps = torch.optim.Adam(
        relaxed.learned or [nn.Parameter(torch.zeros(1))], lr=relaxed.rate, betas=(0.5, 0.999), weight_decay=1e-3
    )
    generator = torch.Generator().manual_seed(derive(seed, "batches"))
    history: list[dict[str, float]] = []
    with seeded(derive(seed, "dropout")):
        if (saved := checkpoint.load()) is not None:
            methods.load_state_dict(saved["methods"])
            history = _restore(saved, supernet, alphas, weights, steps, generator)
        train = methods.kept(data.train)
        encoded = _encoded(supernet, [] if methods.changes_inputs else frozen, train)
        while len(history) < epochs:
            epoch = len(history)
            with torch.no_grad():
                mixing = relaxed.mixing(alphas, epoch)
            methods.begin(epoch, _trainee(supernet, mixing), data.train)
            cosine(weights, epoch, epochs)
            supernet.train()
            for name in frozen:
                supernet.encoders[name].eval()
            moving = bool(relaxed.learned) and relaxed.moves(epoch)
            _epoch(supernet, alphas, train, data.alpha, relaxed, (weights, steps if moving else None), epoch,
                   recipe.training.batch_size, generator, encoded, methods)  # fmt: skip
            loss = finite(float(supernet_loss(supernet, relaxed.mixing(alphas, epoch), data.select).mean()), epoch + 1)
            history.append({"loss": loss, "entropy": alphas.entropy()})
            watch({"epoch": len(history), "epochs": epochs, **history[-1]})
            if checkpoint.due() and len(history) < epochs:
                saved = _saved(supernet, alphas, weights, steps, generator, history)
                checkpoint.save({**saved, "methods": methods.state_dict()})
    return history


def _epoch(
    supernet: Supernet,
    alphas: Alphas,
    train: Part,
    alpha: Part,
    relaxed: Relaxed,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer | None],
    epoch: int,
    size: int,
    generator: torch.Generator,
    encoded: Encoded,
    methods: Methods,
) -> None:
    weights, steps = optimizers
    batches = _forever(alpha, size, generator) if steps is not None else None
    for index in train.indices(size, generator):
        batch = train.rows(index)
        if steps is not None and batches is not None:
            held_out = next(batches)
            steps.zero_grad(set_to_none=True)
            given, mixing = methods.inputs(held_out.inputs), relaxed.mixing(alphas, epoch)
            (nll(supernet(given, mixing), held_out.target).mean() + relaxed.price(mixing)).backward()
            steps.step()
        with torch.no_grad():
            mixing = relaxed.mixing(alphas, epoch)
        trainee = _trainee(supernet, mixing, encoded_rows(encoded, index))
        loss, step = methods.loss(trainee, batch.inputs, batch.target)
        weights.zero_grad(set_to_none=True)
        loss.backward()
        methods.gradients(step, dict(supernet.encoders.items()))
        nn.utils.clip_grad_norm_([*supernet.parameters(), *methods.parameters()], 5.0)
        weights.step()


def _trainee(supernet: Supernet, mixing: Mixing, encoded: Encoded | None = None) -> Trainee:
    encode = partial(Supernet.encode, mixing=mixing, encoded=encoded)
    return Trainee(supernet, encode, partial(Supernet.decode, mixing=mixing))


def _encoded(supernet: Supernet, frozen: list[str], part: Part) -> dict[str, list[Feature]]:
    """Features of frozen encoders, which have one choice per layer, computed once."""
    supernet.eval()
    ones = {name: torch.ones(supernet.space.file.modalities[name].levels, 1) for name in frozen}
    return encode_frozen({n: partial(supernet.encoders[n], weights=w) for n, w in ones.items()}, part.inputs)


def _forever(part: Part, size: int, generator: torch.Generator) -> Any:
    while True:
        yield from part.batches(size, generator)


@torch.no_grad()
def supernet_loss(supernet: Supernet, mixing: Mixing, part: Part) -> Tensor:
    """Negative log-likelihood per sample, (N,), in eval mode."""
    supernet.eval()
    return torch.cat([nll(supernet(batch.inputs, mixing), batch.target) for batch in part.batches(512)])


def _saved(
    supernet: Supernet,
    alphas: Alphas,
    weights: torch.optim.Optimizer,
    steps: torch.optim.Optimizer,
    generator: torch.Generator,
    history: list[dict[str, float]],
) -> dict[str, Any]:
    return {
        "supernet": supernet.state_dict(), "alphas": alphas.state_dict(), "weights": weights.state_dict(),
        "steps": steps.state_dict(), "torch": torch.get_rng_state(), "batches": generator.get_state(),
        "history": history,
    }  # fmt: skip


def _restore(
    saved: dict[str, Any],
    supernet: Supernet,
    alphas: Alphas,
    weights: torch.optim.Optimizer,
    steps: torch.optim.Optimizer,
    generator: torch.Generator,
) -> list[dict[str, float]]:
    supernet.load_state_dict(saved["supernet"])
    alphas.load_state_dict(saved["alphas"])
    weights.load_state_dict(saved["weights"])
    steps.load_state_dict(saved["steps"])
    torch.set_rng_state(saved["torch"])
    generator.set_state(saved["batches"])
    history: list[dict[str, float]] = saved["history"]
    return history
