"""MFAS: fusion grows node by node, a surrogate says which extensions to train."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from fusionnas.architecture import Architecture
from fusionnas.search.encoders import train_unimodal
from fusionnas.search.evaluations import Evaluations, Trained
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.space.schema import Section
from fusionnas.training.randomness import derive, seeded

FACTS = MethodFacts(
    summary="progressive search on frozen unimodal encoders: an LSTM predicts losses, samples cool down",
    source='Perez-Rua et al., "MFAS: Multimodal Fusion Architecture Search", 2019, arXiv:1903.06496',
    departs=(
        "nodes and operators are those of the space, not concatenation with a choice of nonlinearity; heads share no "
        "weights; the temperature goes by level and iteration (the published code's index repeats); losses instead of "
        "accuracies; clean protocol"
    ),
)
_POOL = 1000  # extensions that the surrogate looks at
_HIDDEN, _EPOCHS = 100, 50


class Options(Trained, Section):
    """Of the progressive search."""

    samples: int = Field(15, ge=1, description="Candidates that are trained per level.", examples=[7])
    iterations: int = Field(3, ge=1, description="Times that the levels are gone through.", examples=[1])


@register_method("mfas", FACTS, Options)
def mfas(task: Task) -> Found:
    """Levels 1 to ``fusion.nodes``, several times; with a budget, until it is used."""
    options = task.options(Options)
    evaluations, rng = Evaluations(task, options, train_unimodal), random.Random(derive(task.seed, "mfas"))
    levels, step, idle = task.space.file.fusion.nodes, 0, 0
    while not evaluations.over and idle < levels and (evaluations.budget.limited or step < options.iterations * levels):
        pool = _extensions(evaluations, step % levels, rng)
        predicted = predict(evaluations, pool, derive(task.seed, "surrogate", step))
        idle = 0 if evaluations.train(_sampled(pool, predicted, heat(step), options.samples, rng)) else idle + 1
        step += 1
    return evaluations.found()


def heat(step: int) -> float:
    """Temperature of the sampling at a step, counted over all iterations and levels: from nearly 10 down to 0.2."""
    return 0.2 + 9.8 * math.exp(-((step + 1) ** 2) / 16)


def _extensions(evaluations: Evaluations, level: int, rng: random.Random) -> list[Architecture]:
    """Unknown architectures of one node; or the best of ``level`` nodes, each with one more."""
    space, known = evaluations.task.space, evaluations.scores
    if level == 0:
        drawn = [evaluations.fitted(space.sample(rng, nodes=1)) for _ in range(_POOL)]
        return [a for a in dict.fromkeys(drawn) if a not in known]
    best = [a for a in evaluations.ranked() if len(a.nodes) == level][: evaluations.most]
    longer = [evaluations.fitted(n) for a in best[:10] for n in space.neighbours(a) if len(n.nodes) == level + 1]
    new = [a for a in dict.fromkeys(longer) if a not in known]
    return rng.sample(new, min(len(new), _POOL))


def _sampled(
    pool: list[Architecture], predicted: Sequence[float], heat: float, count: int, rng: random.Random
) -> list[Architecture]:
    """Without replacement, by ``exp(-loss / heat)``: the Gumbel trick."""
    keys = [-loss / heat - math.log(-math.log(rng.random() or 1e-12)) for loss in predicted]
    return [pool[i] for i in sorted(range(len(pool)), key=lambda i: -keys[i])[:count]]


def predict(evaluations: Evaluations, pool: Sequence[Architecture], seed: int) -> list[float]:
    """Losses of ``pool``, standardised, by an LSTM fitted to all that is known; zeros while nothing is."""
    known = [(a, s.loss) for a, s in evaluations.scores.items() if math.isfinite(s.loss) and a.nodes]
    if len(known) < 2 or not pool:
        return [0.0] * len(pool)
    losses = torch.tensor([loss for _, loss in known])
    wanted = (losses - losses.mean()) / losses.std().clamp_min(1e-6)
    with seeded(seed):
        surrogate = Surrogate(_features(evaluations, [known[0][0]]).shape[-1])
        optimizer = torch.optim.Adam(surrogate.parameters(), lr=1e-2)
        inputs = _features(evaluations, [a for a, _ in known])
        for _ in range(_EPOCHS):
            optimizer.zero_grad(set_to_none=True)
            (surrogate(inputs) - wanted).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            values: list[float] = surrogate(_features(evaluations, pool)).tolist()
    return values


class Surrogate(nn.Module):
    """An LSTM over nodes and a linear map of its last state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm, self.readout = nn.LSTM(width, _HIDDEN, batch_first=True), nn.Linear(_HIDDEN, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """(A, N, F) -> (A,)."""
        states, _ = self.lstm(nodes)
        scores: Tensor = self.readout(states[:, -1])[:, 0]
        return scores


def _features(evaluations: Evaluations, architectures: Sequence[Architecture]) -> Tensor:
    """(A, N, F): per node what it reads and its operator; shorter ones are padded in front."""
    space = evaluations.task.space
    names, sources = space.file.fusion.operators, len(space.points()) + space.file.fusion.nodes
    found = torch.zeros(len(architectures), space.file.fusion.nodes, sources + len(names))
    for row, architecture in zip(found, architectures, strict=True):
        for index, node in enumerate(architecture.nodes):
            place = row[space.file.fusion.nodes - len(architecture.nodes) + index]
            place[[space.position(source) for source in node.inputs]] = 1.0
            place[sources + names.index(node.operator)] = 1.0
    return found
