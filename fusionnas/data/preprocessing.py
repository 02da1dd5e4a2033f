"""Preprocessing: raw records -> one feature per modality of the space, with statistics of the train part alone.

It is plain data: an export carries it as JSON and so takes raw records in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fusionnas.data.raw import Ints, Raw, Series, Table
from fusionnas.data.records import Records
from fusionnas.data.views import KINDS, VIEWS, View
from fusionnas.errors import DataError, did_you_mean
from fusionnas.feature import Feature, Signature

if TYPE_CHECKING:
    from fusionnas.data.base import Part
    from fusionnas.space import SearchSpace
    from fusionnas.space.schema import Modality


@dataclass(frozen=True)
class Preprocessing:
    """Fitted views of all modalities.

    Attributes:
        views: per modality of the space, in declared order.
        sources: per modality, the name of its input in the records.
        columns: per modality, the columns or variables that it takes; None = all.
        classes: names of the labels, in the order of the outputs.
        outputs: 1 for a binary task, else the number of classes.
    """

    views: Mapping[str, View]
    sources: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...] | None]
    classes: tuple[str, ...]
    outputs: int

    @classmethod
    def fit(cls, records: Records, space: SearchSpace) -> Preprocessing:
        """Take statistics of the train records.

        Raises:
            DataError: a modality's source is not in the records, or is of another kind than the space says.
        """
        modalities = space.file.modalities
        names = {name: modality.source or name for name, modality in modalities.items()}
        chosen = {name: (view_of(modality, name), modality) for name, modality in modalities.items()}
        problems = [
            problem
            for name, (view, modality) in chosen.items()
            if (problem := _misfit(records, name, names[name], view, modality))
        ]
        problems += _class_problems(records, space.file.task.kind)
        if problems:
            raise DataError(f"the data do not fit the space '{space.file.name}'", problems)
        columns = {name: modality.columns for name, modality in modalities.items()}
        views = {
            name: VIEWS[view].fit(select(records.modalities[names[name]], columns[name]), modality)
            for name, (view, modality) in chosen.items()
        }
        outputs = 1 if space.file.task.kind == "binary" else len(records.classes)
        return cls(views, names, columns, records.classes, outputs)

    @property
    def signature(self) -> Signature:
        """What goes into a network and comes out."""
        return Signature({name: view.spec for name, view in self.views.items()}, self.outputs)

    @property
    def notes(self) -> list[str]:
        """Warnings for the reader of the results, each with its input; views of one input say it once."""
        return list(
            dict.fromkeys(f"{self.sources[name]}: {note}" for name, view in self.views.items() for note in view.notes())
        )

    def transform(self, records: Records) -> dict[str, Feature]:
        """N records -> per modality (N, T, R) floats, or (N, T) ids.

        Raises:
            DataError: the records lack an input, or it has another kind or shape than in training.
        """
        problems = [
            f"{name}: no input '{source}' of kind {self.views[name].raw.__name__.lower()} in the data; it has "
            f"{', '.join(f'{n} ({type(r).__name__.lower()})' for n, r in records.modalities.items())}"
            for name, source in self.sources.items()
            if not isinstance(records.modalities.get(source), self.views[name].raw)
        ]
        if problems:
            raise DataError("the data do not fit the trained network", problems)
        features = {}
        for name, view in self.views.items():
            try:
                features[name] = view.transform(select(records.modalities[self.sources[name]], self.columns[name]))
            except DataError as error:
                raise DataError(
                    "the data do not fit the trained network", [f"{name}: {problem}" for problem in error.problems]
                ) from error
        return features

    def labels(self, records: Records) -> Ints:
        """(N,) index into ``self.classes``; -1 throughout if the records have no labels.

        Raises:
            DataError: a label that was not in training.
        """
        if records.target is None:
            return np.full(len(records), -1, dtype=np.int64)
        place = np.array(
            [self.classes.index(name) if name in self.classes else -1 for name in records.classes], dtype=np.int64
        )
        labels = place[records.target]
        if (labels < 0).any():
            new = sorted({records.classes[i] for i in records.target[labels < 0]})
            raise DataError(
                "the data have labels that were not in training",
                [f"label {name!r}: known labels are {', '.join(self.classes)}" for name in new],
            )
        return labels

    def part(self, records: Records) -> Part:
        """Records as a part of a data set."""
        from fusionnas.data.base import Part

        groups = records.ids if records.groups is None else records.groups.astype(str)
        return Part(self.transform(records), torch.from_numpy(self.labels(records)), records.ids, groups)

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``from_json`` gives back an equal object, floats to the last bit."""
        modalities = {
            name: {"source": self.sources[name], "columns": self.columns[name], **view.to_json()}
            for name, view in self.views.items()
        }
        return {"schema": 1, "modalities": modalities, "classes": list(self.classes), "outputs": self.outputs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read what ``to_json`` wrote, also after a trip through a JSON file."""
        modalities = data["modalities"]
        fitted = {
            name: VIEWS[entry["view"]].from_json({k: v for k, v in entry.items() if k not in ("source", "columns")})
            for name, entry in modalities.items()
        }
        return cls(
            fitted,
            {name: entry["source"] for name, entry in modalities.items()},
            {name: None if entry["columns"] is None else tuple(entry["columns"]) for name, entry in modalities.items()},
            tuple(data["classes"]),
            int(data["outputs"]),
        )


def view_of(modality: Modality, name: str) -> str:
    """The view of a modality: as the space says, else as its first encoder asks.

    Raises:
        DataError: the kind has no such view.
    """
    if modality.view is not None:
        view: str = modality.view
    else:
        from fusionnas.encoders.base import encoders

        facts = encoders[modality.encoder[0]].facts
        view = facts.view.get(modality.kind, KINDS[modality.kind][0])
    if view not in KINDS[modality.kind]:
        raise DataError(
            "a modality cannot be read as the space asks",
            [
                f"modalities.{name}.view: '{view}' is no view of kind {modality.kind}; it has "
                f"{', '.join(KINDS[modality.kind])}"
            ],
        )
    return view


def select(raw: Raw, columns: tuple[str, ...] | None) -> Raw:
    """The columns of a table or the variables of a series, in the order asked for."""
    if columns is None:
        return raw
    if isinstance(raw, Table):
        numbers = [name for name in columns if name in raw.names]
        return replace(
            raw,
            names=tuple(numbers),
            values=raw.values[:, [raw.names.index(n) for n in numbers]],
            words={name: raw.words[name] for name in columns if name in raw.words},
        )
    if isinstance(raw, Series):
        place = np.array([columns.index(name) if name in columns else -1 for name in raw.variables], dtype=np.int64)
        mine = np.flatnonzero(place[raw.variable] >= 0)
        about = {"horizon": raw.horizon, "ranges": raw.ranges, "log": raw.log}
        return Series.from_events(
            raw.sample[mine],
            raw.times[mine],
            place[raw.variable[mine]],
            raw.values[mine],
            size=len(raw),
            variables=columns,
            **about,
        )
    return raw


def _misfit(records: Records, name: str, source: str, view: str, modality: Modality) -> str:
    """What is wrong with a modality's input, or ""."""
    where = f"modalities.{name}"
    raw = records.modalities.get(source)
    if raw is None:
        return f"{where}: the data have no input '{source}'.{did_you_mean(source, records.modalities)}"
    if not isinstance(raw, VIEWS[view].raw):
        found = type(raw).__name__.lower()
        return f"{where}.kind: the input '{source}' is a {found}, which cannot be read as {modality.kind}"
    known = (*raw.names, *raw.words) if isinstance(raw, Table) else raw.variables if isinstance(raw, Series) else None
    if known is None:
        return ""
    asked = {
        "columns": modality.columns or (),
        "categorical": modality.categorical,
        "ranges": tuple(modality.ranges),
        "log": modality.log,
    }
    for option, entries in asked.items():
        for entry in entries:
            if entry not in known:
                return f"{where}.{option}: the input '{source}' has no '{entry}'.{did_you_mean(entry, known)}"
    return ""


def _class_problems(records: Records, kind: str) -> list[str]:
    if kind == "binary" and len(records.classes) != 2:
        return [
            f"task.kind: binary needs two labels, the data have {len(records.classes)}: "
            f"{', '.join(records.classes[:10])}; use kind: multiclass or another target"
        ]
    return []
