"""Overfitting-to-generalisation ratio: how fast each modality, alone and together, stops learning what carries over."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Curves
from fusionnas.diagnostics.subject import Subject
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.folds import fold
from fusionnas.search.pretrain import load_pretrained
from fusionnas.training.methods.blending import blend
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, train

FACTS = DiagnosticFacts(
    question="Do modalities overfit at different rates, and which weights would that give their losses?",
    source="Wang et al., What makes training multi-modal classification networks hard?, CVPR 2020, arXiv:1905.12681, "
    "equations 2 and 5",
    departs="counted from what the shares of the labels alone give, since an untrained network gains by merely calming "
    "down; several splits of the development samples; where a step brings no generalisation it says so instead of "
    "giving a number; weights as in training.blending, bounded",
    trains=True,
)
TOGETHER = "together"
SPLITS, STEPS = 3, 5
Curve = list[tuple[float, float]]  # (training loss, held-out loss): of the labels' shares, then after every epoch


@register_diagnostic("ogr", FACTS)
def ogr(subject: Subject) -> Findings:
    """Each modality alone, and the found network (late fusion where that reads one modality)."""
    networks = {source: subject.alone(source) for source in subject.sources}
    if len(subject.sources) > 1:
        networks[TOGETHER] = subject.architecture if len(subject.read) > 1 else subject.references["late fusion"]
    subject.progress.stage("diagnose: ogr, trainings", len(networks) * SPLITS)
    curves = {name: [_curve(subject, architecture, split) for split in range(SPLITS)]
              for name, architecture in networks.items()}  # fmt: skip
    totals = {name: [_whole(curve) for curve in found] for name, found in curves.items()}
    weights = blend(torch.tensor([np.mean(found, axis=0).tolist() for found in totals.values()])).tolist()
    rows = [_row(name, found, weight) for (name, found), weight in zip(totals.items(), weights, strict=True)]
    steps = [row for name, found in curves.items() for row in _steps(name, found)]
    facts = {"splits": SPLITS, "weights": dict(zip(networks, weights, strict=True)),
             "network": str(networks.get(TOGETHER, ""))}  # fmt: skip
    return Findings(_answer(rows), facts, {"whole training": rows, "steps": steps}, _charts(curves))


def _curve(subject: Subject, architecture: Architecture, split: int) -> Curve:
    """Losses on the samples that are trained on and on those held out."""
    problem, space = subject.task.problem, subject.space

    def compute(checkpoint: Checkpoint) -> Result:
        part, held_out = fold(problem.data, split, max(SPLITS, space.file.search.folds), seed=problem.seed)
        seed, epochs = derive(problem.seed, "ogr", architecture.id, split), space.file.training.epochs
        with seeded(derive(seed, "weights")):
            network = build(space, architecture, problem.data.signature)
        load_pretrained(network, problem.pretrained)
        seen = [_shares(part, held_out, len(subject.classes))]
        train(network, part, Schedule(None, epochs, epochs), Recipe.of(space), seed=seed,
              watch=lambda facts: seen.append(_losses(network, part, held_out)))  # fmt: skip
        return Result({"losses": seen})

    result = subject.task.run.unit(f"diagnose/ogr/{architecture.id}/{split}", compute)
    subject.progress.advance({"trained": str(architecture)[:40]})
    return [(row[0], row[1]) for row in result.facts["losses"]]


def _losses(network: FusionNetwork, part: Part, held_out: Part) -> tuple[float, float]:
    first, second = (float(nll(predict(network, p.inputs), p.target).mean()) for p in (part, held_out))
    return first, second


def _shares(part: Part, held_out: Part, classes: int) -> tuple[float, float]:
    """Losses of a network that knows the shares of the labels and nothing else."""
    counts = torch.bincount(part.target, minlength=classes).double() + 1
    each = -(counts / counts.sum()).log()
    return float(each[part.target].mean()), float(each[held_out.target].mean())


def _whole(curve: Curve) -> tuple[float, float, float]:
    """(G, O, held-out loss before) from the start to the epoch that generalises best."""
    best = min(range(len(curve)), key=lambda epoch: curve[epoch][1])
    gain, overfit = _between(curve, 0, best)
    return gain, overfit, curve[0][1]


def _between(curve: Curve, first: int, last: int) -> tuple[float, float]:
    """(generalisation, overfitting): fall of the held-out loss, growth of its distance to the training loss."""
    (train0, held0), (train1, held1) = curve[first], curve[last]
    return held0 - held1, (held1 - train1) - (held0 - train0)


def _row(name: str, totals: Sequence[tuple[float, float, float]], weight: float) -> dict[str, Any]:
    gain, overfit, _ = np.mean(totals, axis=0)
    ratios = [abs(o / g) for g, o, _ in totals if g > 1e-9]
    return {
        "network": name, "generalisation": float(gain), "overfitting": float(overfit),
        "ratio": float(np.mean(ratios)) if len(ratios) == len(totals) else None,
        "ratio_std": float(np.std(ratios, ddof=1)) if len(ratios) == len(totals) else None,
        "weight": weight,
    }  # fmt: skip


def _marks(length: int) -> list[int]:
    """Epochs between which ratios are taken."""
    return sorted({round(k * (length - 1) / STEPS) for k in range(STEPS + 1)})


def _steps(name: str, curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Ratio per stretch of the training, mean over splits; "no gain" where the held-out loss does not fall."""
    rows, marks = [], _marks(len(curves[0]))
    for first, last in itertools.pairwise(marks):
        found = [_between(curve, first, last) for curve in curves]
        gain, overfit = np.mean(found, axis=0)
        rows.append({"network": name, "from_epoch": first, "to_epoch": last, "generalisation": float(gain),
                     "overfitting": float(overfit),
                     "ratio": f"{abs(overfit / gain):.3g}" if gain > 1e-9 else "no gain"})  # fmt: skip
    return rows


