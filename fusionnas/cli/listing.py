"""``fusionnas list``: what the registries hold, with source and formula."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, print_json
from fusionnas.errors import InputError, did_you_mean

Row = dict[str, Any]


_WHAT = (
    "operators", "encoders", "methods", "decoders", "training", "objectives", "datasets", "diagnostics", "forms",
    "spaces", "benchmarks",
)  # fmt: skip


@app.command("list")
def list_entries(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help=f"{', '.join(_WHAT[:-1])} or {_WHAT[-1]}.")
    ],
    as_json: Json = False,
) -> None:
    """List what can be named in a space file or on the command line."""
    if what not in _LISTS:
        raise InputError(f"'{what}' cannot be listed.{did_you_mean(what, _LISTS)}")
    rows = _LISTS[what]()
    if as_json:
        print_json(rows)
        return
    from fusionnas.cli.tables import print_rows

    print_rows([{key: value for key, value in row.items() if key not in _ONLY_JSON} for row in rows])


def _operators() -> list[Row]:
    from fusionnas.operators import operators

    rows = [(operators[name].facts.rank, name, operators[name]) for name in operators]
    return [
        {"name": name, "reads": cls.reads(), "inputs": cls.takes(), "ordered": cls.ordered, **asdict(cls.facts)}
        for _, name, cls in sorted(rows, key=lambda row: row[:2])
    ]


def _encoders() -> list[Row]:
    from fusionnas.encoders import encoders

    return [{"name": name, **asdict(encoders[name].facts), "kinds": ", ".join(encoders[name].facts.kinds)}
            for name in encoders]  # fmt: skip


def _methods() -> list[Row]:
    from fusionnas.search.method import methods

    options = {name: ", ".join(methods[name].options.model_fields) or "none" for name in methods}
    return [{"name": name, **asdict(methods[name].facts), "options": options[name]} for name in methods]


def _decoders() -> list[Row]:
    from fusionnas.search.decoder import decoders

    return [{"name": name, **asdict(decoders[name].facts)} for name in decoders]


def _training() -> list[Row]:
    from fusionnas.training.method import training_methods

    return [{"name": name, **asdict(training_methods[name].facts)} for name in training_methods]


def _objectives() -> list[Row]:
    from fusionnas.pretraining.base import objectives as pretraining
    from fusionnas.search.objective import objectives as searching

    rows = []
    for name in searching:
        where = "scikit-learn" if searching[name].cost is None else "docs/cost.md"
        rows.append({"name": name, "key": "search.objective", "formula": searching[name].summary, "source": where,
                     "departs": "nothing"})  # fmt: skip
    return rows + [
        {"name": name, "key": "pretrain.objective", **asdict(pretraining[name].facts)} for name in pretraining
    ]


def _datasets() -> list[Row]:
    from fusionnas.data.base import datasets

    return [{"name": name, "summary": _first_line(datasets[name])} for name in datasets]


def _diagnostics() -> list[Row]:
    from fusionnas.diagnostics.base import diagnostics

    return [{"name": name, **asdict(diagnostics[name].facts)} for name in diagnostics]


def _forms() -> list[Row]:
    from fusionnas.export.form import forms

    return [{"name": name, **asdict(forms[name].facts), "file": forms[name].file} for name in forms]


def _spaces() -> list[Row]:
    from fusionnas.space import SearchSpace, bundled_spaces

    rows = []
    for name, path in bundled_spaces().items():
        space = SearchSpace.load(path)
        rows.append({"name": name, "summary": " ".join(space.summary.split("\n")), "path": str(path)})
    return rows


def _benchmarks() -> list[Row]:
    from fusionnas.bench import benches

    return [{"name": name, "summary": _first_line(benches[name])} for name in benches]


def _first_line(entry: object) -> str:
    return (inspect.getdoc(entry) or "").split("\n")[0]


_LISTS: dict[str, Callable[[], list[Row]]] = {
    "operators": _operators,
    "encoders": _encoders,
    "methods": _methods,
    "decoders": _decoders,
    "training": _training,
    "objectives": _objectives,
    "datasets": _datasets,
    "diagnostics": _diagnostics,
    "forms": _forms,
    "spaces": _spaces,
    "benchmarks": _benchmarks,
}
# Too long for a table of a terminal's width; ``--json`` has them.
_ONLY_JSON = ("view", "path")
