"""``reviews``: reviews of women's clothing; does the customer recommend it?

Source: Women's E-Commerce Clothing Reviews (Kaggle, CC0), anonymised commercial data. Columns: ``title``,
``review_text`` (kind text), ``age``, ``positive_feedback_count``, ``division_name``, ``department_name``,
``class_name`` (kind tabular). Outcomes: ``recommended_ind`` (1 = recommended) or ``rating`` (1 to 5), never an
input for the other.

Read from ``--data-path`` or ``$FUSIONNAS_DATA/reviews``: ``reviews.csv.gz`` or any such table, also the folder that
holds it; a column ``split`` may say train or test.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.sources.places import data_folder, from_files
from fusionnas.errors import DataError
from fusionnas.space.schema import Files

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HOW_TO_GET = "download 'Womens Clothing E-Commerce Reviews' from Kaggle and give the table with --data-path"
OUTCOMES = ("recommended_ind", "rating")


@register_dataset("reviews")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Reviews of clothing: text, title and a table."""
    place = path or data_folder("reviews", "reviews", HOW_TO_GET)
    target = space.file.task.target
    used = {c: name for name, m in space.file.modalities.items() for c in m.columns or () if c in OUTCOMES}
    problems = [f"modalities.{name}.columns: '{column}' is an outcome, not an input" for column, name in used.items()]
    if target not in OUTCOMES:
        problems.append(f"task.target: '{target}', expected {' or '.join(OUTCOMES)}")
    if problems:
        raise DataError("reviews cannot be used like this", problems)
    table = place / "reviews.csv.gz" if place.is_dir() else place
    files = Files(format="csv", train=str(table), split="split", target=target, id="row_id")
    about = {"source": "reviews", "target": target, "licence": "CC0 1.0",
             "url": "https://www.kaggle.com/nicapotato/womens-ecommerce-clothing-reviews"}  # fmt: skip
    return from_files(space, files, about)
