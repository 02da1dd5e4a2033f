"""The training loop of a supernet: weights on train, architecture parameters on alpha.

Bilevel optimisation by alternating steps (Liu et al., "DARTS", 2019, arXiv:1806.09055). Departs from it: the
architecture parameters stay still for the first epochs (warm-up), which keeps them off the modality that is merely
learned first; second-order gradients are exact (:mod:`fusionnas.search.second_order`).

Time is told as the *share* of the search that is done, 0 to 1: warm-up, annealing and learning rates then mean the same
however long a budget lets the search go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from fusionnas.data.base import Part, SearchData
from fusionnas.feature import Feature
from fusionnas.network import Encoded, encode_frozen, encoded_rows
from fusionnas.run.unit import Checkpoint
from fusionnas.search.budget import Pace
from fusionnas.search.second_order import second_order_gradient
from fusionnas.space.schema import Search
from fusionnas.supernet import Alphas, Mixing, Supernet, choices
from fusionnas.training.method import Methods, Reads, Trainee
from fusionnas.training.optimizer import cosine, make_optimizer
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import finite

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

Row = dict[str, Any]
"""Of one epoch: select ``loss``, ``entropy``, the weights of what is learned (``alphas``), and what the method adds."""
Loss = Callable[[Mixing], Tensor]
"""Mixing -> mean loss of the current batch."""
Order = Literal["first", "second", "finite_difference"]


@dataclass(frozen=True)
class Moment:
    """Where a search stands when an epoch has ended."""

    supernet: Supernet
    alphas: Alphas
    data: SearchData
    share: float
    history: Sequence[Row]


@dataclass(frozen=True)
class Relaxed:
    """How a method relaxes the choices.

    Attributes:
        mixing: (alphas, share) -> Mixing to train with; differentiable in the alphas where they are learned; it may
            draw from torch's generator.
        settled: alphas -> Mixing to score and to decode; no chance in it. Default: ``mixing`` at the end.
        learned: kinds of architecture parameters that are trained: alpha, gamma, beta, output.
        moves: share -> whether they move.
        rate: their learning rate (Adam, betas .5 and .999, as in DARTS).
        decay: their weight decay.
        order: of their gradient.
        together: they learn on the training batches, in one step with the weights; the alpha part is not used.
        penalty: (alphas, mixing) -> what is added to their loss.
        weights: (alphas, share, loss) -> Mixing with which the weights train, where it is another one.
        prepare: what the method does to a fresh supernet.
        after: what the method does at the end of each epoch; what it returns is added to the epoch's row.
        stops: rows -> whether the search ends before its time.
    """

    mixing: Callable[[Alphas, float], Mixing]
    settled: Callable[[Alphas], Mixing] | None = None
    learned: tuple[str, ...] = ("alpha", "gamma", "beta", "output")
    moves: Callable[[float], bool] = field(default=lambda share: True)
    rate: float = 3e-3
    decay: float = 1e-3
    order: Order = "first"
    together: bool = False
    penalty: Callable[[Alphas, Mixing], Tensor] = field(default=lambda alphas, mixing: torch.zeros(()))
    weights: Callable[[Alphas, float, Loss], Mixing] | None = None
    prepare: Callable[[Supernet], None] = field(default=lambda supernet: None)
    after: Callable[[Moment], Row] = field(default=lambda moment: {})
    stops: Callable[[Sequence[Row]], bool] = field(default=lambda history: False)

    @classmethod
    def of(cls, search: Search, mixing: Callable[[Alphas, float], Mixing], **specifics: Any) -> Relaxed:
        """Warm-up, rate and order as the space file says; ``specifics``: any other attributes."""
        usual = {"moves": lambda share: share >= search.warmup, "rate": search.alpha_rate, "order": search.order}
        return cls(mixing, **{**usual, **specifics})

    def at_rest(self, alphas: Alphas) -> Mixing:
        """The Mixing to score and to decode."""
        with torch.no_grad():
            return self.mixing(alphas, 1.0) if self.settled is None else self.settled(alphas)

    def parameters(self, alphas: Alphas) -> dict[str, nn.Parameter]:
        """Those of the alphas that are learned, by name."""
        kinds = [kind for kind in self.learned for kind in (kind, f"{kind}_none")]
        return {name: p for name, p in alphas.named_parameters() if name.split(".")[0] in kinds}


class SupernetTraining:
    """One training of a supernet and its alphas, in place.

    Args:
        supernet, alphas: freshly initialised, pretrained encoders loaded.
        data: train for weights, alpha for alphas, select to watch.
        relaxed: how alphas become mixing weights, and which of them move when.
        recipe: rates and batch size of the weights, encoder policies, training methods.
        seed: of batches, dropout and what training methods draw.
    """

    def __init__(
        self,
        supernet: Supernet,
        alphas: Alphas,
        data: SearchData,
        relaxed: Relaxed,
        recipe: Recipe,
        *,
        seed: int,
    ) -> None:
        self.supernet, self.alphas, self.data, self.relaxed = supernet, alphas, data, relaxed
        self.recipe, self.seed = recipe, seed
        relaxed.prepare(supernet)
        space = supernet.space
        reads = Reads.of(space.points(), recipe, width=space.file.fusion.width, outputs=supernet.signature.outputs)
        with seeded(derive(seed, "methods")):
            self.methods = Methods(recipe, reads)
        self.frozen = recipe.having("frozen", "adapt")
        self.weights = make_optimizer(supernet, recipe, beside=self.methods)
        self.learned = list(relaxed.parameters(alphas).values())
        self.steps = torch.optim.Adam(
            self.learned or [nn.Parameter(torch.zeros(1))], lr=relaxed.rate, betas=(0.5, 0.999),
            weight_decay=relaxed.decay,
        )  # fmt: skip
        self.generator, self.train = torch.Generator().manual_seed(derive(seed, "batches")), data.train
        self.history: list[Row] = []

    def run(self, pace: Pace, checkpoint: Checkpoint, watch: Callable[[Mapping[str, Any]], None]) -> list[Row]:
        """Train until the pace or the method ends it; one row per epoch.

        Args:
            pace: epoch -> share of the search that is done before it.
            checkpoint: where to save and resume.
            watch: is told ``epoch``, ``loss`` and ``entropy`` after each epoch.

        Raises:
            FusionNASError: the loss is not finite.
        """
        with seeded(derive(self.seed, "dropout")):
            if (saved := checkpoint.load()) is not None:
                self._restore(saved)
            self.train = self.methods.kept(self.data.train)
            encoded = self._encoded()
            while not self.relaxed.stops(self.history) and (share := pace(len(self.history))) < 1:
                self._epoch(share, encoded)
                self.history.append(self._row(share))
                row = self.history[-1]
                watch({"epoch": len(self.history), "loss": row["loss"], "entropy": row["entropy"]})
                if checkpoint.due():
                    checkpoint.save(self._saved())
        return self.history

    def _epoch(self, share: float, encoded: dict[str, list[Feature]]) -> None:
        with torch.no_grad():
            mixing = self.relaxed.mixing(self.alphas, share)
        self.methods.begin(len(self.history), _trainee(self.supernet, mixing), self.data.train)
        cosine(self.weights, share, 1)
        self.supernet.train()
        for name in self.frozen:
            self.supernet.encoders[name].eval()
        size = self.recipe.training.batch_size
        moving = bool(self.learned) and self.relaxed.moves(share)
        held_out = _forever(self.data.alpha, size, self.generator) if moving and not self.relaxed.together else None
        for index in self.train.indices(size, self.generator):
            batch, ready = self.train.rows(index), encoded_rows(encoded, index)
            if held_out is not None:
                self._alpha_step(next(held_out), self._loss(batch, ready), share)
            self._weight_step(batch, ready, share, together=moving and self.relaxed.together)

    def _loss(self, batch: Part, ready: Encoded | None = None) -> Loss:
        def loss(mixing: Mixing) -> Tensor:
            return nll(self.supernet(self.methods.inputs(batch.inputs), mixing, ready), batch.target).mean()

        return loss

    def _alpha_step(self, batch: Part, training_loss: Loss, share: float) -> None:
        relaxed, learned, loss = self.relaxed, self.learned, self._loss(batch)

        def held_out() -> Tensor:
            mixing = relaxed.mixing(self.alphas, share)
            return loss(mixing) + relaxed.penalty(self.alphas, mixing)

        if relaxed.order == "first":
            gradients = torch.autograd.grad(held_out(), learned, materialize_grads=True)
        else:
            trained = [p for group in self.weights.param_groups for p in group["params"]]
            gradients = tuple(second_order_gradient(
                lambda: training_loss(relaxed.mixing(self.alphas, share)), held_out, trained, learned,
                rate=self.weights.param_groups[0]["lr"], differences=relaxed.order == "finite_difference",
            ))  # fmt: skip
        for parameter, gradient in zip(learned, gradients, strict=True):
            parameter.grad = gradient
        self.steps.step()

    def _weight_step(self, batch: Part, ready: Encoded, share: float, *, together: bool) -> None:
        relaxed, supernet, methods = self.relaxed, self.supernet, self.methods
        with torch.set_grad_enabled(together):
            if relaxed.weights is None:
                mixing = relaxed.mixing(self.alphas, share)
            else:
                mixing = relaxed.weights(self.alphas, share, self._loss(batch, ready))
        loss, step = methods.loss(_trainee(supernet, mixing, ready), batch.inputs, batch.target)
        if together:
            loss = loss + relaxed.penalty(self.alphas, mixing)
        self.weights.zero_grad(set_to_none=True)
        self.steps.zero_grad(set_to_none=True)
        loss.backward()
        methods.gradients(step, dict(supernet.encoders.items()))
        nn.utils.clip_grad_norm_([*supernet.parameters(), *methods.parameters()], 5.0)
        self.weights.step()
        if together:
            self.steps.step()

    def _row(self, share: float) -> Row:
        mixing = self.relaxed.at_rest(self.alphas)
        loss = finite(float(supernet_loss(self.supernet, mixing, self.data.select).mean()), len(self.history) + 1)
        row: Row = {"loss": loss, "entropy": self.alphas.entropy()}
        if self.learned:
            learned = self.relaxed.parameters(self.alphas)
            row["alphas"] = {name: rows for name, rows in mixing.rounded().items() if name in learned}
        moment = Moment(self.supernet, self.alphas, self.data, share, [*self.history, row])
        return {**row, **self.relaxed.after(moment)}

    def _encoded(self) -> dict[str, list[Feature]]:
        """Features of frozen encoders, which have one choice per layer, computed once."""
        self.supernet.eval()
        frozen = [] if self.methods.changes_inputs else self.frozen
        ones = {name: torch.ones(self.supernet.space.file.modalities[name].levels, 1) for name in frozen}
        encoders = {name: partial(self.supernet.encoders[name], weights=w) for name, w in ones.items()}
        return encode_frozen(encoders, self.train.inputs)

    def _saved(self) -> dict[str, Any]:
        return {
            "supernet": self.supernet.state_dict(), "alphas": self.alphas.state_dict(),
            "weights": self.weights.state_dict(), "steps": self.steps.state_dict(),
            "methods": self.methods.state_dict(),
            "torch": torch.get_rng_state(), "batches": self.generator.get_state(), "history": self.history,
        }  # fmt: skip

    def _restore(self, saved: dict[str, Any]) -> None:
        self.supernet.load_state_dict(saved["supernet"])
        self.alphas.load_state_dict(saved["alphas"])
        self.weights.load_state_dict(saved["weights"])
        self.steps.load_state_dict(saved["steps"])
        self.methods.load_state_dict(saved["methods"])
        torch.set_rng_state(saved["torch"])
        self.generator.set_state(saved["batches"])
        self.history = saved["history"]


def _trainee(supernet: Supernet, mixing: Mixing, encoded: Encoded | None = None) -> Trainee:
    encode = partial(Supernet.encode, mixing=mixing, encoded=encoded)
    return Trainee(supernet, encode, partial(Supernet.decode, mixing=mixing))


def told(space: SearchSpace, history: Sequence[Row]) -> dict[str, Any]:
    """For ``results.json``: ``history``, and where alphas moved, their weights by epoch and what the columns mean."""
    facts: dict[str, Any] = {"history": [{key: v for key, v in row.items() if key != "alphas"} for row in history]}
    if alphas := [row["alphas"] for row in history if "alphas" in row]:
        facts |= {"alphas": alphas, "choices": {n: names for n, names in choices(space).items() if n in alphas[0]}}
    return facts


def _forever(part: Part, size: int, generator: torch.Generator) -> Iterator[Part]:
    while True:
        yield from part.batches(size, generator)


@torch.no_grad()
def supernet_loss(supernet: Supernet, mixing: Mixing, part: Part) -> Tensor:
    """Negative log-likelihood per sample, (N,), in eval mode."""
    supernet.eval()
    return torch.cat([nll(supernet(batch.inputs, mixing), batch.target) for batch in part.batches(512)])
