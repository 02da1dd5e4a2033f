"""``diabetes130``: hospital stays of diabetic patients; readmitted within 30 days?

Source: Diabetes 130-US hospitals 1999-2008 (UCI data set 296, CC BY 4.0; Strack et al., BioMed Research
International 2014), https://archive.ics.uci.edu/dataset/296. One row per stay, grouped by patient; stays that end
in death or hospice are left out. Outcome: ``readmitted`` (``<30``, ``>30``, ``NO``); a space names the positive
one: ``positive: "<30"``.

Read from ``--data-path`` or ``$FUSIONNAS_DATA/diabetes130``: the table (``encounters.csv.gz``, or
``diabetic_data.csv`` of the original), or the folder that holds it; a column ``split`` may say train or test.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.sources.places import data_folder, from_files
from fusionnas.space.schema import Files

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HOW_TO_GET = "download it from https://archive.ics.uci.edu/dataset/296 and give the table with --data-path"
ENDED = ("11", "13", "14", "19", "20", "21")
"""Discharge to death or hospice: no readmission is possible."""


@register_dataset("diabetes130")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Hospital stays of diabetic patients: codes, drugs, use of services, demographics."""
    place = path or data_folder("diabetes130", "diabetes130", HOW_TO_GET)
    files = Files(
        format="csv", train=str(place / "encounters.csv.gz" if place.is_dir() else place), split="split",
        target="readmitted", group="patient_nbr", id="encounter_id", exclude={"discharge_disposition_id": ENDED},
    )  # fmt: skip
    return from_files(space, files, {"source": "diabetes130", "target": "readmitted", "licence": "CC BY 4.0",
                                     "url": "https://archive.ics.uci.edu/dataset/296"})  # fmt: skip
