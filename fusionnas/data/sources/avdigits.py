"""``avdigits``: a degraded image and a noisy recording of one digit, ten classes, in the style of AV-MNIST.

Source: images of MNIST (Y. LeCun, C. Cortes, C. Burges, CC BY-SA 3.0) and recordings of the Free Spoken Digit Dataset
(Z. Jackson et al., CC BY-SA 4.0). Inputs (kind image): ``image`` (28 x 28) and ``audio`` (log-mel spectrogram, 32 bands
x 32 steps). Outcome: ``label``. Image and recording are paired at random given the digit. Test part: other recordings
of the same speakers.

Read from ``--data-path`` or ``$FUSIONNAS_DATA/avdigits``: a folder with ``train.npz``, ``val.npz`` (the select part)
and ``test_rec.npz``, or one npz file such as ``test_spk.npz`` (a speaker that training has not heard).
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

HOW_TO_GET = "write arrays image, audio and label of each part as npz files, or give such a folder with --data-path"


@register_dataset("avdigits")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Images and spectrograms of digits; a single file is development only."""
    folder = path or data_folder("avdigits", "avdigits", HOW_TO_GET)
    about = {"source": "avdigits", "target": "label", "licence": "CC BY-SA 4.0",
             "url": "https://github.com/Jakobovski/free-spoken-digit-dataset"}  # fmt: skip
    if not (folder / "test_rec.npz").is_file():
        return from_files(space, named_layout(folder, space.file), about)
    train, select, test = (str(folder / f"{part}.npz") for part in ("train", "val", "test_rec"))
    files = Files(format="npz", train=train, select=select, test=test, target="label")
    return from_files(space, files, about)
