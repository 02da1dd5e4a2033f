"""Unimodal probes: each modality alone, left out, shuffled; whether more modalities help; who is served worse."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Chart, Intervals
from fusionnas.diagnostics.measures.paired import sign_flip, wilson
from fusionnas.diagnostics.subject import Subject
from fusionnas.network import predict
from fusionnas.operators import operators
from fusionnas.search.ablation import without
from fusionnas.search.references import over
from fusionnas.training.randomness import derive
from fusionnas.training.scoring import nll

FACTS = DiagnosticFacts(
    question="Which modality does the work, does adding modalities help, and whom does the network serve worse?",
    source="Wang et al., What makes training multi-modal classification networks hard?, CVPR 2020, arXiv:1905.12681, "
    "table 1; shuffling as in Breiman, Random forests, 2001",
    departs="every subset of up to four modalities, their top levels fused by the found network's last operator and "
    "trained alike; of more modalities: single ones, all but one, all",
    trains=True,
)
ROUNDS = 5
MOST_SUBSETS_OF = 4


@register_diagnostic("probes", FACTS)
def probes(subject: Subject) -> Findings:
    """Modalities one by one, all subsets, classes and groups."""
    chance = subject.score(_prior(subject))
    modalities = [_modality(subject, source) for source in subject.sources]
    subsets = _subsets(subject)
    helps = _more_helps(subject, subsets)
    gaps = _gaps(subject)
    facts = {"score": subject.score(subject.logits()), "chance": chance, "more_modalities": helps}
    tables = {"modalities": modalities, "subsets": [row for row, _ in subsets.values()], **gaps}
    charts = _charts(subject, modalities, subsets)
    return Findings(_answer(subject, facts, modalities, gaps), facts, tables, charts)


def _prior(subject: Subject) -> Tensor:
    """Logits (N, C) of a network that knows the shares of the labels and nothing else."""
    data = subject.task.data
    counts = torch.bincount(torch.cat((data.train.target, data.alpha.target)), minlength=len(subject.classes)).double()
    shares = (counts + 1) / (counts + 1).sum()
    row = torch.logit(shares[1:]) if data.signature.outputs == 1 else shares.log()
    return row.expand(len(subject.part), -1)


def _modality(subject: Subject, source: str) -> dict[str, Any]:
    """Scores of the found network without this modality, and of the modality without the others."""
    row: dict[str, Any] = {"modality": source, "alone": subject.score(subject.logits(subject.alone(source)))}
    if source not in subject.read:
        return row | {"left_out": None, "shuffled": None, "shuffled_std": None, "absent": None}
    left = _left_out(subject, source)
    orders = [_order(subject, source, index) for index in range(ROUNDS)]
    shuffled = [_changed(subject, source, lambda feature, order=order: feature.rows(order)) for order in orders]
    return row | {
        "left_out": None if left is None else subject.score(subject.logits(left)),
        "shuffled": float(np.mean(shuffled)),
        "shuffled_std": float(np.std(shuffled, ddof=1)),
        "absent": _changed(subject, source, lambda feature: feature.absent()),
    }


def _order(subject: Subject, source: str, index: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive(subject.task.seed, "probes", source, index))
    return torch.randperm(len(subject.part), generator=generator)


def _changed(subject: Subject, source: str, change: Any) -> float:
    """Score of the found network when one modality's input is changed, all its views alike."""
    views = subject.space.groups()[source]
    inputs = {name: change(f) if name in views else f for name, f in subject.part.inputs.items()}
    return subject.score(predict(subject.network(), inputs))


def _left_out(subject: Subject, source: str) -> Architecture | None:
    """The found architecture without a modality; None if nothing is left."""
    views = subject.space.groups()[source]
    points = [point for point in subject.architecture.points() if point.modality in views]
    return without(subject.space, subject.architecture, points, subject.layers)


def _subsets(subject: Subject) -> dict[tuple[str, ...], tuple[dict[str, Any], Tensor]]:
    """Per subset of modalities, fused at their top levels: its row of the table, and its logits."""
    names, operator = subject.sources, _operator(subject)
    sizes = range(1, len(names) + 1) if len(names) <= MOST_SUBSETS_OF else sorted({1, len(names) - 1, len(names)})
    chosen = [subset for size in sizes for subset in itertools.combinations(names, size)]
    architectures = {subset: over(subject.space, subset, operator, subject.layers) for subset in chosen}
    subject.progress.stage("diagnose: probes, subsets of modalities", len(chosen))
    subject.trained([*architectures.values()])
    found = {}
    for subset, architecture in architectures.items():
        logits = subject.logits(architecture)
        row = {"modalities": " + ".join(subset), "count": len(subset), subject.metric: subject.score(logits),
               "loss": float(nll(logits, subject.part.target).mean())}  # fmt: skip
        found[subset] = (row, logits)
    return found


def _operator(subject: Subject) -> str:
    """The found network's last operator, if any number of inputs may have it and the search tried it on all."""
    nodes = subject.architecture.nodes
    last = nodes[-1].operator if nodes else "additive"
    return last if f"fixed {last}" in subject.references and operators[last].inputs_range[0] == 2 else "additive"


