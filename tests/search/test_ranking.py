"""Ranking heads: who is scored again, and who may be the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from fusionnas.data.base import Part
from fusionnas.search.contest import Contest
from fusionnas.search.halving import halve
from fusionnas.search.heads import HeadSettings
from fusionnas.search.pool import Candidates
from fusionnas.search.references import competes, named
from tests.search.test_methods import PLANTED, data, search, space
from tests.search.test_pool import LARGE, additive_cache, drawn


def all_decide(part: Part) -> Part:
    """Labels that need the first channels of all three modalities."""
    score = sum(feature.values[:, 0, 0] for feature in part.inputs.values())
    assert isinstance(score, torch.Tensor)
    return replace(part, target=(score > 0).long())


def test_a_first_rung_has_the_steps_that_are_asked_for_or_seventy() -> None:
    asked: list[int] = []
    contest = Contest(
        additive_cache(400, 1), additive_cache(200, 2), HeadSettings(width=8, outputs=1, batch_size=200), seed=1,
        going=lambda stack, heads, epochs: asked.append(epochs) is None,
    )  # fmt: skip
    members = Candidates(drawn(LARGE, 12), 0)
    for steps in ({"steps": 1}, {}):
        halve(members, contest, rungs=(1, 3), eta=4, keep=2, watch=lambda *_: None, **steps)
    assert list(dict.fromkeys(asked)) == [1, 4, 35, 38]  # two steps an epoch


def test_references_beyond_the_space_take_no_place_of_a_finalist(tmp_path: Path) -> None:
    known, given = space(PLANTED, "search.finalists=4"), data(PLANTED)
    given = replace(given, **{name: all_decide(getattr(given, name)) for name in ("train", "alpha", "select")})
    found = search("default", tmp_path / "run", known, given)
    ranked = [row["id"] for row in found.facts["shortlist"]]
    beyond = {a.id for a in named(known, found.layers).values() if not competes(known, a)}
    assert ranked[0] in beyond  # the space has pairs only
    assert len(found.finalists) == 4 and all(competes(known, a) for a in found.finalists)
    assert found.facts["simplest_within_one_standard_error"] == found.finalists[0].id
