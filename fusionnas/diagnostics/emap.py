"""EMAP ladder: what is left of the network's score when all interaction between modalities is taken out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Intervals
from fusionnas.diagnostics.measures.pairings import Pairings
from fusionnas.diagnostics.measures.projection import Projection, project
from fusionnas.diagnostics.subject import FOUND, LATE, Subject
from fusionnas.search.references import sources
from fusionnas.training.randomness import derive

FACTS = DiagnosticFacts(
    question="Does the network use interactions between modalities, or would a sum of one part per modality do?",
    source="Hessel & Lee, Does my multimodal model learn cross-modal interactions?, EMNLP 2020, arXiv:2010.06572",
    departs="any number of modalities; drawn partners, with their error, where all pairs are too many",
)
FUSED, PROJECTED, ADDITIVE, SINGLE = "best fused", "its additive projection", "best additive", "best single modality"


@register_diagnostic("emap", FACTS)
def emap(subject: Subject) -> Findings:
    """Best fused network, its projection, best additive network, best single modality."""
    if len(subject.sources) == 1:
        return Findings(["There is one modality, so nothing can interact."])
    rungs = _rungs(subject)
    fused = rungs[FUSED][1]
    projection, own = _project(subject, fused)
    logits = {name: subject.logits(architecture) for name, (_, architecture) in rungs.items()}
    logits = {FUSED: logits.pop(FUSED), PROJECTED: projection.values, **logits}
    against = subject.versus(logits[FUSED], {name: value for name, value in logits.items() if name != FUSED})
    rows = []
    for name, value in logits.items():
        model, architecture = rungs.get(name, ("projection", fused))
        row = against.get(name, {"difference": 0.0, "interval": [0.0, 0.0]})
        rows.append({
            "rung": name, "model": model, "architecture": str(architecture), subject.metric: subject.score(value),
            "best_fused_is_better_by": row["difference"], "low": row["interval"][0], "high": row["interval"][1],
        })  # fmt: skip
    error = projection.error_of(subject.score)
    largest = float((projection.values - own).abs().max())
    facts = {
        "gap": against[PROJECTED]["difference"], "interval": against[PROJECTED]["interval"],
        "error_of_the_draws": error, "exact": projection.exact, "evaluations": projection.evaluations,
        "largest_difference_of_a_logit": largest, "interactive": against[PROJECTED]["interval"][0] > 0,
        "variance_of_components": _shares(projection),
    }  # fmt: skip
    return Findings(_answer(subject, rungs, against, facts), facts, {"ladder": rows}, [_chart(subject, rows)])


def _rungs(subject: Subject) -> dict[str, tuple[str, Architecture]]:
    """Per rung the name and architecture of its model; among several the one with the lowest loss on select."""
    known = {FOUND: subject.architecture, **subject.references}
    single = [n for n, a in known.items() if len(sources(subject.space, a)) == 1]
    fused = [n for n in known if n not in single]
    additive = [n for n in fused if {node.operator for node in known[n].nodes} == {"additive"}]
    best = {FUSED: fused, ADDITIVE: additive or [LATE], SINGLE: single}
    return {rung: min(((n, known[n]) for n in names), key=lambda m: subject.loss(m[1])) for rung, names in best.items()}


def _project(subject: Subject, architecture: Architecture) -> tuple[Projection, Tensor]:
    """The projection, and what is projected, (N, C): both in float64, so that additive networks have no gap at all."""
    pairings = Pairings(subject.space, subject.network(architecture), subject.part.inputs)
    generator = torch.Generator().manual_seed(derive(subject.task.seed, "emap"))
    return project(pairings, pairings.sources, pairings.size, generator=generator), pairings.own()


def _shares(projection: Projection) -> dict[str, float]:
    """Variance of each main effect, as shares of their sum."""
    variance = {name: float(value.var(0).mean()) for name, value in projection.components.items()}
    total = sum(variance.values()) or 1.0
    return {name: value / total for name, value in variance.items()}


def _answer(
    subject: Subject,
    rungs: Mapping[str, tuple[str, Architecture]],
    against: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> list[str]:
    name, (low, high) = subject.metric, facts["interval"]
    model = rungs[FUSED][0]
    told = f"{facts['gap']:+.4f} {name}, 95 % interval [{low:+.4f}, {high:+.4f}]"
    if facts["largest_difference_of_a_logit"] < 1e-6:
        first = f"The best fused network ({model}) is additive: it is its own projection, no interaction is used."
    elif facts["interactive"]:
        first = f"Interactions between modalities are worth something to the best fused network ({model}): {told}."
    else:
        first = (f"Taking all interactions out of the best fused network ({model}) does not clearly hurt ({told}): "
                 "a sum of one part per modality would do.")  # fmt: skip
    answer = [first]
    for rung in (ADDITIVE, SINGLE):
        row, (other, _) = against[rung], rungs[rung]
        if other == model:
            continue
        low, high = row["interval"]
        sure = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
        answer.append(f"It is {sure} the {rung} model ({other}): {row['difference']:+.4f} [{low:+.4f}, {high:+.4f}].")
    if not facts["exact"]:
        error = facts["error_of_the_draws"]
        answer.append(f"Partners were drawn; that leaves the projection's {name} a standard error of {error:.4f}.")
    return answer


def _chart(subject: Subject, rows: list[dict[str, Any]]) -> Intervals:
    others = rows[1:]
    return Intervals(
        "EMAP ladder", f"{subject.metric} that the best fused network is better by", [row["rung"] for row in others],
        [row["best_fused_is_better_by"] for row in others], [row["low"] for row in others],
        [row["high"] for row in others], 0.0,
    )  # fmt: skip
