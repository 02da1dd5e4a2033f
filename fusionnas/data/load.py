"""From a space and a data set's name, or the user's own files, to split and preprocessed data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionnas.data.base import Cohort, Dataset, Part, SealedTest, SearchData, datasets
from fusionnas.data.preprocessing import Preprocessing
from fusionnas.data.raw import Ints
from fusionnas.data.records import Records
from fusionnas.data.split import check_parts, split
from fusionnas.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

FRACTIONS = {"alpha": 0.1, "select": 0.2, "test": 0.2}
"""Share of the given samples that each part gets if it has to be split off; the rest is for training."""

_TEST_SEED = 0


def load_dataset(
    space: SearchSpace, *, data: str | Path | None = None, data_path: Path | None = None, seed: int = 0
) -> Dataset:
    """Load, split, preprocess.

    Args:
        space: what is needed of the data, and which data.
        data: instead of the space's: a registered name, or a file or folder in a documented layout.
        data_path: folder from which a registered data set reads.
        seed: of the split into train, alpha and select. A test part that has to be split off does not
            depend on it, so that runs with several seeds are compared on the same samples.

    Raises:
        DataError: the data cannot be read, do not fit the space or cannot be split.
    """
    cohort = load_cohort(space, data, data_path)
    parts, notes = _parts(cohort, seed)
    preprocessing = Preprocessing.fit(parts["train"], space)
    train, alpha, select = (preprocessing.part(parts[name]) for name in ("train", "alpha", "select"))
    search = SearchData(train, alpha, select, preprocessing.signature)
    test = parts["test"]
    sealed = SealedTest(lambda: preprocessing.part(test), len(test))
    description = {
        **cohort.description,
        "counts": {name: _count(part) for name, part in parts.items()},
        "hash": {name: part.digest() for name, part in parts.items()},
        "notes": [*cohort.description.get("notes", []), *notes, *preprocessing.notes],
    }
    return Dataset(search, sealed, preprocessing, description, cohort.facts)


def _count(records: Records) -> dict[str, int]:
    """Samples per label."""
    assert records.target is not None
    return dict(zip(records.classes, np.bincount(records.target, minlength=len(records.classes)).tolist(), strict=True))


def load_records(
    space: SearchSpace, data: str | Path | None = None, data_path: Path | None = None, *, own: bool = False
) -> tuple[Records, str]:
    """Raw samples to evaluate or predict: the test part if the data have one (or need one split off), else all.

    The second value says which: ``test`` or ``all``.

    ``data`` and ``data_path`` as in :func:`load_dataset`; labels may be missing (``target`` is then None). ``own``:
    what they name is the data that the network was trained on, so a test part is split off if there is none.
    """
    given = not own and (data is not None or data_path is not None)
    cohort = load_cohort(space, data, data_path, labelled=False)
    if cohort.test is not None:
        return cohort.test, "test"
    if given or cohort.development.target is None:
        return cohort.development, "all"
    pool = _pool(cohort.development, cohort.parts)
    return _split_off_test(cohort.development.take(pool))[1], "test"


def load_development(space: SearchSpace, data: str | Path | None = None, data_path: Path | None = None) -> Records:
    """Raw samples that are not the test part, be it given or split off; ``data`` and ``data_path`` as above."""
    cohort = load_cohort(space, data, data_path)
    development = cohort.development
    if cohort.test is not None:
        return development
    pool = _pool(development, cohort.parts)
    kept = pool[_split_off_test(development.take(pool))[0]]
    return development.take(np.union1d(np.setdiff1d(np.arange(len(development)), pool), kept))


def load_part(preprocessing: Preprocessing, records: Records) -> Part:
    """Raw samples as a fitted network takes them; the target is -1 where labels are missing."""
    return preprocessing.part(records)


def load_cohort(
    space: SearchSpace, data: str | Path | None, data_path: Path | None, *, labelled: bool = True
) -> Cohort:
    """Raw records of a registered data set, or of the user's files."""
    cohort = _two_labels(_cohort(space, data, data_path, labelled=labelled), space.file.task.positive)
    if labelled and cohort.development.target is None:
        raise DataError(
            "the data have no labels",
            [f"{cohort.description.get('source')}: training needs the outcome of every sample"],
        )
    return cohort


