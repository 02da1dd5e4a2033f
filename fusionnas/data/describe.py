"""What ``fusionnas data`` says about a data set, as plain data. The test part stays shut."""

from __future__ import annotations

from typing import Any

from fusionnas.data.base import Dataset


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts, shares of the labels, what is missing, and warnings.

    Returns:
        ``source`` (name, licence, hash), ``parts`` (per part: samples, share of each label), ``inputs`` (per modality:
        view, tokens, width, share of train samples that have it, and per column with gaps the share that has a value),
        ``notes``, ``facts``.
    """
    description = dict(dataset.description)
    counts = description.pop("counts")
    notes = description.pop("notes")
    train = dataset.search.train
    inputs = {}
    for name, view in dataset.preprocessing.views.items():
        given, spec = train.inputs[name], view.spec
        inputs[name] = {
            "source": dataset.preprocessing.sources[name],
            "view": view.name,
            "tokens": spec.tokens,
            "width": spec.width or spec.vocabulary,
            "present": float(given.present.float().mean()),
            "coverage": view.coverage(given),
        }
    return {
        "source": description,
        "parts": {name: _shares(count) for name, count in counts.items()},
        "inputs": inputs,
        "notes": list(notes),
        "facts": dict(dataset.facts),
    }


def _shares(count: dict[str, int]) -> dict[str, Any]:
    total = sum(count.values())
    return {"samples": total, "labels": {name: n / max(total, 1) for name, n in count.items()}}
