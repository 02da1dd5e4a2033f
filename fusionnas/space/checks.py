"""What pydantic cannot see: names in registries, and keys that must agree with each other.

Each check yields problems; none raises. Registries are imported when a check runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from fusionnas.space.places import KeyPath, Problem, suggest
from fusionnas.space.schema import Files, Modality, SpaceFile

if TYPE_CHECKING:
    from fusionnas.registry import Registry

_BINARY_ONLY = ("average_precision", "roc_auc")
# Views of which an encoder may be given another than it asks for: sequences of float tokens, and rows of statistics.
_ALIKE = (frozenset({"bins", "observations"}), frozenset({"summary", "spectrum"}))
# Views of one row per sample.
_ROWS = ("plain", "summary", "spectrum")
# Training methods that weigh modalities against each other.
_WEIGHING = ("blending", "modulation", "debias", "warm_start")


def check(file: SpaceFile, *, method: bool) -> Iterator[Problem]:
    """All problems of single names and sections; ``method``: also look up the search method."""
    for name, modality in file.modalities.items():
        path = ("modalities", name)
        yield from _name(name, path)
        yield from _encoders(modality, path)
        yield from _source(file, name, path)
        yield from _policy(modality, path)
        yield from _columns(modality, path)
    yield from _operators(file)
    yield from _training(file)
    yield from _pretrain(file)
    yield from _data(file)
    if method:
        yield from _search(file)
        yield from _objective(file)
    if file.task.kind == "multiclass" and file.task.metric in _BINARY_ONLY:
        fitting = "accuracy, balanced_accuracy, f1_macro, log_loss"
        message = f"'{file.task.metric}' is for binary tasks; for multiclass: {fitting}"
        yield Problem(("task", "metric"), message)


def check_sizes(file: SpaceFile) -> Iterator[Problem]:
    """Whether a node can read as many inputs as asked; needs sections that are valid each for itself."""
    from fusionnas.operators.base import operators

    low, high = file.fusion.inputs
    points = sum(modality.levels + 1 for modality in file.modalities.values())
    most = points + file.fusion.nodes - 1
    path = ("fusion", "inputs")
    if low > points:
        message = f"a node reads at least {low} inputs, but there are {points} fusion points; add modalities or levels"
        yield Problem(path, message)
    elif high > most:
        sources = f"{points} fusion points and {file.fusion.nodes - 1} earlier nodes"
        yield Problem(path, f"a node can read at most {most} inputs ({sources}), given [{low}, {high}]")
    if file.fusion.nodes > 1 and all(operators[name].decides for name in file.fusion.operators):
        message = "all of them fuse predictions, which only the last node does; add others, or set fusion.nodes to 1"
        yield Problem(("fusion", "operators"), message)
    for place, name in enumerate(file.fusion.operators):
        fewest, limit = operators[name].inputs_range
        if fewest > high or (limit is not None and limit < low):
            takes = f"{fewest} or more" if limit is None else f"{fewest}" if limit == fewest else f"{fewest} to {limit}"
            message = f"'{name}' takes {takes} inputs, but fusion.inputs is [{low}, {high}]; drop it or change inputs"
            yield Problem(("fusion", "operators", place), message)


def search_methods() -> Registry[Any]:
    """The search methods: by name, not by import statement, since a space is loaded where no search is."""
    registry: Registry[Any] = importlib.import_module("fusionnas.search.method").methods
    return registry


def _search(file: SpaceFile) -> Iterator[Problem]:
    methods, decoders = search_methods(), importlib.import_module("fusionnas.search.decoder").decoders
    name, decoder = file.search.method, file.search.decoder
    if name not in methods:
        yield _unknown("search method", name, methods, ("search", "method"))
    if decoder is not None and decoder not in decoders:
        yield _unknown("decoder", decoder, decoders, ("search", "decoder"))
    elif decoder is not None and name in methods and not methods[name].facts.relaxed:
        fitting = ", ".join(other for other in methods if methods[other].facts.relaxed)
        yield Problem(("search", "decoder"), f"'{name}' decodes nothing; methods that do: {fitting}")


def _objective(file: SpaceFile) -> Iterator[Problem]:
    objectives = importlib.import_module("fusionnas.search.objective").objectives
    named, costs = file.search.objective, [name for name in objectives if objectives[name].cost is not None]
    for place, name in enumerate(named):
        if name not in objectives:
            yield _unknown("objective", name, objectives, ("search", "objective", place))
        elif file.task.kind == "multiclass" and name in _BINARY_ONLY:
            yield Problem(("search", "objective", place), f"'{name}' is for binary tasks")
    metrics = [name for name in named if name in objectives and name not in costs]
    if named and len(metrics) != 1 and all(name in objectives for name in named):
        given, example = " and ".join(metrics) or "none", file.task.metric
        yield Problem(("search", "objective"), f"needs one metric of prediction, such as {example}; given {given}")
    for name in file.search.constraints:
        if name not in costs:
            yield _unknown("cost", name, costs, ("search", "constraints", name))


def _unknown(what: str, name: str, known: Collection[str] | Registry[Any], path: KeyPath) -> Problem:
    return Problem(path, f"'{name}' is not a {what}{suggest(name, list(known))}".replace("a encoder", "an encoder"))


def _name(name: str, path: KeyPath) -> Iterator[Problem]:
    from torch import nn

    # Networks keep encoders in nn.ModuleDict by modality, which refuses the names of its own attributes.
    if hasattr(nn.ModuleDict(), name):
        yield Problem(path, f"'{name}' is taken by PyTorch's modules; choose another name and write source: {name}")


def _encoders(modality: Modality, path: KeyPath) -> Iterator[Problem]:
    from fusionnas.data.views import KINDS
    from fusionnas.encoders.base import encoders

    kind, view, several = modality.kind, modality.view, len(modality.encoder) > 1
    asked: dict[str, str] = {}
    for index, name in enumerate(modality.encoder):
        place = (*path, "encoder", index) if several else (*path, "encoder")
        if name not in encoders:
            yield _unknown("encoder", name, encoders, place)
        elif kind not in encoders[name].facts.kinds:
            fitting = [other for other in encoders if kind in encoders[other].facts.kinds]
            yield Problem(place, f"'{name}' does not encode kind {kind}; for it: {', '.join(fitting)}")
        else:
            asked[name] = encoders[name].facts.view.get(kind, KINDS[kind][0])
            fits = view == asked[name] or any({view, asked[name]} <= alike for alike in _ALIKE)
            if view in KINDS[kind] and not fits:
                yield Problem(place, f"'{name}' reads the view {asked[name]} of kind {kind}, not {view}")
    if view is not None and view not in KINDS[kind]:
        yield Problem((*path, "view"), f"kind {kind} has no view '{view}'; it has: {', '.join(KINDS[kind])}")
    if view is None and len(set(asked.values())) > 1:
        told = ", ".join(f"{name} reads {form}" for name, form in asked.items())
        message = f"these encoders read different views ({told}); make one modality per view, with one source"
        yield Problem((*path, "encoder"), message)
    used = view if view is not None else next(iter(asked.values()), None)
    if modality.wide and used not in (None, *_ROWS):
        message = f"a wide path needs one row per sample ({', '.join(_ROWS)}); this modality's view is {used}"
        yield Problem((*path, "wide"), message)


def _source(file: SpaceFile, name: str, path: KeyPath) -> Iterator[Problem]:
    modality = file.modalities[name]
    source = modality.source
    if source is None or source == name:
        return
    other = file.modalities.get(source)
    if other is not None and other.source not in (None, source):
        message = f"'{source}' is itself a view of '{other.source}'; write source: {other.source}"
        yield Problem((*path, "source"), message)
    kinds = {n: m.kind for n, m in file.modalities.items() if n != name and (m.source or n) == source}
    for first, kind in kinds.items():
        if kind != modality.kind:
            message = f"reads '{source}' as {modality.kind}, but '{first}' reads it as {kind}; one input has one kind"
            yield Problem((*path, "kind"), message)
            return


def _policy(modality: Modality, path: KeyPath) -> Iterator[Problem]:
    if modality.policy == "joint" and modality.weights is not None:
        yield Problem((*path, "weights"), "are not used with policy joint; write policy: frozen, finetune or adapt")
    if modality.policy != "joint" and len(modality.encoder) > 1:
        given = len(modality.encoder)
        message = (
            f"{modality.policy} needs one encoder, given {given}: layers that were trained before are not searched"
        )
        yield Problem((*path, "policy"), message)
    if modality.weights is not None and not modality.weights.endswith(".safetensors"):
        yield Problem((*path, "weights"), f"'{modality.weights}' is not a .safetensors file")


def _columns(modality: Modality, path: KeyPath) -> Iterator[Problem]:
    named = {"categorical": modality.categorical, "log": modality.log, "ranges": tuple(modality.ranges)}
    numbers = ("tabular", "vector", "timeseries")
    allowed = {"categorical": ("tabular",), "log": numbers, "ranges": numbers}
    for key, columns in named.items():
        if columns and modality.kind not in allowed[key]:
            kinds = ", ".join(allowed[key])
            yield Problem((*path, key), f"is for kind {kinds}; this modality's kind is {modality.kind}")
        elif modality.columns is not None:
            for column in columns:
                if column not in modality.columns:
                    message = f"'{column}' is not among this modality's columns{suggest(column, modality.columns)}"
                    yield Problem((*path, key), message)
    for column in modality.categorical:
        if column in modality.log or column in modality.ranges:
            yield Problem((*path, "categorical"), f"'{column}' is a category; take it out of log and ranges")


def _operators(file: SpaceFile) -> Iterator[Problem]:
    from fusionnas.operators.base import operators

    for place, name in enumerate(file.fusion.operators):
        if name not in operators:
            yield _unknown("fusion operator", name, operators, ("fusion", "operators", place))


def _training(file: SpaceFile) -> Iterator[Problem]:
    training = file.training
    groups = _groups(file)
    weighing: dict[KeyPath, object] = {
        ("training", "robustness", key): getattr(training.robustness, key) for key in ("missing", "rank")
    }
    weighing |= {("training", key): getattr(training, key) for key in _WEIGHING}
    for path in (path for path, used in weighing.items() if used and len(groups) < 2):
        yield Problem(path, "needs two modalities or more; this space has one")
    for place, name in enumerate((training.debias and training.debias.modalities) or ()):
        if name not in groups:
            message = f"'{name}' is not a modality of this space{suggest(name, groups)}"
            yield Problem(("training", "debias", "modalities", place), message)
    if file.search.data_parallel > 1 and (used := [key for key in _WEIGHING if getattr(training, key) is not None]):
        message = f"given {file.search.data_parallel}, but training.{used[0]} measures whole batches; leave one out"
        yield Problem(("search", "data_parallel"), message)
    if training.warm_start is not None:
        for section, epochs in (("training", training.epochs), ("search", file.search.epochs)):
            if training.warm_start.epochs >= epochs:
                message = f"given {training.warm_start.epochs}, expected fewer than {section}.epochs, which is {epochs}"
                yield Problem(("training", "warm_start", "epochs"), message)


def _pretrain(file: SpaceFile) -> Iterator[Problem]:
    if file.pretrain is None:
        return
    from fusionnas.pretraining.base import objectives

    name, path = file.pretrain.objective, ("pretrain", "objective")
    if name not in objectives:
        yield _unknown("pretraining objective", name, objectives, path)
    elif len(_groups(file)) < 2 and name != "mask":
        yield Problem(path, f"'{name}' needs two modalities or more; with one, use mask")


def _groups(file: SpaceFile) -> set[str]:
    return {modality.source or name for name, modality in file.modalities.items()}


def _data(file: SpaceFile) -> Iterator[Problem]:
    from fusionnas.data.base import datasets

    if file.task.positive is not None and file.task.kind != "binary":
        yield Problem(("task", "positive"), "only a binary task has a positive label")
    if isinstance(file.data, Files) and file.data.split is not None:
        for part in ("alpha", "select", "test"):
            if getattr(file.data, part) is not None:
                yield Problem(("data", part), "given beside 'split': the column says the parts, or files do, not both")
    if isinstance(file.data, Files) and file.data.exclude and file.data.format not in ("csv", "parquet"):
        yield Problem(("data", "exclude"), f"is for tables (csv, parquet), not for format {file.data.format}")
    if isinstance(file.data, str) and file.data not in datasets:
        if "/" in file.data or "." in file.data:
            example = f"data: {{format: npz, train: {file.data}, target: label}}"
            yield Problem(("data",), f"'{file.data}' looks like a file; describe it: {example}")
        else:
            yield _unknown("data set", file.data, datasets, ("data",))
