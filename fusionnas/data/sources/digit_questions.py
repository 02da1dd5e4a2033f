"""``digit_questions``: pictures of handwritten digits and questions about them -> no or yes.

The pictures are real: 1,797 digits of 8 x 8 pixels (Optical Recognition of Handwritten Digits, UCI; Alpaydin & Kaynak
1998; CC BY 4.0), as scikit-learn brings them. Two questions of four are asked about each ("is it even", "is it odd",
"is it more than four", "is it less than five"), one in two of them in more words. A question alone and a picture alone
tell nothing: every question is answered yes as often as no, and every picture has questions with either answer.

Inputs: ``picture`` (image, 4 x 4 places of 2 x 2 pixels each, so that it is 16 patches) and ``question`` (text). All
questions about one picture are in one part.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.raw import Grid, Raw, Tokens
from fusionnas.data.records import Records
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

SEED = 0
QUESTIONS = ("is it even", "is it odd", "is it more than four", "is it less than five")
OPENINGS = ("", "please tell me", "look at the picture and say", "i ask you")


@register_dataset("digit_questions")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Handwritten digits and questions about them: neither alone tells the answer."""
    if path is not None:
        raise DataError("digit_questions comes with scikit-learn", [f"--data-path {path}: leave it out"])
    from sklearn.datasets import load_digits

    digits = load_digits()
    count, rng = len(digits.target), np.random.default_rng(SEED)
    shown = np.repeat(np.arange(count), 2)
    # One question of each pair, so that the two are about different things.
    asked = (np.tile([0, 2], count) + rng.integers(0, 2, 2 * count)).astype(np.int64)
    digit = digits.target[shown]
    yes = np.choose(asked, [digit % 2 == 0, digit % 2 == 1, digit > 4, digit < 5])
    opening = np.where(rng.random(2 * count) < 0.5, 0, rng.integers(1, len(OPENINGS), 2 * count))
    questions = [f"{OPENINGS[o]} {QUESTIONS[q]}".split() for o, q in zip(opening, asked, strict=True)]
    blocks = digits.images.reshape(count, 4, 2, 4, 2).transpose(0, 2, 4, 1, 3).reshape(count, 4, 4, 4)
    ids = np.array([f"digit{i}-{q}" for i, q in zip(shown, asked, strict=True)])
    inputs: dict[str, Raw] = {"picture": Grid(blocks[shown].astype(np.float32)), "question": Tokens.of(questions)}
    records = Records(inputs, yes.astype(np.int64), ids, shown, ("no", "yes"))
    description = {"source": "digit_questions", "licence": "CC BY 4.0", "seed": SEED,
                   "url": "https://archive.ics.uci.edu/dataset/80"}  # fmt: skip
    return Cohort(records, None, {}, description, {"planted_interaction": ["picture", "question"]})
