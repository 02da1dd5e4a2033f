"""The blocks of one run's report, from its folder's files; what is not there is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fusionnas.diagnostics.chart import Curves, Intervals, from_json
from fusionnas.report.alphas import alpha_charts
from fusionnas.report.block import Block, Figure, Table, figure_from, figure_of
from fusionnas.report.front import front_block
from fusionnas.report.source import Told
from fusionnas.report.verdict import listed
from fusionnas.show.picture import draw_figure
from fusionnas.show.picture import in_words as graph_in_words
from fusionnas.training.scoring import LOWER_IS_BETTER

MOST_CANDIDATES = 12
ORDER = ("probes", "emap", "interaction", "pid", "robustness", "use", "importance", "ogr")
"""Diagnostics in reading order; others follow."""


def blocks_of(told: Told, prefix: str = "") -> list[Block]:
    """All blocks of a run, in reading order; ``prefix`` keeps keys of several runs apart."""
    made = [
        _network(told, prefix), _baselines(told, prefix), _inputs(told, prefix), _missing(told, prefix),
        _search(told, prefix),
        *_diagnostics(told, prefix), front_block(told.results.get("pareto"), prefix), _cost(told), _ran(told),
    ]  # fmt: skip
    return [block for block in made if block is not None]


def _network(told: Told, prefix: str) -> Block:
    architecture = told.architecture
    picture = figure_from(
        draw_figure(architecture, told.alternatives), f"{prefix}network", f"Fusion architecture {architecture.id}",
        graph_in_words(architecture, told.alternatives), wide=True,
    )  # fmt: skip
    known = told.results.get("known_as")
    text = [f"It reads {listed(told.results['modalities'])}" + (f" and is the same as {known}." if known else ".")]
    text += _unasked(told)
    small = [f"Faint: runner-up choices ({told.alternatives.source})."] if told.alternatives.source else []
    return Block("The network that was found", text, [picture], code={"as a formula": str(architecture)}, small=small)


def _unasked(told: Told) -> list[str]:
    """Modalities that the network could read, but whose gate went on for no sample."""
    stages = told.architecture.gates.stages if told.architecture.gates is not None else ()
    never = [name for number, stage in enumerate(stages) if told.alternatives.gates.get(f"stage_{number}") == 0.0
             for name in stage]  # fmt: skip
    return [f"Its gates asked for {listed(never)} for none of the held-out samples."] if never else []


def _baselines(told: Told, prefix: str) -> Block:
    results, metric = told.results, told.metric
    entries = sorted(results["baselines"].items(), key=lambda item: item[1]["difference"])
    seeds = results["seeds"]["networks"]
    figures = []
    if entries:
        chart = Intervals(
            "Found network minus each alternative, on test", f"{metric}; right of 0: found is better",
            [name for name, _ in entries], [e["difference"] for _, e in entries],
            [e["interval"][0] for _, e in entries], [e["interval"][1] for _, e in entries], 0.0,
        )  # fmt: skip
        figures = [figure_of(chart, f"{prefix}baselines"), figure_of(_scores(results, metric), f"{prefix}scores")]
    rows = [_score_row("found", results, results["cost"].get("parameters"), metric)]
    rows += [_score_row(name, entry, entry["parameters"], metric) for name, entry in entries]
    several = f"means ± standard deviations of {seeds} seeds" if seeds > 1 else "one seed"
    text = ["Every alternative was trained by the same recipe and scored on the same test samples. A full mark: the "
            "95 % interval leaves out 0; a square: the alternative is better."]  # fmt: skip
    small = [f"Scores: {several}. Intervals: paired bootstrap over test samples, not corrected for the number of "
             f"alternatives. The test part was opened {_times(told.opened)}."]  # fmt: skip
    return Block("Against every simple alternative", text, figures, [Table("scores on test", rows)], small=small)


def _scores(results: Mapping[str, Any], metric: str) -> Intervals:
    """Mean and spread over seeds of every network, best first."""
    networks = {"found": results, **results["baselines"]}
    order = sorted(networks, key=lambda name: networks[name]["test"][metric], reverse=metric not in LOWER_IS_BETTER)
    values = [networks[name]["test"][metric] for name in order]
    spread = [(networks[name].get("spread") or {}).get(metric) for name in order]
    return Intervals(
        "Scores on test", f"{metric} (± one standard deviation over seeds)", order, values,
        [None if s is None else v - s for v, s in zip(values, spread, strict=True)],
        [None if s is None else v + s for v, s in zip(values, spread, strict=True)],
    )  # fmt: skip


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _score_row(name: str, entry: Mapping[str, Any], parameters: int | None, metric: str) -> dict[str, Any]:
    order = [metric, *(other for other in entry["test"] if other != metric)]
    spread = entry.get("spread") or {}
    row: dict[str, Any] = {"network": name, "parameters": parameters}
    for one in order:
        value, deviation = entry["test"][one], spread.get(one)
        row[one] = "" if value is None else f"{value:.4f}" + (f" ± {deviation:.4f}" if deviation is not None else "")
    return row


def _inputs(told: Told, prefix: str) -> Block | None:
    figures, inputs, pairs = [], told.results["inputs"], told.results["interaction"]
    if inputs:
        values = [row["loss_increase"] for row in inputs]
        errors = [2 * row["standard_error"] for row in inputs]
        chart = Intervals(
            "Loss when an input is exchanged between samples", "nats (two standard errors), held-out samples",
            [f"{row['modality']} level {row['level']}" for row in inputs], values,
            [v - e for v, e in zip(values, errors, strict=True)], [v + e for v, e in zip(values, errors, strict=True)],
            0.0,
        )  # fmt: skip
        figures.append(figure_of(chart, f"{prefix}inputs"))
    if pairs:
        names = [pair.replace(" x ", " with ") for pair in pairs]
        none: Sequence[float | None] = [None] * len(pairs)
        chart = Intervals("Interaction that the network uses", "share of its output's variance", names,
                          list(pairs.values()), none, none)  # fmt: skip
        figures.append(figure_of(chart, f"{prefix}interaction"))
    if not figures:
        return None
    text = ["How much worse the network gets when one of its inputs is taken from another sample, and how far its "
            "output is from a sum of one part per modality."]  # fmt: skip
    return Block("What each input is worth", text, figures)


def _missing(told: Told, prefix: str) -> Block | None:
    known = told.results.get("robustness", {})
    if not known.get("missing"):
        return None
    metric, missing = told.results["metric"], known["missing"]
    whole, none = told.results["test"][metric], [None] * len(missing)
    chart = Intervals("Score without an input minus score with all", f"{metric}, on test",
                      [f"without {name}" for name in missing],
                      [row[metric] - whole for row in missing.values()], none, none, 0.0)  # fmt: skip
    worst = (max if metric in LOWER_IS_BETTER else min)(missing, key=lambda name: missing[name][metric])
    share = known["trained_for"]
    text = [f"Each input in turn is declared missing for every test sample. Most is lost without {worst}: "
            f"{metric} {missing[worst][metric]:.4f} instead of {whole:.4f}.",
            f"Trained with {share:.0%} of the inputs left out at random." if share else
            "It was not trained for missing inputs; training.robustness.missing does that."]  # fmt: skip
    rows = [{"without": name, **row} for name, row in missing.items()]
    return Block("What if an input is missing?", text, [figure_of(chart, f"{prefix}missing")],
                 [Table("scores without an input", rows, open=False)])  # fmt: skip


def _search(told: Told, prefix: str) -> Block:
    results, figures = told.results, []
    history = [row for row in results["search"].get("history", []) if "entropy" in row]
    if len(history) > 1:
        epochs = list(range(1, len(history) + 1))
        loss = Curves("Loss of the supernet", "epoch", "nats, on select", epochs, {"loss": _column(history, "loss")})
        figures.append(figure_of(loss, f"{prefix}supernet"))
        entropy = _column(history, "entropy")
        if max(entropy) - min(entropy) > 1e-3:
            chart = Curves("How undecided the search is", "epoch", "entropy of the alphas (1 = even)", epochs,
                           {"entropy": entropy})  # fmt: skip
            figures.append(figure_of(chart, f"{prefix}entropy"))
    figures += [figure_of(chart, f"{prefix}alphas-{k + 1}") for k, chart in enumerate(alpha_charts(results["search"]))]
    finalists = sorted(results["finalists"], key=lambda row: row["loss"])[:MOST_CANDIDATES]
    rows = [{"candidate": row["architecture"], "modalities": ", ".join(row["modalities"]),
             "held-out loss": row["loss"], "folds": row["folds"]} for row in finalists]  # fmt: skip
    gap, tau = results["discretization"], results["search"].get("supernet_rank_correlation")
    ended = "" if gap["supernet_loss"] is None else f"The supernet ended at a loss of {gap['supernet_loss']:.4f} nats. "
    text = [f"Method {results['search']['method']}. {ended}The found network, trained alone, has a loss of "
            f"{gap['found_loss']:.4f} nats on held-out samples."]  # fmt: skip
    if tau is not None:
        text.append(f"Kendall's tau between supernet loss and stand-alone loss of the candidates is {tau:+.2f}: "
                    + ("a ranking by shared weights could be trusted here." if tau > 0.6 else
                       "a ranking by shared weights would not have been reliable."))  # fmt: skip
    return Block("How the search went", text, figures, [Table("candidates, trained end to end", rows)])


def _column(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [row[name] for row in history]


def _diagnostics(told: Told, prefix: str) -> list[Block]:
    blocks = []
    for name in sorted(told.findings, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        content = told.findings[name]
        figures: list[Figure] = []
        for place, chart in enumerate(content["charts"]):
            figures.append(figure_of(from_json(chart), f"{prefix}{name}-{place + 1}"))
        tables = [Table(title.replace("_", " "), rows, open=False) for title, rows in content["tables"].items() if rows]
        small = [f"Diagnostic {name}, {content['samples']:,} samples of {content['split']}; networks trained with "
                 "select held out."]  # fmt: skip
        blocks.append(Block(content["question"], content["answer"], figures, tables, small=small))
    return blocks


def _cost(told: Told) -> Block:
    cost = told.results["cost"]
    labels = {"parameters": "parameters", "macs": "multiply-adds per sample", "latency_ms": "milliseconds per batch",
              "latency_spread_ms": "spread of the milliseconds", "latency_batch": "samples per batch",
              "latency_device": "measured on", "epochs": "epochs of the final training"}  # fmt: skip
    rows = [{"what": labels.get(key, key.replace("_", " ")), "found network": value}
            for key, value in cost.items() if not isinstance(value, (dict, list))]  # fmt: skip
    tables, text = [Table("cost", rows)], []
    gates = told.results.get("gates")
    if gates:
        text.append(f"Gates decide sample by sample: a sample costs {gates['cost_share']:.0%} of running everything.")
        tables.append(Table("how often a gate goes on", [{"gate": n, "share": v} for n, v in gates["runs"].items()]))
        spent = [{"batch": size, **row} for size, row in gates.get("milliseconds", {}).items()]
        tables += [Table("milliseconds with and without gates", spent)] if spent else []
    times = [
        {"form": form, "batch": size, "in memory ms": row["eager_ms"], "exported ms": row["ms"],
         "largest difference": row["max_difference"]}
        for form, facts in told.export.items() if isinstance(facts, dict)
        for size, row in facts.get("batches", {}).items()
    ]  # fmt: skip
    if times:
        tables.append(Table("exported forms", times))
    return Block("What it costs", text, tables=tables)


def _ran(told: Told) -> Block:
    results, environment = told.results, told.environment
    data = results["data"]
    versions = environment.get("versions", {})
    rows = [
        {"what": "space", "value": told.space.name},
        {"what": "data", "value": _without_folders(str(data.get("source", "")))},
        *({"what": f"samples of {part}", "value": f"{sum(count.values()):,} ({_counts(count)})"}
          for part, count in data.get("counts", {}).items()),
        {"what": "seed", "value": results["seeds"]["run"]},
        {"what": "seeds of the final networks", "value": results["seeds"]["networks"]},
        {"what": "seconds", "value": results.get("seconds")},
        {"what": "commit", "value": environment.get("commit")},
        {"what": "versions", "value": ", ".join(f"{name} {version}" for name, version in versions.items())},
        {"what": "machine", "value": f"{environment.get('processor')}, {environment.get('cores')} cores, "
                                     f"{environment.get('device')}"},
    ]  # fmt: skip
    kept = [row for row in rows if row["value"] not in (None, "")]
    command = f"fusionnas search --space space.yaml --seed {results['seeds']['run']}"
    code = {"this command, with the file below, runs it again": command, "space.yaml": _without_folders(_yaml(told))}
    return Block("What was run", tables=[Table("the run", kept)], code=code, small=data.get("notes", []))


def _counts(count: Mapping[str, int]) -> str:
    if len(count) > 6:
        return f"{len(count)} classes of {min(count.values())} to {max(count.values())}"
    return ", ".join(f"{name}: {number:,}" for name, number in count.items())


def _yaml(told: Told) -> str:
    return told.space.to_yaml()


def _without_folders(text: str) -> str:
    """Absolute paths cut to the last name: where files lie on one machine is nobody's business."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\",}]+/)+", "", text)
