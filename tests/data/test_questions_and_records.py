"""Data of the families: neither picture nor question tells the answer; words mean what codes make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fusionnas.data.base import datasets
from fusionnas.data.load import load_dataset
from fusionnas.data.sources.simulated_ehr import DRUGS, WORDS, generate
from fusionnas.errors import DataError
from fusionnas.space import SearchSpace


def test_questions_are_answered_yes_as_often_as_no_whatever_is_shown_or_asked() -> None:
    cohort = datasets["digit_questions"](SearchSpace.load("vilt"), path=None)
    records = cohort.development
    assert len(records) == 3594 and records.classes == ("no", "yes")
    assert 0.48 < records.target.mean() < 0.52
    asked = np.array([name.split("-")[1] for name in records.ids])
    for question in "0123":
        assert 0.45 < records.target[asked == question].mean() < 0.55
    digits = records.groups  # which picture
    both = np.array([set(records.target[digits == d]) == {0, 1} for d in range(200)])
    assert 0.3 < both.mean() < 0.7  # a picture has either answer
    question = records.modalities["question"]
    first = [question.vocabulary[code] for code in question.codes[question.offsets[0] : question.offsets[1]]]
    assert " ".join(first[-3:]) in ("is it even", "is it odd")


def test_questions_about_one_picture_stay_in_one_part() -> None:
    data = load_dataset(SearchSpace.load("vilt")).search
    groups = [set(part.groups) for part in (data.train, data.alpha, data.select)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_records_hold_what_they_say(tmp_path: Path) -> None:
    records, probability = generate(4000, np.random.default_rng(0))
    counts = {}
    for name, names in (("categorical", DRUGS), ("notes", WORDS)):
        series = records.modalities[name]
        counts[name] = np.zeros((4000, len(names)))
        np.add.at(counts[name], (series.sample, series.variable), series.values)
    treatment = counts["categorical"][:, ::2].sum(1) > counts["categorical"][:, 1::2].sum(1)
    mood = np.log1p(counts["notes"][:, :4].sum(1)) - np.log1p(counts["notes"][:, 4:8].sum(1))
    likely = np.log(probability / (1 - probability))
    slope = [np.polyfit(mood[treatment == t], likely[treatment == t], 1)[0] for t in (False, True)]
    assert slope[0] * slope[1] < 0 and min(map(abs, slope)) > 0.5  # the opposite under the other treatment
    alone = LogisticRegression(max_iter=500).fit(counts["notes"][:3000], records.target[:3000])
    assert alone.score(counts["notes"][3000:], records.target[3000:]) < 0.56


def test_they_come_without_a_folder() -> None:
    for name in ("digit_questions", "simulated_ehr"):
        with pytest.raises(DataError, match=f"{name} .*\n.*--data-path"):
            datasets[name](SearchSpace.load("vilt"), path=Path("somewhere"))
