"""Use of inputs: how much each counts in each node, for whom; where attention looks; which gates open for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionnas.architecture import NodeRef, Source
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Chart, Shades
from fusionnas.diagnostics.measures.attention import AttentionMaps
from fusionnas.diagnostics.subject import Subject
from fusionnas.feature import Feature, pool
from fusionnas.network import predict, run_operator
from fusionnas.operators.base import FusionOperator

FACTS = DiagnosticFacts(
    question="Which input counts how much, for which samples, and what do attention and gates look at?",
    source="occlusion: Zeiler & Fergus, 2014, arXiv:1311.2901; attention maps as in Tsai et al., ACL 2019, "
    "arXiv:1906.00295",
    departs="an input is taken out by declaring it absent, which every operator knows, not by zeros; the same measure "
    "for gates of all kinds, attention and products",
)
EVERYONE = "all"
TOKENS = 24  # of an attention map that is shown
_BATCH = 256


@register_diagnostic("use", FACTS)
def use(subject: Subject) -> Findings:
    """Shares of inputs per node and modality, by class and group; attention maps; gates."""
    groups = _groups(subject)
    modalities = _modalities(subject, groups)
    nodes, maps = _nodes(subject, groups)
    gates = _gates(subject, groups)
    tables = {"modalities": modalities, "inputs of nodes": nodes, "gates": gates}
    charts = [chart for chart in (
        _shades("Use of modalities", "mean change of a logit without it", modalities, "modality"),
        _shades("Use of each input in its node", "share of what the inputs change", nodes, "input"),
        _shades("How often each gate goes on", "share of samples", gates, "gate"),
    ) if chart is not None]  # fmt: skip
    charts += [_map(name, value) for name, value in maps.items()]
    facts = {"groups": {name: int(member.sum()) for name, member in groups.items()},
             "attention_maps": {name: value.tolist() for name, value in maps.items()}}  # fmt: skip
    return Findings(_answer(modalities, nodes, gates, maps), facts, tables, charts)


def _groups(subject: Subject) -> dict[str, NDArray[np.bool_]]:
    """Samples by name: all, of each class, and of each group where groups have several samples."""
    target, part = subject.part.target.numpy(), subject.part
    found = {EVERYONE: np.ones(len(part), dtype=bool)}
    found |= {f"class {name}": target == k for k, name in enumerate(subject.classes) if (target == k).any()}
    names = np.unique(part.groups)
    if 1 < len(names) < min(len(part), 13):
        found |= {f"group {name}": part.groups == name for name in names}
    return found


def _modalities(subject: Subject, groups: Mapping[str, NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """Per modality how far the logits move when it is absent, mean over logits."""
    whole, rows = subject.logits(), []
    for source in subject.read:
        views = subject.space.groups()[source]
        inputs = {name: f.absent() if name in views else f for name, f in subject.part.inputs.items()}
        moved = (predict(subject.network(), inputs) - whole).abs().mean(1).double().numpy()
        rows.append({"modality": source, **{name: float(moved[member].mean()) for name, member in groups.items()}})
    return rows


@torch.no_grad()
def _nodes(
    subject: Subject, groups: Mapping[str, NDArray[np.bool_]]
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Per node and input its share by group; attention maps by name, mean over samples."""
    network = subject.network()
    shares: dict[tuple[int, Source], list[Tensor]] = {}
    sums: dict[str, Tensor] = {}
    count = len(subject.part)
    for rows in torch.arange(count).split(_BATCH):
        known: dict[Source, Feature] = dict(
            network.encode({name: f.rows(rows) for name, f in subject.part.inputs.items()}).items()
        )
        for index, inputs in enumerate(network.head.plan):
            with AttentionMaps() as seen:
                known[NodeRef(index)] = network.head.node(index, known)
            # Over one token there is nothing to look at but that.
            for place, found in enumerate(one for one in seen.maps if one.shape[-1] > 1):
                _add(sums, f"attention {place + 1} of #{index}", found.sum(0))
            for source, share in zip(inputs, _shares(network.head.nodes[index], inputs, known, index), strict=True):
                shares.setdefault((index, source), []).append(share)
    rows_found = []
    for (index, source), parts in shares.items():
        values = torch.cat(parts).double().numpy()
        by_group = {name: float(values[member].mean()) for name, member in groups.items()}
        rows_found.append({"input": f"{source} in #{index}", "operator": subject.architecture.nodes[index].operator,
                           **by_group})  # fmt: skip
    return rows_found, {name: value / count for name, value in sums.items()}


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Sum maps; the batches of one attention have the same shape, folded members aside."""
    sums[name] = sums[name] + value if name in sums else value


def _shares(operator: Any, inputs: Sequence[Source], known: Mapping[Source, Feature], index: int) -> list[Tensor]:
    """(B,) per input: how much the node's result changes without it, as a share of all inputs' changes."""
    assert isinstance(operator, FusionOperator)
    whole, given = pool(known[NodeRef(index)]), [known[source] for source in inputs]
    changes = []
    for place, feature in enumerate(given):
        left = run_operator(operator, [*given[:place], feature.absent(), *given[place + 1 :]])
        changes.append((pool(left) - whole).norm(dim=-1))
    total = torch.stack(changes).sum(0).clamp_min(1e-12)
    return [change / total for change in changes]


@torch.no_grad()
def _gates(subject: Subject, groups: Mapping[str, NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """How often each gate of the shipped network goes on, by group; its weights may have seen select, its gates not."""
    if not subject.results.get("gates"):
        return []
    from fusionnas.export.native import read_native
    from fusionnas.gates.gate import hard
    from fusionnas.gates.network import GatedNetwork

    network = read_native(subject.task.run.path).network
    assert isinstance(network, GatedNetwork)
    inputs = {name: subject.part.inputs[name] for name in network.encoders}
    decisions = network.decided(network.encode(inputs), inputs, hard).decisions
    return [
        {"gate": name, **{group: float(value.double().numpy()[member].mean()) for group, member in groups.items()}}
        for name, value in decisions.items()
    ]


def _shades(title: str, unit: str, rows: Sequence[Mapping[str, Any]], label: str) -> Chart | None:
    if not rows:
        return None
    columns = [name for name in rows[0] if name not in (label, "operator")][:13]
    return Shades(title, unit, label, "samples", [str(row[label]) for row in rows], columns,
                  [[row[name] for name in columns] for row in rows])  # fmt: skip


def _map(name: str, value: Tensor) -> Chart:
    """An attention map, by its first tokens."""
    shown = value[:TOKENS, :TOKENS]
    return Shades(name, "mean weight", "asking token", "answering token", [str(t) for t in range(len(shown))],
                  [str(t) for t in range(shown.shape[1])], shown.tolist())  # fmt: skip


def _answer(
    modalities: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]],
    gates: Sequence[Mapping[str, Any]],
    maps: Mapping[str, Tensor],
) -> list[str]:
    answer = []
    if len(modalities) > 1:
        total = sum(row[EVERYONE] for row in modalities) or 1.0
        order = sorted(modalities, key=lambda row: -row[EVERYONE])
        told = ", ".join(f"{row['modality']} {row[EVERYONE] / total:.0%}" for row in order)
        answer.append(f"Of what absent modalities change in the output: {told}.")
        answer += _differing(order)
    elif modalities:
        answer.append(f"{modalities[0]['modality']} is all that the network reads.")
    if nodes:
        most = max(nodes, key=lambda row: row[EVERYONE])
        answer.append(f"The input that counts most in its node is {most['input']} ({most[EVERYONE]:.0%}).")
    for row in gates:
        answer.append(f"Gate {row['gate']} goes on for {row[EVERYONE]:.0%} of the samples.")
    for name, value in maps.items():
        peak = int(value.sum(0).argmax())
        answer.append(f"{name.capitalize()} looks most at token {peak} ({float(value.mean(0)[peak]):.0%} on average).")
    return answer


def _differing(order: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where another modality leads for a group than for all."""
    groups = [name for name in order[0] if name not in ("modality", EVERYONE)]
    other = []
    for name in groups:
        values = [row[name] for row in order]
        leader = order[values.index(max(values))]["modality"]
        if leader != order[0]["modality"]:
            other.append(f"{leader} for {name}")
    return [f"Another modality leads for some: {', '.join(other)}."] if other else []

