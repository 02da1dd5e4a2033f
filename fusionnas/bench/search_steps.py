"""Steps of a search over a supernet, ours beside the plain loop: first order, pairs, second order."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.bench.alternated import SECONDS, alternated
from fusionnas.bench.naive import naive_logits, naive_pairs
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.operators import operators
from fusionnas.search.second_order import second_order_gradient
from fusionnas.search.steps import Drawn, Steps
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas, Mixing, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.supernet.packing import Packing
from fusionnas.supernet.pairs import mix_pairs
from fusionnas.training.randomness import seeded
from fusionnas.training.replay import AFTER

Row = dict[str, Any]

OPERATORS = ("additive", "multiplicative", "gated", "gated_softmax", "gated_sigmoid", "mlp", "film", "concat")
WIDTH, CLASSES, STATES, RATE = 64, 4, 18, 0.025
SPACE = f"""
name: steps
task: {{kind: multiclass}}
modalities:
  a: {{kind: vector, encoder: mlp, levels: 2}}
  b: {{kind: vector, encoder: mlp, levels: 2}}
  c: {{kind: vector, encoder: mlp, levels: 2}}
fusion: {{nodes: 3, width: {WIDTH}, inputs: 2, operators: [{", ".join(OPERATORS)}]}}
training: {{dropout: 0}}
"""


@dataclass(frozen=True)
class Scene:
    """A supernet, its architecture parameters, and two batches."""

    supernet: Supernet
    alphas: Alphas
    batches: tuple[tuple[dict[str, Feature], Tensor], ...]

    def loss(self, batch: int, logits: Callable[..., Tensor], alphas: Alphas | None = None) -> Tensor:
        """Mean loss on a batch, logits by the supernet itself or by the plain loop."""
        inputs, target = self.batches[batch]
        return functional.cross_entropy(logits(inputs, (alphas or self.alphas).mixing(softmax)), target)

    def gradient(self, logits: Callable[..., Tensor], parameters: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Of the first batch's loss."""
        return torch.autograd.grad(self.loss(0, logits), parameters, allow_unused=True)

    def naive(self, inputs: Mapping[str, Feature], mixing: Mixing, encoded: Any = None) -> Tensor:
        """The plain loop's logits."""
        return naive_logits(self.supernet, inputs, mixing)

    def drawn(self, batch: int) -> Drawn:
        """A batch, mixed by the alphas."""
        return Drawn(*self.batches[batch], lambda: self.alphas.mixing(softmax), {})


def scene(seed: int, batch: int) -> Scene:
    """Three modalities of three levels, three nodes, eight operators, width 64; random alphas and batches."""
    space = SearchSpace.parse(SPACE)
    with seeded(seed):
        supernet = Supernet(space, Signature({m: InputSpec(WIDTH) for m in "abc"}, CLASSES))
        alphas = Alphas(space)
        for parameter in alphas.parameters():
            nn.init.normal_(parameter)
        drawn = [
            ({m: Feature.vector(torch.randn(batch, WIDTH)) for m in "abc"}, torch.randint(CLASSES, (batch,)))
            for _ in range(2)
        ]
    return Scene(supernet, alphas, tuple(drawn))


def packed(seed: int, *, sizes: Sequence[int] = (32, 128)) -> list[Row]:
    """A first-order step of weights and alphas by the packed supernet and by the plain loop, optimizers left out.

    As published, the loop computes the gradients of weights and alphas on both batches; or it asks for what it needs.
    Ours is replayed, as in a search (:mod:`fusionnas.training.replay`), or as it is before that; the loop, too.
    """
    return [row for size in sizes for row in _packed(scene(seed, size), f"batch {size}")]


def _packed(at: Scene, setting: str) -> list[Row]:
    alphas = list(at.alphas.parameters())
    logits = [way(at.batches[0][0], at.alphas.mixing(softmax)).detach() for way in (at.supernet, at.naive)]
    apart = _apart(*(at.gradient(way, alphas) for way in (at.supernet, at.naive)))
    error = f"logits {float((logits[0] - logits[1]).abs().max()):.0e}, alpha gradients {apart:.0e}"
    seconds = alternated({
        "ours": warm(partial(_replayed, at, Steps(at.supernet))),
        "ours unrecorded": partial(_first_order, at, at.supernet),
        "published": partial(_first_order, at, at.naive, published=True),
        "frugal": partial(_first_order, at, at.naive),
        "recorded": warm(partial(_replayed, at, Steps(at.supernet, at.naive))),
    })  # fmt: skip
    rows = {
        "the loop as published": ("ours", "published", ">= 1.7"),
        "the loop asking for what it needs": ("ours", "frugal", ""),
        "before either is recorded": ("ours unrecorded", "published", ""),
        "the loop recorded, too": ("ours", "recorded", ""),
    }
    return [
        compared("packed supernet, one step", f"{setting}, {how}", {"ours": seconds[ours], "other": seconds[other]},
                 error, bar)
        for how, (ours, other, bar) in rows.items()
    ]  # fmt: skip


