"""EMAP: the best additive approximation of a function of several modalities, on the samples at hand.

Hessel & Lee, "Does my multimodal model learn cross-modal interactions?", EMNLP 2020, arXiv:2010.06572, algorithm 1:
``f^(a, b) = E_b[f(a, .)] + E_a[f(., b)] - E[f]``. For M modalities it is the sum of a constant and one centred main
effect each, every other modality drawn independently of it (Sobol's decomposition, first order).

Departs: any number of modalities; pairs in blocks of bounded memory instead of N² Python objects; sums in float64.
With two modalities and at most ``EXACT`` samples all N² pairs are evaluated. Else each main effect is averaged over
drawn partners; every modality of the partners is a permutation of the samples, so that a function which is additive is
reproduced exactly all the same, and leaving out one tenth of the draws at a time gives the error of what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Evaluate = Callable[[Mapping[str, Tensor]], Tensor]
"""Per modality, which sample it is taken from, (B,) int64 -> values (B, C): the function to project."""

EXACT = 4000
"""Most samples for which all pairs of two modalities are evaluated."""
MOST = EXACT**2
"""Most evaluations where partners are drawn."""
BLOCKS = 10
CHUNK = 8192


@dataclass(frozen=True)
class Projection:
    """A constant and one centred component per modality.

    Attributes:
        components: per modality (N, C) float64 with mean zero: ``E[f | x_m] - E[f]``.
        constant: (C,) float64, ``E[f]`` over independent modalities.
        jackknife: (K, N, C), the projection with one block of draws left out each; K = 0 where it is exact.
        evaluations: how often the function was evaluated.
    """

    components: Mapping[str, Tensor]
    constant: Tensor
    jackknife: Tensor
    evaluations: int

    @property
    def exact(self) -> bool:
        """Whether all pairs were evaluated."""
        return len(self.jackknife) == 0

    @property
    def values(self) -> Tensor:
        """The projection of every sample, (N, C) float64."""
        return torch.stack([*self.components.values()]).sum(0) + self.constant

    def uncentred(self) -> dict[str, Tensor]:
        """The paper's terms ``E[f | x_m]``: their sum less (M - 1) times the constant is the same projection."""
        return {name: component + self.constant for name, component in self.components.items()}

    def error_of(self, statistic: Callable[[Tensor], float]) -> float:
        """Standard error, from the draws alone, of a statistic of the projection; 0 where it is exact."""
        if self.exact:
            return 0.0
        each = torch.tensor([statistic(values) for values in self.jackknife], dtype=torch.float64)
        count = len(each)
        return float(((each - each.mean()).square().sum() * (count - 1) / count).sqrt())


@torch.no_grad()
def project(
    evaluate: Evaluate,
    modalities: Sequence[str],
    size: int,
    *,
    generator: torch.Generator,
    exact: int = EXACT,
    most: int = MOST,
) -> Projection:
    """Project a function of ``size`` samples.

    Args:
        evaluate: the function, see ``Evaluate``.
        modalities: what it depends on.
        size: number of samples N.
        generator: of the draws.
        exact: most samples for which all pairs of two modalities are evaluated.
        most: most evaluations otherwise; at least ``BLOCKS`` partners are drawn.
    """
    first = modalities[0]
    if len(modalities) == 1:
        values = _all(evaluate, [{first: torch.arange(size)}])
        return Projection({first: values - values.mean(0)}, values.mean(0), values.new_zeros(0, *values.shape), size)
    if len(modalities) == 2 and size <= exact:
        return _all_pairs(evaluate, first, modalities[1], size)
    return _drawn(evaluate, modalities, size, generator, most)


def _all_pairs(evaluate: Evaluate, first: str, second: str, size: int) -> Projection:
    rows: list[Tensor] = []
    columns: Tensor | float = 0.0
    step, every = max(1, CHUNK // size), torch.arange(size)
    for block in every.split(step):
        index = {first: block.repeat_interleave(size), second: every.repeat(len(block))}
        values = evaluate(index).double().reshape(len(block), size, -1)
        rows.append(values.mean(1))
        columns = columns + values.sum(0)
    of_first, of_second = torch.cat(rows), torch.as_tensor(columns) / size
    mean = of_first.mean(0)
    return Projection({first: of_first - mean, second: of_second - mean}, mean, mean.new_zeros(0, size, 1), size**2)


def _drawn(
    evaluate: Evaluate, modalities: Sequence[str], size: int, generator: torch.Generator, most: int
) -> Projection:
    partners = max(BLOCKS, min(size, most // (len(modalities) * size)))
    effects = {name: _effect(evaluate, modalities, name, (size, partners), generator) for name in modalities}
    rounds = [{name: torch.randperm(size, generator=generator) for name in modalities} for _ in range(BLOCKS)]
    means = torch.stack([_all(evaluate, [one]).mean(0) for one in rounds])
    components, left_out = {}, torch.zeros(())
    for name, blocks in effects.items():
        components[name] = _centred(blocks.mean(0))
        left_out = left_out + torch.stack([_centred(_without(blocks, k)) for k in range(BLOCKS)])
    constants = torch.stack([_without(means, k) for k in range(BLOCKS)])
    evaluations = len(modalities) * size * partners + BLOCKS * size
    return Projection(components, means.mean(0), left_out + constants.unsqueeze(1), evaluations)


def _effect(
    evaluate: Evaluate, modalities: Sequence[str], name: str, sizes: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Means over blocks of partners, (BLOCKS, N, C): modality ``name`` from each sample, the others from partners."""
    size, count = sizes
    others = {other: torch.randperm(size, generator=generator)[:count] for other in modalities if other != name}
    blocks = []
    for chosen in torch.arange(count).tensor_split(BLOCKS):
        total = [
            evaluate(
                {name: rows.repeat_interleave(len(chosen))}
                | {other: drawn[chosen].repeat(len(rows)) for other, drawn in others.items()}
            ).double().reshape(len(rows), len(chosen), -1).mean(1)
            for rows in torch.arange(size).split(max(1, CHUNK // len(chosen)))
        ]  # fmt: skip
        blocks.append(torch.cat(total))
    return torch.stack(blocks)


def _all(evaluate: Evaluate, indices: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Values (N, C) of every index, in chunks."""
    found = []
    for index in indices:
        for rows in torch.arange(len(next(iter(index.values())))).split(CHUNK):
            found.append(evaluate({name: chosen[rows] for name, chosen in index.items()}).double())
    return torch.cat(found)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(0)


def _without(blocks: Tensor, left_out: int) -> Tensor:
    """Mean over all blocks but one."""
    return (blocks.sum(0) - blocks[left_out]) / (len(blocks) - 1)
