"""Do gates save as much on data that no choice was made by? The benchmark ``dynamic`` on other test parts.

Architectures, epochs and gates of ``dynamic`` were settled while its test scores were known. Here the same settings, as
they are, meet test samples that nothing was tested on before: PhysioNet 2012 with its two sets swapped, three other
persons of the sensors, avdigits of a speaker that training has not heard. The rule, fixed before the first run: the
default cost weight, mean over seeds (and over persons); a set holds if it saves at least 40 % of the measured time in
every batch size and loses at most 0.5 points. ``score`` and ``saved`` are as in ``dynamic``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fusionnas.bench.base import register_bench, write_table
from fusionnas.bench.dynamic import SETTINGS, Setting, measured
from fusionnas.data.sources.places import data_folder
from fusionnas.run.progress import Progress
from fusionnas.space.schema import Gating

PERSONS = {1: 2, 3: 4, 5: 6}
"""Person of the test part -> person of the select part; ``dynamic`` tests on the seventh."""


@register_bench("dynamic_fresh")
def dynamic_fresh(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Gated against ungated networks at the default cost weight, on test parts that nothing was settled by."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(fresh_settings(Path(folder)), seed=seed, workers=workers, progress=progress)
    write_table(output, rows)
    return rows


def fresh_settings(folder: Path) -> dict[str, Setting]:
    """The settings of ``dynamic``, each with its data laid out anew in ``folder``."""
    physionet, digits, sensors = (folder / name for name in ("physionet2012", "avdigits", "sensors"))
    _swap(data_folder("physionet2012", "ehr_icu", ""), physionet)
    _new_speaker(data_folder("avdigits", "avdigits", ""), digits)
    places = {
        "physionet2012, sets swapped": ("physionet2012", physionet),
        "avdigits, new speaker": ("avdigits", digits),
    }
    parts = _persons(data_folder("sensors", "sensors", ""))
    for test, select in PERSONS.items():
        where = sensors / str(test)
        _deal(parts, where, test=test, select=select)
        places[f"sensors, person {test}"] = ("sensors", where)
    weights = (Gating().cost_weight,)
    return {name: replace(SETTINGS[known], weights=weights, data_path=path) for name, (known, path) in places.items()}


def _swap(source: Path, folder: Path) -> None:
    """Set B to train on, set A to test on."""
    folder.mkdir()
    for own, other in (("a", "b"), ("b", "a")):
        (folder / f"set_{own}").symlink_to((source / f"set_{other}").resolve())


def _new_speaker(source: Path, folder: Path) -> None:
    folder.mkdir()
    for name, given in {"train": "train", "val": "val", "test_rec": "test_spk"}.items():
        (folder / f"{name}.npz").symlink_to((source / f"{given}.npz").resolve())


def _persons(source: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All samples of all parts."""
    parts = [np.load(source / f"{part}.npz") for part in ("train", "val", "test")]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}


def _deal(samples: Mapping[str, np.ndarray[Any, Any]], folder: Path, *, test: int, select: int) -> None:
    """One person to test on, one to select by, the rest to train on."""
    folder.mkdir(parents=True)
    subject = samples["subject"]
    rows = {"test": subject == test, "val": subject == select, "train": (subject != test) & (subject != select)}
    for part, here in rows.items():
        np.savez(folder / f"{part}.npz", **{name: values[here] for name, values in samples.items()})