def _more_helps(
    subject: Subject, subsets: Mapping[tuple[str, ...], tuple[dict[str, Any], Tensor]]
) -> dict[str, Any] | None:
    """All modalities against the best smaller subset; None where there is one modality."""
    smaller = [subset for subset in subsets if len(subset) < len(subject.sources)]
    if not smaller:
        return None
    best = max(smaller, key=lambda subset: subject.sign * subsets[subset][0][subject.metric])
    everything, rival = subsets[subject.sources][1], subsets[best][1]
    difference = subject.versus(everything, {"best subset": rival})["best subset"]
    target = subject.part.target
    losses = (nll(rival, target) - nll(everything, target)).double().numpy()
    generator = np.random.default_rng(derive(subject.task.seed, "probes") % 2**32)
    return {"fused_by": _operator(subject), "best_subset": list(best), "all_are_better_by": difference["difference"],
            "interval": difference["interval"], "loss_falls_by": float(losses.mean()),
            "p": sign_flip(losses, subject.part.groups, generator=generator),
            "groups": len(np.unique(subject.part.groups))}  # fmt: skip


def _gaps(subject: Subject) -> dict[str, list[dict[str, Any]]]:
    """Share of right predictions per class, and per group where groups have several samples."""
    target, part = subject.part.target.numpy(), subject.part
    right = _predicted(subject.logits()) == target
    single = min((subject.alone(source) for source in subject.sources), key=subject.loss)
    right_single = _predicted(subject.logits(single)) == target
    names = {"classes": (np.array(subject.classes)[target], subject.classes)}
    groups = np.unique(part.groups)
    if 1 < len(groups) < len(part):
        names["groups"] = (part.groups, tuple(map(str, groups)))
    tables = {}
    for title, (member, order) in names.items():
        rows = []
        for name in order:
            mine = member == name
            if not mine.any():
                continue
            low, high = wilson(int(right[mine].sum()), int(mine.sum()))
            rows.append({"name": name, "samples": int(mine.sum()), "right": float(right[mine].mean()), "low": low,
                         "high": high, "right_by_best_single": float(right_single[mine].mean())})  # fmt: skip
        tables[title] = rows
    return tables


def _predicted(logits: Tensor) -> Any:
    return ((logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)).numpy()


def _answer(
    subject: Subject,
    facts: Mapping[str, Any],
    modalities: Sequence[Mapping[str, Any]],
    gaps: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[str]:
    name, sign, answer = subject.metric, subject.sign, []
    strongest = max(modalities, key=lambda row: sign * row["alone"])
    span = facts["score"] - facts["chance"]
    share = (strongest["alone"] - facts["chance"]) / span if abs(span) > 1e-9 else float("nan")
    answer.append(f"{strongest['modality']} alone reaches {strongest['alone']:.4f} {name}, {share:.0%} of the found "
                  f"network's gain over chance ({facts['score']:.4f}, chance {facts['chance']:.4f}).")  # fmt: skip
    more = facts["more_modalities"]
    if more:
        low, high = more["interval"]
        subset, tested = " + ".join(more["best_subset"]), f"{more['all_are_better_by']:+.4f} [{low:+.4f}, {high:+.4f}]"
        sure = "helps" if low > 0 else "hurts" if high < 0 else "makes no clear difference"
        one = "; all samples are of one group, so another group may differ" if more["groups"] == 1 else ""
        answer.append(f"Adding every modality {sure}: all, fused by {more['fused_by']}, against the best subset "
                      f"({subset}), {tested} {name}, test of the loss p = {more['p']:.2g}{one}.")  # fmt: skip
    read = [row for row in modalities if row["shuffled"] is not None]
    if len(read) > 1:
        most = min(read, key=lambda row: sign * row["shuffled"])
        answer.append(f"Shuffling {most['modality']} costs the found network most: {most['shuffled']:.4f} is left.")
    for title, rows in gaps.items():
        if len(rows) > 1:
            worst, best = (pick(rows, key=lambda row: row["right"]) for pick in (min, max))
            answer.append(f"Of its {title}, {worst['name']} fares worst ({worst['right']:.0%} right, n = "
                          f"{worst['samples']}) and {best['name']} best ({best['right']:.0%}).")  # fmt: skip
    return answer


def _charts(
    subject: Subject,
    modalities: Sequence[Mapping[str, Any]],
    subsets: Mapping[tuple[str, ...], tuple[Mapping[str, Any], Tensor]],
) -> list[Chart]:
    whole = subject.logits()
    against = subject.versus(whole, {row["modalities"]: logits for row, logits in subsets.values()})
    labels = sorted(against, key=lambda label: -against[label]["difference"])
    rows = [against[label] for label in labels]
    title = f"Subsets of modalities, fused by {_operator(subject)}"
    chart: list[Chart] = [Intervals(
        title, f"{subject.metric} that the found network is better by", labels,
        [row["difference"] for row in rows], [row["interval"][0] for row in rows], [row["interval"][1] for row in rows],
        0.0,
    )]  # fmt: skip
    read = [row for row in modalities if row["shuffled"] is not None]
    if read:
        kept = subject.score(whole)
        loss = [subject.sign * (kept - row["shuffled"]) for row in read]
        spread = [2 * row["shuffled_std"] for row in read]
        chart.append(Intervals(
            "Loss when a modality is shuffled", f"{subject.metric} lost (two standard deviations of {ROUNDS} shuffles)",
            [row["modality"] for row in read], loss, [a - b for a, b in zip(loss, spread, strict=True)],
            [a + b for a, b in zip(loss, spread, strict=True)], 0.0,
        ))  # fmt: skip
    return chart
