"""The model card of an export, ``README.md``: what the network is, what it was trained and tested on, its limits.

After Mitchell et al., "Model Cards for Model Reporting", 2019, arXiv:1810.03993; only what a run knows is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fusionnas.export.form import forms
from fusionnas.export.native import Model
from fusionnas.version import __version__


def card(model: Model, report: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        model: network, space, preprocessing and results.
        report: the content of ``export.json``.
    """
    sections = [_network(model), _data(model), _metrics(model), _files(report), _limits(model)]
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip() + "\n"


def _network(model: Model) -> list[str]:
    architecture, task = model.network.architecture, model.space.file.task
    lines = [f"# {model.space.name}: fusion network {architecture.id}", "",
             f"Predicts `{task.target}` ({task.kind}: {_several(model.preprocessing.classes)}) from "
             f"{_several(architecture.modalities)}. Found and trained by fusionnas {__version__}.", "",
             f"    {architecture}", ""]  # fmt: skip
    cost = model.results.get("cost", {})
    size = sum(parameter.numel() for parameter in model.network.parameters())
    told = [f"{size:,} weights"]
    if "macs" in cost:
        told.append(f"{cost['macs']:,} multiply-adds per sample")
        told.append(f"{cost['latency_ms']:.2f} ms per batch of {cost['latency_batch']} where it was found")
    return [*lines, f"{'; '.join(told)}.", *_gates(model.results.get("gates"))]


def _gates(gates: Mapping[str, Any] | None) -> Iterator[str]:
    if gates:
        yield ""
        share = f"{gates['cost_share']:.0%}"
        yield f"It decides sample by sample what to run: on average (select part) {share} of what all of it costs."


def _data(model: Model) -> list[str]:
    data = model.results.get("data")
    if not data:
        return ["## Data", "", "Not recorded in this export."]
    place = f", {data['url']}" if "url" in data else ""
    licence = data.get("licence", "not recorded: ask whoever gave you the data")
    lines = ["## Data", "", f"Source: {data.get('source', 'not named')}{place}", "",
             f"Licence of the data: {licence}.", "", "| part | samples | per label |", "|---|---|---|"]  # fmt: skip
    for part, counts in data.get("counts", {}).items():
        each = ", ".join(f"{label} {count:,}" for label, count in counts.items())
        lines.append(f"| {part} | {sum(counts.values()):,} | {each} |")
    notes = [f"- {note}" for note in data.get("notes", [])]
    return [*lines, *(["", "Notes of the preprocessing:", "", *notes] if notes else [])]


def _metrics(model: Model) -> list[str]:
    results = model.results
    if not results:
        return ["## Metrics", "", "Not recorded in this export; `fusionnas evaluate` computes them on labelled data."]
    seeds = results.get("seeds", {}).get("networks", 1)
    told = f"On the test part, opened once; mean over {seeds} trained networks, of which this is the first."
    lines = ["## Metrics", "", told, "", "| metric | test | spread | select |", "|---|---|---|---|"]  # fmt: skip
    for name, value in results["test"].items():
        spread, select = results.get("spread", {}).get(name), results.get("select", {}).get(name)
        lines.append(f"| {name} | {_number(value)} | {_number(spread)} | {_number(select)} |")
    missing = results.get("robustness", {}).get("missing", {})
    name = results["metric"]
    without = [f"Without {source}, {name} is {_number(row[name])}." for source, row in missing.items()]
    return [*lines, *(["", " ".join(without)] if without else []), "", results.get("verdict", "")]


def _files(report: Mapping[str, Any]) -> list[str]:
    lines = ["## Files", "", "| file | what | to run it |", "|---|---|---|"]
    for name in forms:
        if "file" in report.get(name, {}):
            facts = forms[name].facts
            lines.append(f"| `{report[name]['file']}` | {facts.summary} | {facts.needs} |")
    return [*lines, "", "`preprocessing.json` and `space.yaml` turn raw records into inputs: `fusionnas predict`, "
            "`fusionnas serve`. `export.json` says how far each form is from the network in memory."]  # fmt: skip


def _limits(model: Model) -> list[str]:
    lines = ["## Limits", "",
             "- Measured on the data above and on nothing else; other places, devices or times may differ.",
             "- Values that were not in training (categories, codes, ranges) are read as unknown or clipped.",
             "- Probabilities are those of the network; they were not calibrated."]  # fmt: skip
    if model.space.file.training.robustness.missing:
        lines.append("- Trained for samples that lack a modality.")
    else:
        lines.append("- A sample may lack a modality, but the network was not trained for it "
                     "(`training.robustness.missing`).")  # fmt: skip
    if model.space.file.plugins:
        lines.append(f"- Needs the plug-ins {_several(model.space.file.plugins)}.")
    return [*lines, "", "## Licence", "", "The licence of the weights is for whoever trained them to choose; "
            "mind that of the data. Code in `model.py` is MIT-licensed, from fusionnas."]  # fmt: skip


def _several(names: Any) -> str:
    return ", ".join(map(str, names))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
