"""Architecture importance: what each choice of the found network is worth against the best other in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Chart, Curves, Intervals
from fusionnas.diagnostics.gate_choices import gate_rows
from fusionnas.diagnostics.measures.ranks import kendall_interval
from fusionnas.diagnostics.subject import Subject
from fusionnas.errors import SpaceError
from fusionnas.search.ablation import without
from fusionnas.training.randomness import derive

FACTS = DiagnosticFacts(
    question="Which choices of the architecture matter, and can the supernet's ranking be trusted?",
    source="leave-one-choice-out retraining, nobody's in particular; Kendall, Biometrika 1938; bootstrap: Efron, 1979",
    departs="every alternative is trained end to end by the run's recipe; the runner-up is the best of them on select",
    trains=True,
)
MOST = 30
"""Most alternatives that are trained; operators first, then inputs, then encoder layers."""


@dataclass(frozen=True)
class Choice:
    """One choice of the found architecture and another in its place.

    Attributes:
        name: what was chosen where, such as ``operator of #0: gated``.
        place: ``operator``, ``input`` or ``layer``.
        node, input: where, for the first two; else None.
        instead: the other choice.
        architecture: with the other choice.
    """

    name: str
    place: str
    instead: str
    architecture: Architecture
    node: int | None = None
    input: str | None = None


@register_diagnostic("importance", FACTS)
def importance(subject: Subject) -> Findings:
    """Replace each operator, input and encoder layer by its runner-up."""
    choices = list(_choices(subject))[:MOST]
    subject.progress.stage("diagnose: importance, trainings", len(choices))
    subject.trained([choice.architecture for choice in choices])
    rivals = {str(i): subject.logits(choice.architecture) for i, choice in enumerate(choices)}
    against = subject.versus(subject.logits(), rivals)
    rows = [
        {"choice": choice.name, "place": choice.place, "node": choice.node, "input": choice.input,
         "instead": choice.instead,
         "loss": subject.loss(choice.architecture), "found_is_better_by": against[str(i)]["difference"],
         "low": against[str(i)]["interval"][0], "high": against[str(i)]["interval"][1],
         "architecture": str(choice.architecture)}
        for i, choice in enumerate(choices)
    ]  # fmt: skip
    runners = [min((r for r in rows if r["choice"] == name), key=lambda r: r["loss"])
               for name in dict.fromkeys(row["choice"] for row in rows)]  # fmt: skip
    trust = _trust(subject)
    facts = {"loss": subject.loss(subject.architecture), **trust, "gates": _gates(subject)}
    charts: list[Chart] = [_chart(subject, runners)] if runners else []
    tables = {"runners_up": runners, "alternatives": rows, "gates": gate_rows(subject)}
    answer = [*_answer(subject, runners, facts), *_of_gates(subject, tables["gates"])]
    return Findings(answer, facts, tables, [*charts, *_ranking(subject)])


def _choices(subject: Subject) -> Iterator[Choice]:
    seen = {subject.architecture}
    for choice in [*_operators(subject), *_inputs(subject), *_layers(subject)]:
        if choice.architecture not in seen:
            seen.add(choice.architecture)
            yield choice


def _operators(subject: Subject) -> Iterator[Choice]:
    space, found = subject.space, subject.architecture
    for index, node in enumerate(found.nodes):
        last = index == len(found.nodes) - 1
        for rule in space.rules.values():
            fits = rule.fewest <= len(node.inputs) <= rule.most and (last or not rule.decides)
            if rule.name == node.operator or not fits:
                continue
            nodes = (*found.nodes[:index], Node(node.inputs, rule.name), *found.nodes[index + 1 :])
            if (made := _made(subject, nodes)) is not None:
                yield Choice(f"operator of #{index}: {node.operator}", "operator", rule.name, made, index)


def _inputs(subject: Subject) -> Iterator[Choice]:
    """Other levels of the same modality, and nothing, in the place of each fusion point."""
    space, found = subject.space, subject.architecture
    for index, node in enumerate(found.nodes):
        for place, source in enumerate(node.inputs):
            if not isinstance(source, Point):
                continue
            name = f"input of #{index}: {source}"
            for level in range(space.file.modalities[source.modality].levels + 1):
                other = Point(source.modality, level)
                if other not in node.inputs:
                    changed = Node((*node.inputs[:place], other, *node.inputs[place + 1 :]), node.operator)
                    made = _made(subject, (*found.nodes[:index], changed, *found.nodes[index + 1 :]))
                    if made is not None:
                        yield Choice(name, "input", str(other), made, index, str(source))
            gone = without(space, found, [source], subject.layers)
            if gone is not None:
                yield Choice(name, "input", "nothing", gone, index, str(source))
    if isinstance(found.output, Point):
        for level in range(space.file.modalities[found.output.modality].levels + 1):
            if level != found.output.level:
                other = Point(found.output.modality, level)
                made = space.architecture([], output=other, layers=subject.layers)
                yield Choice(f"output: {found.output}", "input", str(other), made)


def _layers(subject: Subject) -> Iterator[Choice]:
    space, found = subject.space, subject.architecture
    for name, chosen in found.layers:
        for place, encoder in enumerate(chosen):
            for other in space.file.modalities[name].encoder:
                if other == encoder:
                    continue
                layers = {**subject.layers, name: (*chosen[:place], other, *chosen[place + 1 :])}
                made = space.architecture(found.nodes, output=found.output, layers=layers)
                yield Choice(f"layer {place + 1} of {name}: {encoder}", "layer", other, made)


def _made(subject: Subject, nodes: Sequence[Node]) -> Architecture | None:
    layers = {**subject.layers, **dict(subject.architecture.layers)}
    full = {name: (*chosen, *subject.layers[name][len(chosen) :]) for name, chosen in layers.items()}
    try:
        return subject.space.architecture(nodes, output=NodeRef(len(nodes) - 1), layers=full)
    except SpaceError:
        return None


def _trust(subject: Subject) -> dict[str, Any]:
    """Discretisation gap, and Kendall's tau of supernet losses and stand-alone losses with its interval."""
    results = subject.results
    gap = dict(results["discretization"])
    pairs = [(row["supernet_loss"], row["loss"]) for row in results["search"].get("shortlist", [])
             if row.get("supernet_loss") is not None]  # fmt: skip
    generator = np.random.default_rng(derive(subject.task.seed, "tau") % 2**32)
    tau, low, high = kendall_interval(pairs, generator=generator)
    return {"discretization": gap, "tau": tau, "tau_interval": [low, high], "tau_candidates": len(pairs)}


