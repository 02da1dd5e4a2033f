"""Fusion chooser: where on the chart from homogeneous to heterogeneous modalities to start, before any search.

The chart (Morency & Liang, Multimodal machine learning, CMU 11-777, 2023): late, additive, multiplicative, tensor,
polynomial, modality shift, gated, nonlinear, then attention. Quick models without networks say how much each kind of
fusion is worth on held-out samples; the place is the first on the chart beyond which nothing more is gained.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionnas.data.base import Dataset, Part
from fusionnas.diagnostics.chart import Chart, Intervals, Shades
from fusionnas.diagnostics.findings import Findings
from fusionnas.diagnostics.measures.quick import ADDITIVE, INTERACTIVE, PRODUCTS, TREES, probabilities_of
from fusionnas.diagnostics.measures.summaries import reduced, summary, told_by
from fusionnas.operators import operators
from fusionnas.search.compare import paired
from fusionnas.training.randomness import derive, one_thread
from fusionnas.training.scoring import LOWER_IS_BETTER, metric, probabilities

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

QUESTION = "Where on the chart from homogeneous to heterogeneous modalities should a search start?"
PLACES = {
    "one modality": (), "late and additive": (1, 2), "multiplicative, tensor, polynomial": (3, 4, 5),
    "gated and shifted": (6, 7), "nonlinear": (8,),
}  # fmt: skip
"""Place on the chart -> ranks of its operators."""
MOST_AXES, MOST_SAMPLES = 60, 4000
ALIKE, ABSENT = 0.6, 0.05  # R² of one thing seen twice; share of missing that calls for gates


@dataclass(frozen=True)
class _Measured:
    """Logits of quick models on select, and what they are compared by."""

    logits: Mapping[str, Tensor]
    target: Tensor
    metric: str
    seed: int

    def score(self, name: str) -> float:
        return metric(self.metric, probabilities(self.logits[name]), self.target.numpy())

    def best(self, names: Sequence[str]) -> str:
        sign = -1.0 if self.metric in LOWER_IS_BETTER else 1.0
        return max(names, key=lambda name: sign * self.score(name))

    def over(self, name: str, rival: str) -> tuple[float, float, float]:
        """How much better ``name`` is than ``rival``: difference, low, high."""
        generator = np.random.default_rng(derive(self.seed, "chooser") % 2**32)
        pair = {rival: self.logits[rival].unsqueeze(0)}
        row = paired(self.logits[name].unsqueeze(0), pair, self.target, self.metric, generator=generator)[rival]
        return row["difference"], row["interval"][0], row["interval"][1]


def choose_start(space: SearchSpace, dataset: Dataset, *, seed: int = 0) -> Findings:
    """Recommend a place on the chart, with the measured reason. The test part stays shut.

    Args:
        space: says which inputs are read, and which views are of one source.
        dataset: its data.
        seed: of models and resamples.
    """
    with one_thread():
        tables = _tables(space, dataset, seed)
        measured = _measure(space, dataset, tables, seed)
        alike = _alike(tables)
    present = {source: float(dataset.search.train.inputs[views[0]].present.double().mean())
               for source, views in space.groups().items()}  # fmt: skip
    if len(tables.held) == 1:
        return Findings([f"There is one modality, {next(iter(tables.held))}: nothing to fuse."])
    place, reasons = _place(measured, present)
    ranks, names = PLACES[place], _operators(space, place)
    rows = [{"model": name, measured.metric: measured.score(name)} for name in measured.logits]
    facts = {"place": place, "ranks": list(ranks), "operators": names, "present": present, "alike": alike}
    hints = _hints(space, dataset, alike) if ranks else []
    answer = [*_recommended(space, place, names, measured), *reasons, *hints]
    return Findings(answer, facts, {"quick models": rows}, _charts(measured, tables.held, alike))


@dataclass(frozen=True)
class _Tables:
    train: Mapping[str, NDArray[np.float64]]
    held: Mapping[str, NDArray[np.float64]]
    target: NDArray[np.int64]


def _tables(space: SearchSpace, dataset: Dataset, seed: int) -> _Tables:
    """Numbers of every modality, of train + alpha and of select."""
    data = dataset.search
    fitted = Part.concat(data.train, data.alpha)
    if len(fitted) > MOST_SAMPLES:
        generator = torch.Generator().manual_seed(derive(seed, "chooser"))
        fitted = fitted.rows(torch.randperm(len(fitted), generator=generator)[:MOST_SAMPLES].sort().values)
    train, held = {}, {}
    for source, views in space.groups().items():
        sizes = [data.signature.inputs[view].vocabulary for view in views]
        first, second = (summary([part.inputs[view] for view in views], sizes) for part in (fitted, data.select))
        train[source], (held[source],) = reduced(first, [second], MOST_AXES, seed=seed)
    return _Tables(train, held, fitted.target.numpy())


def _measure(space: SearchSpace, dataset: Dataset, tables: _Tables, seed: int) -> _Measured:
    classes = len(dataset.preprocessing.classes)
    found = probabilities_of(tables.train, tables.target, tables.held, classes=classes, seed=derive(seed, "quick"))
    clipped = {name: torch.from_numpy(np.clip(value, 1e-6, 1.0)) for name, value in found.items()}
    binary = dataset.search.signature.outputs == 1
    logits = {n: (p[:, 1:].log() - p[:, :1].log()) if binary else p.log() for n, p in clipped.items()}
    return _Measured(logits, dataset.search.select.target, space.file.task.metric, seed)


def _alike(tables: _Tables) -> dict[str, float]:
    """How much of one modality another tells, ``"a from b"``."""
    return {f"{b} from {a}": told_by(tables.train, tables.held, a, b)
            for a, b in itertools.permutations(tables.held, 2)}  # fmt: skip


def _place(measured: _Measured, present: Mapping[str, float]) -> tuple[str, list[str]]:
    """The place on the chart, and why."""
    single = measured.best([name for name in measured.logits if name.startswith("only ")])
    added, crossed = measured.best(ADDITIVE), measured.best(INTERACTIVE)
    fused = measured.best([added, crossed])
    name, gain, low, high = measured.metric, *measured.over(fused, single)
    told = f"{gain:+.4f} {name} [{low:+.4f}, {high:+.4f}]"
    if low <= 0:
        verb = "is clearly worse than" if high < 0 else "does not clearly beat"
        return "one modality", [f"The best quick fusion ({fused}) {verb} {single.removeprefix('only ')} alone: {told}."]
    reasons = [f"Fusing helps: the best quick fusion ({fused}) beats {single.removeprefix('only ')} alone by {told}."]
    gain, low, high = measured.over(crossed, added)
    told = f"{gain:+.4f} {name} [{low:+.4f}, {high:+.4f}]"
    if low <= 0:
        return "late and additive", [*reasons, f"Interaction adds nothing clear: {crossed} against {added}, {told}."]
    reasons.append(f"Modalities interact: {crossed} beats {added} by {told}.")
    gain, low, high = measured.over(PRODUCTS, TREES)
    if high >= 0:
        return "multiplicative, tensor, polynomial", [*reasons, "Products of pairs are enough: trees are not better."]
    missing = {source: 1 - share for source, share in present.items() if 1 - share > ABSENT}
    if missing:
        most = max(missing, key=lambda source: missing[source])
        lacks = f"{most} is missing in {missing[most]:.0%} of the samples"
        return "gated and shifted", [*reasons, f"Products are not enough, and {lacks}: let gates decide what counts."]
    return "nonlinear", [*reasons, "Products of pairs are not enough: trees are clearly better."]


def _operators(space: SearchSpace, place: str) -> list[str]:
    """Operators of the space at this place; all of the registry, where the space has none."""
    ranks = PLACES[place]
    own = [name for name in space.file.fusion.operators if operators[name].facts.rank in ranks]
    return own or [name for name in operators if operators[name].facts.rank in ranks]


def _recommended(space: SearchSpace, place: str, names: Sequence[str], measured: _Measured) -> list[str]:
    if place == "one modality":
        single = measured.best([name for name in measured.logits if name.startswith("only ")])
        return [f"Start with {single.removeprefix('only ')} alone; fusion has to prove itself against it."]
    return [f"Start at \"{place}\": {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}."]


def _hints(space: SearchSpace, dataset: Dataset, alike: Mapping[str, float]) -> list[str]:
    """What the quick models cannot see, and what the data are like."""
    hints = []
    twice = [pair for pair, share in alike.items() if share > ALIKE]
    if twice:
        told = ", ".join(f"{pair} {alike[pair]:.0%}" for pair in twice[:3])
        hints.append(f"Nearly one thing seen twice ({told} told by a linear map): fuse early, at level 0.")
    elif alike and max(alike.values()) < 0.2:
        hints.append(f"The modalities are heterogeneous: at most {max(alike.values()):.0%} of one is told by another; "
                     "encode each before fusing.")  # fmt: skip
    tokens = {source: max(dataset.search.signature.inputs[view].tokens for view in views)
              for source, views in space.groups().items()}  # fmt: skip
    long = [source for source, count in tokens.items() if count > 1]
    if len(long) > 1:
        hints.append(f"{', '.join(long)} are sequences; these models see summaries of them, so they cannot say whether "
                     "attention (cross_attention) over tokens would add something.")  # fmt: skip
    return hints


def _charts(measured: _Measured, held: Mapping[str, Any], alike: Mapping[str, float]) -> list[Chart]:
    names = [*measured.logits]
    best = measured.best(names)
    rivals = [name for name in names if name != best]
    rows = [measured.over(best, name) for name in rivals]
    sources = [*held]
    return [
        Intervals("Quick models", f"{measured.metric} that '{best}' is better by", rivals, [row[0] for row in rows],
                  [row[1] for row in rows], [row[2] for row in rows], 0.0),
        Shades("How much of one modality another tells", "R² on select", "modality", "from", sources, sources,
               [[None if a == b else alike[f"{a} from {b}"] for b in sources] for a in sources]),
    ]  # fmt: skip