def _replayed(at: Scene, steps: Steps) -> None:
    """Gradients of the alphas on one batch, then those of the weights on the other."""
    training, held_out = (at.drawn(batch) for batch in (0, 1))
    steps.of_alphas(held_out, list(at.alphas.parameters()), _no_penalty)
    steps.of_weights(training)


def _first_order(at: Scene, logits: Callable[..., Tensor], *, published: bool = False) -> None:
    """As ``_replayed``, without recording."""
    weights, alphas = list(at.supernet.parameters()), list(at.alphas.parameters())
    both = [*weights, *alphas]
    torch.autograd.grad(at.loss(1, logits), both if published else alphas, allow_unused=True)
    with torch.set_grad_enabled(published):
        mixing = at.alphas.mixing(softmax)
    inputs, target = at.batches[0]
    loss = functional.cross_entropy(logits(inputs, mixing), target)
    torch.autograd.grad(loss, both if published else weights, allow_unused=True)


def compiled(
    seed: int, *, sizes: Sequence[int] = (32, 128), backend: str = "inductor", seconds: float = SECONDS
) -> list[Row]:
    """As ``packed``, ours one program of ``torch.compile``; each batch size has its own."""
    return [_compiled(scene(seed, size), f"batch {size}", backend, seconds) for size in sizes]


def _compiled(at: Scene, setting: str, backend: str, seconds: float) -> Row:
    alphas = list(at.alphas.parameters())
    parameters = [*at.supernet.parameters(), *alphas]

    def loss() -> Tensor:
        return at.loss(0, at.supernet)

    torch.compiler.reset()
    program = torch.compile(loss, fullgraph=True, dynamic=False, backend=backend)

    def step() -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(program(), parameters, allow_unused=True)

    start = time.monotonic()
    found = step()[-len(alphas) :]
    setting += f", compiled in {time.monotonic() - start:.0f} s"
    error = f"loss {abs(float((program() - at.loss(0, at.naive)).detach())):.0e}, "
    error += f"alpha gradients {_apart(found, at.gradient(at.naive, alphas)):.0e}"
    each = alternated({"ours": step, "other": partial(at.gradient, at.naive, parameters)}, seconds=seconds)
    return compared("packed supernet as one program, one step", setting, each, error, ">= 2")


def _apart(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> float:
    """The largest difference."""
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None)


def pairs(seed: int, *, states: int = STATES, size: int = 64) -> list[Row]:
    """Every pair of states through every operator: on states, and pair by pair."""
    with seeded(seed):
        node = {name: operators[name](2, WIDTH) for name in OPERATORS}
        given = torch.randn(states, size, WIDTH, requires_grad=True)
        weights = torch.rand(states * (states - 1) // 2, requires_grad=True)
        gamma = torch.rand(len(node), requires_grad=True)
    packing = Packing(node, 2, WIDTH)
    ways: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: mix_pairs(node, packing, given, weights, gamma),
        "other": lambda: naive_pairs(node, given, weights, gamma),
    }
    parameters = [p for operator in node.values() for p in operator.parameters()] + [given, weights, gamma]
    ours, other = (way().detach() for way in ways.values())
    steps = {
        name: partial(_step, way, parameters) for name, way in ways.items()
    }
    seconds = alternated(steps, blocks=3)
    error = f"{float((ours - other).abs().max() / other.abs().max()):.0e} of the largest"
    setting = f"{len(weights)} pairs, {len(node)} operators, batch {size}"
    return [compared("pairs of states", setting, seconds, error, ">= 6")]


def _step(way: Callable[[], Tensor], parameters: Sequence[Tensor]) -> None:
    torch.autograd.grad(way().mean(), parameters, allow_unused=True)


