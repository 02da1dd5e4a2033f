"""``sensors``: daily and sports activities from worn sensors, 19 classes, tested on a person not seen before.

Source: UCI Daily and Sports Activities (data set 256, B. Barshan and K. Altun, CC BY 4.0), every second segment of five
seconds at 12.5 Hz. Inputs (kind timeseries, 62 steps of 15 channels: five positions x three axes): ``acc``
(accelerometer), ``gyro`` (gyroscope), ``mag`` (magnetometer). Outcome: ``label``. Group: ``subject``.

Read from ``--data-path`` or ``$FUSIONNAS_DATA/sensors``: a folder with ``train.npz``, ``val.npz`` (the select part) and
``test.npz``, or one npz file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.files import named_layout
from fusionnas.data.sources.places import data_folder, from_files
from fusionnas.space.schema import Files

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HOW_TO_GET = "write arrays acc, gyro, mag, label and subject of each part as npz files, or give it with --data-path"


@register_dataset("sensors")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Three kinds of sensors; parts keep subjects apart."""
    folder = path or data_folder("sensors", "sensors", HOW_TO_GET)
    about = {"source": "sensors", "target": "label", "licence": "CC BY 4.0",
             "url": "https://archive.ics.uci.edu/dataset/256"}  # fmt: skip
    if not (folder / "val.npz").is_file():
        return from_files(space, named_layout(folder, space.file), about)
    train, select, test = (str(folder / f"{part}.npz") for part in ("train", "val", "test"))
    files = Files(format="npz", train=train, select=select, test=test, target="label", group="subject")
    return from_files(space, files, about)