def _cohort(space: SearchSpace, data: str | Path | None, data_path: Path | None, *, labelled: bool) -> Cohort:
    from fusionnas.data.files import load_files, named_layout
    from fusionnas.space.schema import Files

    if isinstance(data, str) and data in datasets:
        return _registered(space, data, data_path)
    if data is not None:
        place = Path(data)
        if not place.exists():
            known = did_you_mean(str(data), datasets)
            raise DataError(
                f"the data '{data}' cannot be found",
                [f"--data {data}: neither a registered data set nor a file or folder.{known}"],
            )
        return load_files(named_layout(place, space.file), space, Path(), labelled=labelled)
    if isinstance(space.file.data, Files):
        files = space.file.data if data_path is None else named_layout(data_path, space.file)
        return load_files(files, space, space.folder if data_path is None else Path(), labelled=labelled)
    if space.file.data in datasets:
        return _registered(space, space.file.data, data_path)
    return _cohort(space, space.folder / space.file.data, data_path, labelled=labelled)


def _two_labels(cohort: Cohort, positive: str | None) -> Cohort:
    """A binary task out of several labels, where the space names the positive one."""
    if positive is None:
        return cohort
    test = None if cohort.test is None else cohort.test.against(positive)
    return replace(cohort, development=cohort.development.against(positive), test=test)


def _registered(space: SearchSpace, name: str, path: Path | None) -> Cohort:
    """A registered data set, if it has the outcome that the space predicts (when the space names one)."""
    cohort = datasets[name](space, path=path)
    task, target = space.file.task, cohort.description.get("target")
    if target is not None and "target" in task.model_fields_set and task.target != target:
        raise DataError(
            f"the data set '{name}' has no such outcome", [f"task.target: '{task.target}', expected '{target}'"]
        )
    return cohort


def _parts(cohort: Cohort, seed: int) -> tuple[dict[str, Records], list[str]]:
    """train, alpha, select, test, and notes on how they came about."""
    development, test = cohort.development, cohort.test
    notes: list[str] = []
    fixed = {name: np.asarray(index, dtype=np.int64) for name, index in cohort.parts.items()}
    if test is None:
        pool = _pool(development, fixed)
        kept, test, notes = _split_off_test(development.take(pool))
        fixed["train"] = pool[kept]
    elif test.target is None:
        raise DataError(
            "the test part has no labels",
            ["give the outcome of every test sample, or no test part: then one is split off"],
        )
    index, more = _fill(development, fixed, np.random.default_rng([seed, 1]))
    parts = {name: development.take(index[name]) for name in ("train", "alpha", "select")} | {"test": test}
    _check_groups(parts)
    for name, part in parts.items():
        assert part.target is not None
        check_parts({name: np.arange(len(part))}, part.target, part.classes)
    return parts, [*notes, *more]


def _split_off_test(records: Records) -> tuple[Ints, Records, list[str]]:
    """Indices that stay, the test part, and notes."""
    assert records.target is not None
    index, notes = split(
        records.target,
        {"train": 1 - FRACTIONS["test"], "test": FRACTIONS["test"]},
        np.random.default_rng(_TEST_SEED),
        groups=records.groups,
        classes=records.classes,
    )
    return index["train"], records.take(index["test"]), notes


def _fill(records: Records, fixed: dict[str, Ints], rng: np.random.Generator) -> tuple[dict[str, Ints], list[str]]:
    """The parts that the source does not fix, split off from its train part (or from all the rest)."""
    pool = _pool(records, fixed)
    wanted = {name: FRACTIONS[name] for name in ("alpha", "select") if name not in fixed}
    if not wanted:
        return {**fixed, "train": pool}, []
    assert records.target is not None
    fractions = {"train": 1 - sum(wanted.values()), **wanted}
    groups = None if records.groups is None else records.groups[pool]
    index, notes = split(records.target[pool], fractions, rng, groups=groups, classes=records.classes)
    return {**fixed, **{name: pool[i] for name, i in index.items()}}, notes


def _pool(records: Records, fixed: Mapping[str, Ints]) -> Ints:
    """What may be split: the train part, or all that no other fixed part has."""
    if "train" in fixed:
        return fixed["train"]
    taken = np.concatenate([*fixed.values(), np.zeros(0, np.int64)])
    return np.setdiff1d(np.arange(len(records)), taken)


def _check_groups(parts: dict[str, Records]) -> None:
    """Groups must not cross parts that the user, or the source, has fixed."""
    seen: dict[Any, str] = {}
    problems = []
    for name, part in parts.items():
        for group in [] if part.groups is None else np.unique(part.groups).tolist():
            if seen.setdefault(group, name) != name:
                problems.append(f"group {group!r} is in part '{seen[group]}' and in part '{name}'")
    if problems:
        more = [f"and {len(problems) - 5} more groups"] if len(problems) > 5 else []
        raise DataError(
            "groups cross the given parts: the test would not be honest",
            problems[:5] + more + ["give parts that keep groups together, or leave out 'group'"],
        )
