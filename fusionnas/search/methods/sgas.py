"""SGAS: choices are decided one after the other, the surest first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from pydantic import Field

from fusionnas.search.gradient import Moment, Relaxed, Row
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet import Alphas
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="DARTS that decides greedily: importance times certainty (times stability) says which choice is next",
    source='Li et al., "SGAS: Sequential Greedy Architecture Search", 2020, arXiv:1912.00195, criteria 1 and 2',
    departs=(
        "a choice is a slot, an operator, an encoder layer or the output, not an edge of a cell; decisions are spread "
        "evenly over the time after search.warmup; what is left at the end is decided by the largest weight"
    ),
    relaxed=True,
)


class Options(Section):
    """What is surest."""

    stability: int = Field(
        4, ge=0, examples=[0],
        description="Epochs over which weights should not have moved (criterion 2); 0: criterion 1.",
    )  # fmt: skip


@register_method("sgas", FACTS, Options)
def sgas(task: Task) -> Found:
    """One supernet, most of it decided before its training ends."""
    options, warmup = task.options(Options), task.space.file.search.warmup

    def after(moment: Moment) -> Row:
        if moment.share < warmup:
            return {"decided": []}
        rows = _rows(moment.alphas)
        due = math.ceil(len(rows) * (moment.share - warmup) / max(1 - warmup, 1e-9))
        done = sum(len(row["decided"]) for row in moment.history[:-1])
        return {"decided": [_decide(moment, options.stability) for _ in range(min(due, len(rows)) - done)]}

    relaxed = Relaxed.of(task.space.file.search, lambda alphas, share: alphas.mixing(softmax), after=after)
    return relaxed_search(task, relaxed)


def _rows(alphas: Alphas) -> list[tuple[str, int]]:
    """Group and row of every choice that is one at the start."""
    groups = alphas.mixing(softmax).groups()
    return [(name, row) for name, table in groups.items() for row in range(len(table)) if table.shape[1] > 1]


def _decide(moment: Moment, stability: int) -> list[str | int | float]:
    """Decide what is surest; group, row, choice and score."""
    weights = {name: rows.tolist() for name, rows in moment.alphas.mixing(softmax).groups().items()}
    before = [row["alphas"] for row in moment.history[-1 - stability : -1]] if stability else []
    scores = {
        (name, row): score(weights[name][row], [past[name][row] for past in before], name.startswith("alpha."))
        for name, row in _rows(moment.alphas)
        if int((moment.alphas.closed(name)[row] == 0).sum()) > 1
    }
    if not scores:
        return []
    name, row = max(scores, key=scores.__getitem__)
    choice = max(range(len(weights[name][row])), key=weights[name][row].__getitem__)
    moment.alphas.decide(name, row, choice)
    return [name, row, choice, round(scores[name, row], 6)]


def score(weights: Sequence[float], past: Sequence[Sequence[float]], slot: bool) -> float:
    """How sure a choice is: 0 to 1.

    Args:
        weights: of its options now.
        past: the same at earlier epochs; overlap of neighbouring ones is its stability.
        slot: the last option is "nothing", which counts as unimportant.
    """
    importance = 1 - weights[-1] if slot else 1.0
    entropy = -sum(w * math.log(w) for w in weights if w > 0) / math.log(max(sum(w > 0 for w in weights), 2))
    line = [*past, weights]
    overlaps = [sum(map(min, a, b)) for a, b in itertools.pairwise(line)]
    return importance * (1 - entropy) * (sum(overlaps) / len(overlaps) if overlaps else 1.0)
