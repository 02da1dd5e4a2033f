"""Partial information decomposition of pairs of modalities: redundant, unique and synergistic bits about the label."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Shades
from fusionnas.diagnostics.measures.information import decompose, mutual, table_of
from fusionnas.diagnostics.subject import Subject
from fusionnas.training.randomness import derive

FACTS = DiagnosticFacts(
    question="Do modalities tell the same about the label, different things, or something only together?",
    source="Bertschinger et al., Quantifying unique information, Entropy 2014, arXiv:1311.2852; use for modalities: "
    "Liang et al., Quantifying & modeling multimodal interactions, NeurIPS 2023, arXiv:2302.12247",
    departs="features of the networks along their most sensitive directions, clustered, on held-out samples; what "
    "shuffled labels give is reported beside every number and taken off in the sentences, since few samples fake it",
)
Ints = NDArray[np.int64]
ATOMS = ("redundancy", "unique_first", "unique_second", "synergy")
SHUFFLES = 10
_PER_CELL, _FEWEST, _MOST, _AXES = 4, 3, 6, 2


@register_diagnostic("pid", FACTS)
def pid(subject: Subject) -> Findings:
    """Every pair of modalities."""
    if len(subject.sources) == 1:
        return Findings(["There is one modality, so there is nothing to compare it with."])
    target = subject.part.target.numpy()
    count = _clusters(len(target), len(subject.classes))
    labels = {source: _clustered(subject, source, count) for source in subject.sources}
    pairs = list(itertools.combinations(subject.sources, 2))
    subject.progress.stage("diagnose: pid, pairs of modalities", len(pairs))
    rows = []
    for a, b in pairs:
        rows.append(_row(subject, (a, b), labels, target))
        subject.progress.advance({"pair": f"{a} x {b}"})
    shares = np.bincount(target) / len(target)
    entropy = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    facts = {"clusters": count, "shuffles": SHUFFLES, "entropy_of_label": entropy,
             "alone": {source: _alone(labels[source], target) for source in subject.sources}}  # fmt: skip
    return Findings(_answer(rows, entropy), facts, {"pairs": rows}, [_chart(rows)])


def _clusters(samples: int, classes: int) -> int:
    """As many per modality as leave about four samples per cell of the table."""
    return int(np.clip(np.sqrt(samples / (_PER_CELL * classes)), _FEWEST, _MOST))


def _clustered(subject: Subject, source: str, count: int) -> Ints:
    seen = subject.seen(source, _AXES).double().numpy()
    # Along its most sensitive direction a feature counts most.
    weight = np.sqrt(seen.var(0) / max(float(seen.var(0).sum()), 1e-30))
    spread = seen.std(0)
    reduced = (seen - seen.mean(0)) / np.where(spread > 0, spread, 1.0) * np.maximum(weight, 1e-6)
    seed = derive(subject.task.seed, "pid", source) % 2**32
    count = min(count, len(np.unique(reduced, axis=0)))
    return np.asarray(KMeans(count, n_init=5, random_state=seed).fit_predict(reduced), dtype=np.int64)


def _row(subject: Subject, pair: tuple[str, str], labels: dict[str, Ints], target: Ints) -> dict[str, Any]:
    """Bits of one pair, and what they are by chance: the mean over shuffled labels."""
    a, b = (labels[source] for source in pair)
    found = decompose(table_of(a, b, target))
    rng = np.random.default_rng(derive(subject.task.seed, "pid", *pair) % 2**32)
    null = [decompose(table_of(a, b, rng.permutation(target))) for _ in range(SHUFFLES)]
    chance = {atom: [float(getattr(one, atom)) for one in null] for atom in ATOMS}
    return {
        "first": pair[0], "second": pair[1], **{atom: float(getattr(found, atom)) for atom in ATOMS},
        **{f"{atom}_by_chance": float(np.mean(values)) for atom, values in chance.items()},
        "synergy_is_beyond_chance": found.synergy > max(chance["synergy"]), "error": found.error,
    }  # fmt: skip


def _alone(labels: Ints, target: Ints) -> float:
    table = np.zeros((labels.max() + 1, target.max() + 1))
    np.add.at(table, (labels, target), 1)
    return mutual(table / table.sum())


def _beyond(row: dict[str, Any], atom: str) -> float:
    return max(float(row[atom]) - float(row[f"{atom}_by_chance"]), 0.0)


def _answer(rows: Sequence[dict[str, Any]], entropy: float) -> list[str]:
    answer = []
    for row in rows:
        a, b = row["first"], row["second"]
        where = ("the same in both", f"only in {a}", f"only in {b}", "only in both together")
        bits = {name: _beyond(row, atom) for name, atom in zip(where, ATOMS, strict=True)}
        total = sum(bits.values())
        if total < 0.005:
            answer.append(f"{a} and {b}: nothing about the label beyond chance at this resolution.")
            continue
        most = max(bits, key=lambda name: bits[name])
        sure = "" if most != "only in both together" or row["synergy_is_beyond_chance"] else \
            ", though shuffled labels sometimes give as much"  # fmt: skip
        answer.append(f"{a} and {b} tell {total:.3f} of {entropy:.3f} bits beyond chance, most of it {most} "
                      f"({bits[most]:.3f}){sure}.")  # fmt: skip
    return answer


def _chart(rows: Sequence[dict[str, Any]]) -> Shades:
    names = ["same in both", "only first", "only second", "only together"]
    return Shades("Bits about the label, beyond chance", "bits", "pair (first, second)", "where",
                  [f"{row['first']}, {row['second']}" for row in rows], names,
                  [[_beyond(row, atom) for atom in ATOMS] for row in rows])  # fmt: skip