def second_order(seed: int, *, sizes: Sequence[int] = (32, 128)) -> list[Row]:
    """The alpha gradient: exact and packed, beside a new model, central differences and the plain loop."""
    rows = []
    for size in sizes:
        at = scene(seed, size)
        error, paper = _errors(at)
        ours = warm(partial(_exact, at, Steps(at.supernet)))
        seconds = alternated({"ours": ours, "other": partial(_as_published, at)})
        setting = f"batch {size}; the paper's differences are {100 * paper:.2g} % off"
        rows.append(compared("second order", setting, seconds, f"implicit term {error:.0e}", ">= 1.9"))
    return rows


def compared(part: str, setting: str, seconds: dict[str, float], error: str, bar: str) -> Row:
    """A row: milliseconds of ours and of the other, and their ratio."""
    ours, other = 1e3 * seconds["ours"], 1e3 * seconds["other"]
    return row(part, setting, ours=f"{ours:.2f} ms", other=f"{other:.2f} ms", ratio=f"{other / ours:.2f}", error=error,
               bar=bar)  # fmt: skip


def row(part: str, setting: str, **values: str) -> Row:
    """A row of the table; what is not given stays empty."""
    return {"part": part, "setting": setting} | {
        key: values.get(key, "") for key in ("ours", "other", "ratio", "error", "bar", "memory_mb")
    }


def _exact(at: Scene, steps: Steps) -> list[Tensor]:
    return steps.second_order(at.drawn(0), at.drawn(1), list(at.alphas.parameters()), _no_penalty, rate=RATE)


def _unrecorded(at: Scene, *, frozen: bool = False, differences: bool = False) -> list[Tensor]:
    """``frozen``: without the implicit term, as the training loss then does not see the alphas."""
    alphas = copy.deepcopy(at.alphas) if frozen else at.alphas
    return second_order_gradient(
        lambda: at.loss(0, at.supernet, alphas), lambda: at.loss(1, at.supernet), list(at.supernet.parameters()),
        list(at.alphas.parameters()), rate=RATE, differences=differences,
    )  # fmt: skip


def _errors(at: Scene) -> tuple[float, float]:
    """Of the implicit term, relative to it in 64 bits: by our step, and by the paper's differences."""
    double = Scene(copy.deepcopy(at.supernet).double(), copy.deepcopy(at.alphas).double(), tuple(
        ({m: f._replace(values=f.values.double()) for m, f in inputs.items()}, target) for inputs, target in at.batches
    ))  # fmt: skip
    true = _flat(_unrecorded(double)) - _flat(_unrecorded(double, frozen=True))
    direct = _flat(_unrecorded(at, frozen=True))
    found = [_flat(one) - direct for one in (_exact(at, Steps(at.supernet)), _unrecorded(at, differences=True))]
    exact, paper = (float((one - true).norm() / true.norm()) for one in found)
    return exact, paper


def warm(step: Callable[[], object]) -> Callable[[], object]:
    """The same, called until it is recorded."""
    for _ in range(AFTER + 2):
        step()
    return step


def _no_penalty(mixing: Mixing) -> Tensor:
    return torch.zeros(())


def _as_published(at: Scene) -> list[Tensor]:
    """As the published code does it: the step's weights in a new model, the plain loop, central differences."""
    weights, alphas = list(at.supernet.parameters()), list(at.alphas.parameters())
    inner = at.gradient(at.naive, weights)
    moved = Scene(copy.deepcopy(at.supernet), at.alphas, at.batches)
    _add(list(moved.supernet.parameters()), inner, -RATE)
    outer = torch.autograd.grad(
        moved.loss(1, moved.naive), [*alphas, *moved.supernet.parameters()], allow_unused=True
    )
    direct, along = outer[: len(alphas)], outer[len(alphas) :]
    step = 0.01 / float(torch.cat([v.flatten() for v in along if v is not None]).norm())
    sides = []
    for sign in (step, -2 * step):
        _add(weights, along, sign)
        sides.append(at.gradient(at.naive, alphas))
    _add(weights, along, step)
    slopes = [_filled(found, alphas) for found in (direct, *sides)]
    return [d - RATE * (up - down) / (2 * step) for d, up, down in zip(*slopes, strict=True)]


def _filled(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]


@torch.no_grad()
def _add(weights: Sequence[Tensor], direction: Sequence[Tensor | None], step: float) -> None:
    for weight, along in zip(weights, direction, strict=True):
        if along is not None:
            weight.add_(along, alpha=step)


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten().double() for gradient in gradients])
