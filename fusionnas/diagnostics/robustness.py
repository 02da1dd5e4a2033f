"""Robustness curves: how the score falls as inputs get noisy, lose tokens, or go missing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.integrate import trapezoid

from fusionnas.architecture import Architecture
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Curves
from fusionnas.diagnostics.measures.damage import Damage, missing, missing_tokens, noise
from fusionnas.diagnostics.subject import FOUND, LATE, Subject
from fusionnas.network import predict
from fusionnas.search.references import sources
from fusionnas.training.randomness import derive

FACTS = DiagnosticFacts(
    question="What happens when an input is noisy or missing?",
    source="Liang et al., MultiBench: Multiscale benchmarks for multimodal representation learning, NeurIPS 2021, "
    "arXiv:2107.07502, relative and effective robustness",
    departs="areas are not rescaled between methods (that divides by zero where they tie); what is missing is declared "
    "missing, not set to zero; inputs are never changed in place",
)
ALL = "all modalities"
LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
ROUNDS = 2
_DAMAGES: Mapping[str, Damage] = {"noise": noise, "missing": missing, "missing tokens": missing_tokens}
_AXES = {"noise": "noise, standard deviations of the input", "missing": "share of samples without it",
         "missing tokens": "share of tokens missing"}  # fmt: skip


@register_diagnostic("robustness", FACTS)
def robustness(subject: Subject) -> Findings:
    """The found network and late fusion under every damage of every modality, and of all at once."""
    networks = {FOUND: subject.architecture}
    if LATE in subject.references and subject.references[LATE] != subject.architecture:
        networks[LATE] = subject.references[LATE]
    cases = [(d, m) for d in _DAMAGES for m in _damageable(subject, d)]
    subject.progress.stage("diagnose: robustness", len(cases) * len(networks))
    curves: dict[tuple[str, str, str], list[float]] = {}
    for (damage, modality), (name, architecture) in itertools.product(cases, networks.items()):
        read = sources(subject.space, architecture)
        hurt = tuple(source for source in (read if modality == ALL else (modality,)) if source in read)
        curves[damage, modality, name] = _curve(subject, architecture, damage, hurt)
        subject.progress.advance({"damage": f"{damage} in {modality}"})
    rows = [{"damage": d, "modality": m, "level": level, **{n: curves[d, m, n][i] for n in networks}}
            for d, m in cases for i, level in enumerate(LEVELS)]  # fmt: skip
    areas = [_area(subject, curves, case, tuple(networks)) for case in cases]
    charts = [_chart(subject, curves, damage, [m for d, m in cases if d == damage], tuple(networks))
              for damage in dict.fromkeys(d for d, _ in cases)]  # fmt: skip
    facts = {"levels": list(LEVELS), "rounds": ROUNDS, "unread": sorted(set(subject.sources) - set(subject.read))}
    return Findings(_answer(subject, curves, areas), facts, {"areas": areas, "curves": rows}, charts)


def _damageable(subject: Subject, damage: str) -> list[str]:
    """Modalities that the found network reads and that can be damaged so; several also all at once."""
    groups, inputs = subject.space.groups(), subject.part.inputs
    tokens = {s: max(inputs[view].mask.shape[1] for view in groups[s]) for s in subject.read}
    able = [source for source in subject.read if damage != "missing tokens" or tokens[source] > 1]
    return [*able, ALL] if len(able) > 1 else able


def _curve(subject: Subject, architecture: Architecture, damage: str, hurt: Sequence[str]) -> list[float]:
    """Score per level, mean over rounds; every level of a round damages with the same numbers."""
    network = subject.network(architecture)
    clean = subject.score(subject.logits(architecture))
    if not hurt:
        return [clean] * len(LEVELS)
    found = [clean]
    for level in LEVELS[1:]:
        scores = []
        for index in range(ROUNDS):
            inputs = dict(subject.part.inputs)
            for name in (view for source in hurt for view in subject.space.groups()[source]):
                # Views of one source go missing together.
                stream = subject.space.source_of(name) if damage == "missing" else name
                generator = torch.Generator().manual_seed(derive(subject.task.seed, "damage", damage, stream, index))
                inputs[name] = _DAMAGES[damage](inputs[name], level, generator)
            scores.append(subject.score(predict(network, inputs)))
        found.append(float(np.mean(scores)))
    return found


def _area(
    subject: Subject, curves: Mapping[tuple[str, str, str], list[float]], case: tuple[str, str], networks: Sequence[str]
) -> dict[str, Any]:
    """Relative robustness: area under the curve. Effective: how much more is kept than late fusion keeps, per level."""
    row: dict[str, Any] = {"damage": case[0], "modality": case[1]}
    for name in networks:
        row[f"area of {name}"] = float(trapezoid(curves[(*case, name)], LEVELS))
    ours = np.array(curves[(*case, FOUND)])
    row["lost at the worst level"] = float((subject.sign * (ours[0] - ours)).max())
    if LATE in networks:
        theirs = np.array(curves[(*case, LATE)])
        row["effective robustness"] = float(subject.sign * ((ours - ours[0]) - (theirs - theirs[0]))[1:].mean())
    return row


def _answer(
    subject: Subject, curves: Mapping[tuple[str, str, str], list[float]], areas: Sequence[Mapping[str, Any]]
) -> list[str]:
    half, sign, answer = LEVELS.index(0.5), subject.sign, []
    worded = {"noise": "Noise of half a standard deviation in", "missing": "Leaving half of the samples without"}
    for damage, words in worded.items():
        lost = {m: sign * (c[0] - c[half]) for (d, m, n), c in curves.items() if (d, n) == (damage, FOUND) and m != ALL}
        if lost:
            worst = max(lost, key=lambda m: lost[m])
            score = curves[damage, worst, FOUND]
            answer.append(f"{words} {worst} costs most: {subject.metric} {score[0]:.4f} becomes {score[half]:.4f}.")
    together = [row for row in areas if row["modality"] == ALL] or list(areas)
    for row in (row for row in together if "effective robustness" in row):
        value = row["effective robustness"]
        than = "as much as" if abs(value) < 0.005 else "more than" if value > 0 else "less than"
        answer.append(f"Under {row['damage']} in {row['modality']} it keeps {than} late fusion does "
                      f"({value:+.4f} {subject.metric} per level on average).")  # fmt: skip
    unread = sorted(set(subject.sources) - set(subject.read))
    if unread:
        answer.append(f"What happens to {', '.join(unread)} does not matter: the network does not read it.")
    return answer


def _chart(
    subject: Subject,
    curves: Mapping[tuple[str, str, str], list[float]],
    damage: str,
    modalities: Sequence[str],
    networks: Sequence[str],
) -> Curves:
    lines = {modality: curves[damage, modality, FOUND] for modality in modalities}
    if LATE in networks:
        lines[f"late fusion, {modalities[-1]}"] = curves[damage, modalities[-1], LATE]
    return Curves(f"Robustness: {damage}", _AXES[damage], subject.metric, LEVELS, lines)
