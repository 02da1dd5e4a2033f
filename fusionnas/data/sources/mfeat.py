"""``mfeat``: handwritten numerals in six views, ten classes.

Source: UCI Multiple Features (data set 72, R. Duin, CC BY 4.0), https://archive.ics.uci.edu/dataset/72. Inputs
(kind vector): ``pix`` (240 pixel averages), ``fou`` (76 Fourier coefficients), ``fac`` (216 profile correlations),
``zer`` (47 Zernike moments), ``kar`` (64 Karhunen-Loeve coefficients), ``mor`` (6 morphological features). Outcome:
``label``.

Read from ``--data-path`` or ``$FUSIONNAS_DATA/mfeat``: a folder with ``train.npz`` and ``test.npz``, or one npz
file, of arrays named like the inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.files import named_layout
from fusionnas.data.sources.places import data_folder, from_files

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HOW_TO_GET = "write the six tables as arrays of train.npz and test.npz, or give such a folder with --data-path"


@register_dataset("mfeat")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Handwritten numerals in six views; a single file is development only."""
    folder = path or data_folder("mfeat", "mfeat", HOW_TO_GET)
    about = {"source": "mfeat", "target": "label", "licence": "CC BY 4.0",
             "url": "https://archive.ics.uci.edu/dataset/72"}  # fmt: skip
    return from_files(space, named_layout(folder, space.file), about)