def _gates(subject: Subject) -> dict[str, Any] | None:
    """What the gates cost or bring on test, where there are any: gated minus ungated."""
    ungated = subject.results["baselines"].get("ungated")
    return None if ungated is None else {"difference": ungated["difference"], "interval": ungated["interval"]}


def _answer(subject: Subject, runners: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[str]:
    metric, answer = subject.metric, []
    if runners:
        matter = [row for row in runners if row["low"] > 0]
        worse = [row for row in runners if row["high"] < 0]
        answer.append(f"Of {len(runners)} choices {len(matter)} clearly matter: replaced by their runner-up they cost "
                      f"{metric} on {subject.split}, one at a time.")  # fmt: skip
        most = max(runners, key=lambda row: row["found_is_better_by"])
        if most["found_is_better_by"] > 0:
            cost = f"{most['found_is_better_by']:.4f} {metric} [{most['low']:+.4f}, {most['high']:+.4f}]"
            answer.append(f"{most['choice']} is worth most: {most['instead']} in its place costs {cost}.")
        answer += [f"A better choice was left out: {row['instead']} for {row['choice']}." for row in worse]
    if facts["tau"] is not None:
        low, high = facts["tau_interval"]
        answer.append(f"Kendall's tau between supernet losses and stand-alone losses of {facts['tau_candidates']} "
                      f"candidates is {facts['tau']:+.2f} [{low:+.2f}, {high:+.2f}].")  # fmt: skip
    gap = facts["discretization"]
    searched, used = gap["supernet_loss"], gap["found_loss"]
    if searched is not None:
        answer.append(f"What was searched ended at {searched:.4f} nats, what is used at {used:.4f}.")
    if facts["gates"]:
        change, (low, high) = facts["gates"]["difference"], facts["gates"]["interval"]
        answer.append(f"The gates change {metric} on test by {change:+.4f} [{low:+.4f}, {high:+.4f}].")
    return answer


def _of_gates(subject: Subject, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence per gate."""
    return [
        f"Without gate {row['gate']} a sample costs {row['cost_without']:.0%} of everything, not {row['cost']:.0%}; "
        f"{subject.metric} changes by {-row['found_is_better_by']:+.4f} [{-row['high']:+.4f}, {-row['low']:+.4f}]."
        for row in rows
    ]


def _chart(subject: Subject, runners: Sequence[Mapping[str, Any]]) -> Intervals:
    rows = sorted(runners, key=lambda row: -row["found_is_better_by"])
    return Intervals(
        "Each choice replaced by its runner-up", f"{subject.metric} lost on {subject.split}",
        [f"{row['choice']} -> {row['instead']}" for row in rows], [row["found_is_better_by"] for row in rows],
        [row["low"] for row in rows], [row["high"] for row in rows], 0.0,
    )  # fmt: skip


def _ranking(subject: Subject) -> list[Curves]:
    """Stand-alone loss of the shortlist, in the order of the supernet's."""
    rows = [row for row in subject.results["search"].get("shortlist", []) if row.get("supernet_loss") is not None]
    if len(rows) < 3:
        return []
    order = sorted(rows, key=lambda row: row["supernet_loss"])
    places = [float(place) for place in range(1, len(order) + 1)]
    return [Curves("Stand-alone loss in the order of the supernet", "rank by the supernet, best first", "nats", places,
                   {"stand-alone": [row["loss"] for row in order]})]  # fmt: skip
