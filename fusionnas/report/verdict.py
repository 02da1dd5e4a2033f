"""The question that a run answers, and its answer in two sentences: did fusion pay, and would something simpler do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Baseline = tuple[str, Mapping[str, Any]]


def question(name: str, sources: Sequence[str], target: str) -> str:
    """What was asked, in one sentence."""
    if len(sources) == 1:
        return f"How should {sources[0]} be encoded to predict {target}?"
    return f"Where, when and how should {listed(sources)} be fused to predict {target}?"


def verdict(results: Mapping[str, Any], sources: Sequence[str]) -> tuple[str, str]:
    """Two sentences.

    Args:
        results: the content of ``results.json``.
        sources: all modalities of the space, views of one source once.
    """
    read = results["modalities"]
    if len(sources) == 1:
        return f"There is one modality, {sources[0]}: nothing to fuse.", _richer(results)
    if len(read) == 1:
        return _dropped(results, sources), _single(results)
    if len(read) < len(sources):
        return _against_single(results), _dropped(results, sources)
    return _against_single(results), _simpler(results)


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def measured(entry: Mapping[str, Any], metric: str, *, turned: bool = False) -> str:
    """``+0.0320 roc_auc, 95 % interval +0.0100 to +0.0500``; ``turned``: from the baseline's side."""
    value, (low, high) = entry["difference"], entry["interval"]
    if turned:
        value, low, high = -value, -high, -low
    return f"{value:+.4f} {metric}, 95 % interval {low:+.4f} to {high:+.4f}"


def _everything(results: Mapping[str, Any], sources: Sequence[str]) -> Baseline | None:
    """The best baseline that reads every modality."""
    fixed = {n: e for n, e in results["baselines"].items() if n in ("early fusion", "late fusion") or "fixed " in n}
    return min(fixed.items(), key=lambda item: item[1]["difference"], default=None)


def _best_single(results: Mapping[str, Any]) -> Baseline | None:
    single = {name: entry for name, entry in results["baselines"].items() if name.startswith("only ")}
    return min(single.items(), key=lambda item: item[1]["difference"], default=None)


def _against_single(results: Mapping[str, Any]) -> str:
    read, metric = results["modalities"], results["metric"]
    rival = _best_single(results)
    if rival is None:
        return f"The best network found fuses {listed(read)}."
    name, entry = rival[0].removeprefix("only "), rival[1]
    low, high = entry["interval"]
    if low > 0:
        return f"Fusing {listed(read)} pays: on test it beats the best single modality, {name}, by " \
               f"{measured(entry, metric)}."  # fmt: skip
    if high < 0:
        return f"Fusion does not pay: on test {name} alone is better than fusing {listed(read)}, by " \
               f"{measured(entry, metric, turned=True)}."  # fmt: skip
    return f"Whether fusion pays is not clear: on test, fusing {listed(read)} and {name} alone cannot be told apart " \
           f"({measured(entry, metric)})."  # fmt: skip


def _dropped(results: Mapping[str, Any], sources: Sequence[str]) -> str:
    read, metric = results["modalities"], results["metric"]
    gone = [source for source in sources if source not in read]
    rival = _everything(results, sources)
    verb = "is" if len(read) == 1 else "are"
    alone = " alone" if len(read) == 1 else ""
    if rival is None:
        return f"{listed(read).capitalize()}{alone} {verb} enough: the search dropped {listed(gone)}."
    name, entry = rival
    low, high = entry["interval"]
    every = f"all {len(sources)} modalities together ({name}, the best of such)"
    if low > 0:
        return f"Dropping modalities is better: on test {listed(read)}{alone} {verb} better than {every}, by " \
               f"{measured(entry, metric)}."  # fmt: skip
    if high < 0:
        return f"Dropping {listed(gone)} costs something: on test {every} is better than {listed(read)}{alone}, by " \
               f"{measured(entry, metric, turned=True)}."  # fmt: skip
    return f"Dropping {listed(gone)} costs nothing that the test could show: {listed(read)}{alone} and {every} " \
           f"cannot be told apart ({measured(entry, metric)})."  # fmt: skip


def _single(results: Mapping[str, Any]) -> str:
    known = results.get("known_as") or f"only {results['modalities'][0]}"
    metric, score = results["metric"], results["test"][results["metric"]]
    return f"Take {known.removeprefix('only ')} and leave the fusion out: it scores {score:.4f} {metric} on test."


def _simpler(results: Mapping[str, Any]) -> str:
    known, metric = results.get("known_as"), results["metric"]
    if known:
        return f"The found network is plain {known}; nothing richer was better on held-out samples."
    simple = {n: e for n, e in results["baselines"].items() if n in ("late fusion", "early fusion")}
    if not simple:
        return f"It scores {results['test'][metric]:.4f} {metric} on test."
    name, entry = min(simple.items(), key=lambda item: item[1]["difference"])
    low, high = entry["interval"]
    if low > 0:
        return f"A simpler fusion would not do: it beats {name}, the better of early and late, by " \
               f"{measured(entry, metric)}."  # fmt: skip
    if high < 0:
        return f"A simpler fusion is better: {name} beats it by {measured(entry, metric, turned=True)}."
    return f"A simpler fusion may do as well: on test it cannot be told apart from {name} ({measured(entry, metric)})."


def _richer(results: Mapping[str, Any]) -> str:
    metric = results["metric"]
    return f"The found network scores {results['test'][metric]:.4f} {metric} on test."
