"""The training loop of a supernet: weights on train, architecture parameters on alpha.

Bilevel optimisation by alternating steps (Liu et al., "DARTS", 2019, arXiv:1806.09055). Departs from it: the
architecture parameters stay still for the first epochs (warm-up), which keeps them off the modality that is merely
learned first; second-order gradients are exact (:mod:`fusionnas.search.second_order`).

Time is told as the *share* of the search that is done, 0 to 1: warm-up, annealing and learning rates then mean the same
however long a budget lets the search go on.

Several ranks (:mod:`fusionnas.training.ranks`) may share the batches; the steps are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from fusionnas.data.base import Part, SearchData
from fusionnas.device import compute_device, placed
from fusionnas.errors import FusionNASError
from fusionnas.feature import Feature
from fusionnas.layers import Dropout
from fusionnas.network import Encoded, encode_frozen, encoded_rows
from fusionnas.run.unit import Checkpoint
from fusionnas.search.budget import Pace
from fusionnas.search.second_order import second_order_gradient
from fusionnas.search.steps import Drawn, Steps
from fusionnas.space.schema import Search
from fusionnas.supernet import Alphas, Mixing, Supernet, choices
from fusionnas.training.method import Methods, Reads, Trainee
from fusionnas.training.optimizer import cosine, make_optimizer
from fusionnas.training.randomness import derive, random_state, seeded, set_random_state
from fusionnas.training.ranks import Alone, Ranks, own_rows, summed_backward
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
        self.ranks: Ranks = Alone()
        self.replayed = Steps(supernet)

    def run(
        self, pace: Pace, checkpoint: Checkpoint, watch: Callable[[Mapping[str, Any]], None], ranks: Ranks | None = None
    ) -> list[Row]:
        """Train until the pace or the method ends it; one row per epoch.

        Args:
            pace: epoch -> share of the search that is done before it.
            checkpoint: where to save and resume.
            watch: is told ``epoch``, ``loss`` and ``entropy`` after each epoch.
            ranks: who shares the batches; pace, checkpoint and watch are those of rank 0. None: nobody.

        Raises:
            FusionNASError: the loss is not finite, or the ranks do not agree. InputError: the device is not there.
        """
        device, data = compute_device(self.recipe.device), self.data
        with placed(device, self.supernet, self.methods):
            self.data = data.to(device)
            try:
                return self._run(pace, checkpoint, watch, ranks or Alone())
            finally:
                self.data, self.train = data, data.train

    def _run(
        self, pace: Pace, checkpoint: Checkpoint, watch: Callable[[Mapping[str, Any]], None], ranks: Ranks
    ) -> list[Row]:
        self.ranks = ranks
        with seeded(derive(self.seed, "dropout")):
            if (saved := ranks.agreed(checkpoint.load)) is not None:
                self.restore(saved)
            self.train = self.methods.kept(self.data.train)
            encoded = self._encoded()
            while not self.relaxed.stops(self.history) and (share := self._share(pace)) < 1:
                self._epoch(share, encoded)
                self.history.append(self._row(share))
                self._check_ranks()
                ranks.agreed(lambda: self._keep(checkpoint, watch))
        return self.history

    def _share(self, pace: Pace) -> float:
        return self.ranks.agreed(lambda: pace(len(self.history)))

    def _keep(self, checkpoint: Checkpoint, watch: Callable[[Mapping[str, Any]], None]) -> None:
        row = self.history[-1]
        watch({"epoch": len(self.history), "loss": row["loss"], "entropy": row["entropy"]})
        if checkpoint.due():
            checkpoint.save(self.saved())

    def _check_ranks(self) -> None:
        states = (value for module in (self.supernet, self.alphas) for value in module.state_dict().values())
        if not self.ranks.alike(states):
            raise FusionNASError(
                f"the ranks' supernets differ after epoch {len(self.history)}; an operator or encoder that keeps "
                "statistics of its batches does that, and needs search.data_parallel: 1"
            )

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
                self._alpha_step(next(held_out), batch, ready, share)
            self._weight_step(batch, ready, share, together=moving and self.relaxed.together)

    def _loss(self, batch: Part, ready: Encoded | None = None) -> Loss:
        def loss(mixing: Mixing) -> Tensor:
            own, encoded, weight = self._own(batch, ready)
            return weight * nll(self.supernet(own.inputs, mixing, encoded), own.target).mean()

        return loss

    def _own(self, batch: Part, ready: Encoded | None) -> tuple[Part, Encoded | None, float]:
        """This rank's rows of a batch as training methods change it, and their weight in the batch's mean."""
        batch = replace(batch, inputs=dict(self.methods.inputs(batch.inputs)))
        if self.ranks.size == 1:
            return batch, ready, 1.0
        rows = own_rows(self.ranks, len(batch))
        for module in self.supernet.modules():
            if isinstance(module, Dropout):
                module.rows = rows
        index = torch.arange(len(batch))[rows.own]
        return batch.rows(index), encoded_rows(ready or {}, index), rows.weight

    def _alpha_step(self, held_out: Part, batch: Part, ready: Encoded, share: float) -> None:
        if self._plain and self.relaxed.order != "finite_difference":
            gradients = self._replayed(held_out, batch, ready, share)
        else:
            gradients = self._alpha_gradients(self._loss(held_out), self._loss(batch, ready), share)
        for parameter, gradient in zip(self.learned, gradients, strict=True):
            parameter.grad = gradient
        self.steps.step()

    @property
    def _plain(self) -> bool:
        """Whether a step is the loss's gradient and nothing else."""
        return self.ranks.size == 1 and not self.methods.methods

    def _replayed(self, held_out: Part, batch: Part, ready: Encoded, share: float) -> list[Tensor]:
        relaxed = self.relaxed
        mixing, penalty = partial(relaxed.mixing, self.alphas, share), partial(relaxed.penalty, self.alphas)
        held = Drawn(held_out.inputs, held_out.target, mixing, {})
        if relaxed.order == "first":
            return self.replayed.of_alphas(held, self.learned, penalty)
        rate = self.weights.param_groups[0]["lr"]
        own = Drawn(batch.inputs, batch.target, mixing, ready)
        return self.replayed.second_order(own, held, self.learned, penalty, rate=rate)

    def _alpha_gradients(self, loss: Loss, training_loss: Loss, share: float) -> list[Tensor]:
        relaxed, learned = self.relaxed, self.learned

        def held_out() -> Tensor:
            mixing = relaxed.mixing(self.alphas, share)
            return loss(mixing) + relaxed.penalty(self.alphas, mixing) / self.ranks.size

        if relaxed.order == "first":
            return self._total(torch.autograd.grad(held_out(), learned, materialize_grads=True))
        trained = [p for group in self.weights.param_groups for p in group["params"]]
        return second_order_gradient(
            lambda: training_loss(relaxed.mixing(self.alphas, share)), held_out, trained, learned,
            rate=self.weights.param_groups[0]["lr"], differences=relaxed.order == "finite_difference",
            total=self._total,
        )  # fmt: skip

    def _total(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        return [total for total in self.ranks.summed(gradients, gradients) if total is not None]

    def _weight_step(self, batch: Part, ready: Encoded, share: float, *, together: bool) -> None:
        relaxed, supernet, methods = self.relaxed, self.supernet, self.methods
        with torch.set_grad_enabled(together):
            if relaxed.weights is None:
                mixing = relaxed.mixing(self.alphas, share)
            else:
                mixing = relaxed.weights(self.alphas, share, self._whole_loss(batch, ready))
        self.weights.zero_grad(set_to_none=True)
        self.steps.zero_grad(set_to_none=True)
        if self._plain and not together:
            found = self.replayed.of_weights(Drawn(batch.inputs, batch.target, lambda: mixing, ready))
            for parameter, gradient in zip(self.replayed.weights, found, strict=True):
                parameter.grad = gradient
        else:
            self._descend(batch, ready, mixing, together=together)
        nn.utils.clip_grad_norm_([*supernet.parameters(), *methods.parameters()], 5.0)
        self.weights.step()
        if together:
            self.steps.step()

    def _descend(self, batch: Part, ready: Encoded, mixing: Mixing, *, together: bool) -> None:
        """Leave gradients where they belong, as training methods change them and summed over ranks."""
        supernet, methods = self.supernet, self.methods
        own, encoded, weight = self._own(batch, ready)
        loss, step = methods.loss(_trainee(supernet, mixing, encoded), own.inputs, own.target)
        loss = weight * loss
        if together:
            loss = loss + self.relaxed.penalty(self.alphas, mixing) / self.ranks.size
        loss.backward()
        self._sum_gradients([*supernet.parameters(), *methods.parameters(), *(self.learned if together else ())])
        methods.gradients(step, dict(supernet.encoders.items()))

    def _whole_loss(self, batch: Part, ready: Encoded) -> Loss:
        """The loss on this rank's rows, whose gradient in the mixing is that of the whole batch."""
        loss = self._loss(batch, ready)

        def whole(mixing: Mixing) -> Tensor:
            groups = mixing.groups()
            return loss(Mixing.of(dict(zip(groups, summed_backward(self.ranks, [*groups.values()]), strict=True))))

        return whole

    def _sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        sums = self.ranks.summed([parameter.grad for parameter in parameters], parameters)
        for parameter, gradient in zip(parameters, sums, strict=True):
            parameter.grad = gradient

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

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds; alike on all ranks."""
        return {
            "supernet": self.supernet.state_dict(), "alphas": self.alphas.state_dict(),
            "weights": self.weights.state_dict(), "steps": self.steps.state_dict(),
            "methods": self.methods.state_dict(),
            **random_state(), "batches": self.generator.get_state(), "history": self.history,
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from ``saved``."""
        self.supernet.load_state_dict(saved["supernet"])
        self.alphas.load_state_dict(saved["alphas"])
        self.weights.load_state_dict(saved["weights"])
        self.steps.load_state_dict(saved["steps"])
        self.methods.load_state_dict(saved["methods"])
        set_random_state(saved)
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
