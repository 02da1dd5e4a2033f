"""Interaction regression: does what one modality says about the label depend on what another says?

Two kinds of variables stand for a modality: what its own network concludes (one number per class), and its features
along the directions to which the network's output is most sensitive, which may matter only together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Shades
from fusionnas.diagnostics.measures.ladder import Ladder, false_discoveries, independent, ladder
from fusionnas.diagnostics.subject import Subject

FACTS = DiagnosticFacts(
    question="Which modalities interact: does the effect of one on the label depend on another?",
    source="interaction regression as in Morency & Liang, Multimodal machine learning, CMU 11-777, 2023; tests: "
    "MacKinnon & White, 1985 (HC3); Benjamini & Hochberg, 1995",
    departs="variables are scores and sensitive directions of networks on held-out samples; logistic with "
    "likelihood-ratio tests for two classes, linear per class with HC3 errors for more",
)
DIRECTIONS = 3
RATE = 0.05  # of false discoveries

Array = NDArray[np.float64]


@register_diagnostic("interaction", FACTS)
def interaction(subject: Subject) -> Findings:
    """The ladder for every pair of modalities, corrected for their number."""
    if len(subject.sources) == 1:
        return Findings(["There is one modality, so nothing can interact."])
    fits = {kind: list(_fits(subject, variables)) for kind, variables in _variables(subject).items()}
    rows = sorted((row for kind, found in fits.items() for row in _rows(kind, found)), key=lambda row: row["q"])
    strongest = _strongest(fits["scores"])
    tables: dict[str, list[dict[str, Any]]] = {"pairs": _pairs(rows), "tests": rows}
    if strongest is not None:
        tables["strongest ladder"] = _ladder_rows(*strongest)
    found = [row for row in rows if row["q"] < RATE]
    facts = {"tests": len(rows), "rate": RATE, "found": len(found), "variables": "standardised to mean 0, sd 1"}
    return Findings(_answer(rows, found), facts, tables, [_chart(subject, rows)])


def _variables(subject: Subject) -> dict[str, dict[str, list[tuple[str, str, Array]]]]:
    """By kind and modality: (name, class or "", values (N,))."""
    scores = {source: _scores(subject, source) for source in subject.sources}
    directions = {source: _directions(subject, source) for source in subject.sources}
    return {"scores": scores, "directions": directions}


def _scores(subject: Subject, source: str) -> list[tuple[str, str, Array]]:
    logits = subject.logits(subject.alone(source)).double()
    if logits.shape[1] == 1:
        return [("score", subject.classes[1], _standard(logits[:, 0].numpy()))]
    centred = (logits - logits.mean(1, keepdim=True)).numpy()
    return [("score", name, _standard(centred[:, k])) for k, name in enumerate(subject.classes)]


def _directions(subject: Subject, source: str) -> list[tuple[str, str, Array]]:
    seen = subject.seen(source, DIRECTIONS).double().numpy()
    return [(f"direction {k + 1}", "", _standard(column)) for k, column in enumerate(seen.T) if column.std() > 1e-8]


def _standard(values: Array) -> Array:
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))


def _fits(
    subject: Subject, variables: dict[str, list[tuple[str, str, Array]]]
) -> Iterator[tuple[dict[str, str], Ladder]]:
    """Ladders of every pair of modalities, class and pair of variables; scores meet within their class only."""
    target, binary = subject.part.target.numpy(), len(subject.classes) == 2
    for a, b in itertools.combinations(variables, 2):
        for (first, own, x), (second, other, y) in itertools.product(variables[a], variables[b]):
            if own != other or not independent(x, y):
                continue
            for name in [own] if own else subject.classes[1:] if binary else subject.classes:
                outcome = (target == subject.classes.index(name)).astype(np.float64)
                if 0 < outcome.sum() < len(outcome):
                    about = {"pair": f"{a} x {b}", "class": name, "first": f"{a} {first}", "second": f"{b} {second}"}
                    yield about, ladder(outcome, x, y, binary=binary)


def _rows(kind: str, fits: Sequence[tuple[dict[str, str], Ladder]]) -> list[dict[str, Any]]:
    adjusted = false_discoveries([found.interaction_p for _, found in fits])
    return [
        {**about, "variables": kind, "model": "logistic" if found.logistic else "linear",
         "w0": float(found.rungs[2].estimates[0]), "w1": float(found.rungs[2].estimates[1]),
         "w2": float(found.rungs[2].estimates[2]), "w3": float(found.rungs[2].estimates[3]),
         "added": found.rungs[2].adds, "gain": found.gain, "p": found.interaction_p, "q": q}
        for (about, found), q in zip(fits, adjusted, strict=True)
    ]  # fmt: skip


def _strongest(fits: Sequence[tuple[dict[str, str], Ladder]]) -> tuple[dict[str, str], Ladder] | None:
    return min(fits, key=lambda fit: fit[1].interaction_p, default=None)


def _ladder_rows(about: dict[str, str], found: Ladder) -> list[dict[str, Any]]:
    """The three models of one pair in full."""
    rows = []
    for rung, formula in zip(found.rungs, ("y ~ a", "y ~ a + b", "y ~ a + b + a·b"), strict=True):
        for row in rung.rows():
            rows.append({"a": about["first"], "b": about["second"], "class": about["class"], "model": formula, **row,
                         "rung_adds": rung.adds, "rung_p": rung.adds_p_value, "explained": rung.explained})  # fmt: skip
    return rows


def _pairs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per pair of modalities: tests, how many found something, smallest q, largest gain."""
    pairs = []
    for pair in sorted({row["pair"] for row in rows}):
        mine = [row for row in rows if row["pair"] == pair]
        pairs.append({"pair": pair, "tests": len(mine), "found": sum(row["q"] < RATE for row in mine),
                      "smallest_q": min(row["q"] for row in mine),
                      "largest_gain": max(row["gain"] for row in mine)})  # fmt: skip
    return pairs


def _answer(rows: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["No pair of modalities has variables that a regression could tell apart."]
    if not found:
        least = rows[0]
        return [f"None of {len(rows)} tests finds an interaction at a rate of {RATE:.0%} false discoveries "
                f"(smallest q {least['q']:.2g}, {least['pair']})."]  # fmt: skip
    strongest = max(found, key=lambda row: row["gain"])
    pairs = sorted({row["pair"].replace(" x ", " and ") for row in found})
    return [
        f"{len(found)} of {len(rows)} tests find an interaction at a rate of {RATE:.0%} false discoveries, between "
        f"{', '.join(pairs)}.",
        f"The strongest, {strongest['first']} with {strongest['second']} for {strongest['class']}, explains "
        f"{strongest['gain']:.1%} more than the sum of the two (q = {strongest['q']:.2g}).",
    ]


def _chart(subject: Subject, rows: Sequence[dict[str, Any]]) -> Shades:
    """Largest gain of the product over the sum, per pair."""
    names = subject.sources
    gain = {pair: max((row["gain"] for row in rows if row["pair"] == pair), default=None)
            for pair in (f"{a} x {b}" for a, b in itertools.combinations(names, 2))}  # fmt: skip
    values = [[gain.get(f"{a} x {b}", gain.get(f"{b} x {a}")) if a != b else None for b in names] for a in names]
    return Shades("Interaction of pairs", "largest gain of (pseudo) R² by a product", "modality", "with", names, names,
                  values)  # fmt: skip
