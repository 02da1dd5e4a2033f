"""Writing an export: the native files, a model card, and every form that was asked for, each checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionnas.errors import InputError, MissingExtraError, did_you_mean
from fusionnas.export.capture import ExportError
from fusionnas.export.card import card
from fusionnas.export.cases import cases, worst
from fusionnas.export.form import Form, forms
from fusionnas.export.fresh import check, check_here
from fusionnas.export.native import Model, read_native, write_native
from fusionnas.network import FusionNetwork
from fusionnas.run.files import write_atomic

TOLERANCE = 1e-4
"""Largest absolute difference of a logit that counts as the same."""


def write_export(source: Path, folder: Path, formats: Sequence[str], *, fresh: bool) -> dict[str, Any]:
    """See :func:`fusionnas.api.export`; the content of ``export.json``."""
    wanted = _wanted(formats)
    model = read_native(source)
    write_native(folder, model.network, model.space.to_yaml(), model.preprocessing)
    report: dict[str, Any] = {"architecture": model.network.architecture.id, "checked": "fresh process" if fresh
                              else "in memory"}  # fmt: skip
    for name in wanted:
        try:
            report[name] = _one(forms[name], folder, model.network, fresh=fresh)
        except (MissingExtraError, ExportError) as error:
            if name in formats:
                raise
            report[name] = {"left_out": " ".join(line.strip() for line in str(error).splitlines())}
    _finish(folder, model, report)
    return report


def _wanted(formats: Sequence[str]) -> list[str]:
    unknown = [name for name in formats if name != "all" and name not in forms]
    if unknown:
        known = [*forms, "all"]
        raise InputError("unknown export format", [f"'{name}':{did_you_mean(name, known)}" for name in unknown])
    usual = [name for name in forms if forms[name].usual] if "all" in formats else []
    return list(dict.fromkeys(["native", *usual, *(name for name in formats if name != "all")]))


def _one(form: type[Form], folder: Path, network: FusionNetwork, *, fresh: bool) -> dict[str, Any]:
    """Write one form and compare it with the network.

    Raises:
        ExportError: it differs.
    """
    facts = form.write(folder, network)
    found = cases(network, dense=not form.routed, lengths=facts.get("lengths", ()))
    rows = (check if fresh else check_here)(form, folder / form.file, found)
    if not worst(rows.values()) <= TOLERANCE:
        raise ExportError(f"{form.file} differs from the network by {worst(rows.values()):.1e}")
    return {"file": form.file, **facts, "batches": rows}


def _finish(folder: Path, model: Model, report: dict[str, Any]) -> None:
    write_atomic(folder / "export.json", (json.dumps(report, indent=2) + "\n").encode())
    if model.results:
        write_atomic(folder / "results.json", (json.dumps(model.results, indent=2) + "\n").encode())
    write_atomic(folder / "README.md", card(model, report).encode())