def _answer(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    known = [row for row in rows if row["ratio"] is not None]
    none = [row["network"] for row in rows if row["ratio"] is None]
    answer = []
    if known:
        told = ", ".join(f"{row['network']} {row['ratio']:.2f} (± {row['ratio_std']:.2f})" for row in known)
        answer.append(f"Nats of overfitting per nat of generalisation, until the best epoch: {told}.")
    if len(known) > 1:
        low, high = (pick(known, key=lambda row: row["ratio"]) for pick in (min, max))
        if high["ratio"] - low["ratio"] > (high["ratio_std"] or 0) + (low["ratio_std"] or 0):
            fast, slow = high["network"], low["network"]
            answer.append(f"{fast} overfits faster than {slow}: one common training suits neither.")
        else:
            answer.append("The differences are within what the splits differ.")
    if none:
        answer.append(f"Not on every split does {', '.join(none)} learn anything that carries over.")
    weights = ", ".join(f"{row['network']} {row['weight']:.2f}" for row in rows)
    return [*answer, f"The blending weights that this implies: {weights} (training.blending measures its own)."]


def _charts(curves: Mapping[str, Sequence[Curve]]) -> list[Curves]:
    lengths = {len(curve) for found in curves.values() for curve in found}
    epochs = list(range(min(lengths)))
    gaps, held, bands = {}, {}, {}
    for name, found in curves.items():
        table = np.array([curve[: len(epochs)] for curve in found])
        gap = table[:, :, 1] - table[:, :, 0]
        gaps[name], held[name] = gap.mean(0).tolist(), table[:, :, 1].mean(0).tolist()
        spread = gap.std(0, ddof=1)
        bands[name] = ((gap.mean(0) - spread).tolist(), (gap.mean(0) + spread).tolist())
    return [
        Curves("Held-out loss", "epoch", "nats, mean of splits", epochs, held),
        Curves("Overfitting: held-out loss minus training loss", "epoch", "nats (band: one standard deviation)", epochs,
               gaps, bands),
    ]  # fmt: skip
