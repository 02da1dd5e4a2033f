"""Architectures from files compete with what is found; what is wrong with the files is told before any training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionnas.architecture import Architecture
from fusionnas.errors import InputError
from fusionnas.search.given import given
from fusionnas.search.references import late
from fusionnas.space import SearchSpace
from tests.spaces import TEXT

LAYERS = {"a": ("mlp",), "b": ("tcn", "gru"), "c": ("summary",)}


def space_in(folder: Path, *files: str) -> SearchSpace:
    text = TEXT.format(nodes=2, inputs="[2, 3]", operators="additive, mlp")
    text = text.replace("search: {", f"search: {{architectures: [{', '.join(files)}], ")
    return SearchSpace.parse(text, folder=folder)


def test_they_are_read_in_order_and_named_after_their_files(tmp_path: Path) -> None:
    space = space_in(tmp_path, "first.json", "second.json")
    one, other = late(space, LAYERS), space.architecture([], output=space.points()[1])
    (tmp_path / "first.json").write_text(json.dumps(one.to_json()))
    (tmp_path / "second.json").write_text(json.dumps(other.to_json()))
    assert given(space) == {"given first": one, "given second": other}
    assert given(space_in(tmp_path)) == {}


def test_all_that_is_wrong_with_the_files_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("{")
    deep = {"schema": 1, "modalities": {"a": {"layers": ["mlp"] * 3}}, "nodes": []}
    foreign = {"schema": 1, "modalities": {"z": {"layers": ["mlp"]}}, "nodes": []}
    for name, data, level in (("foreign", foreign, 1), ("deep", deep, 3)):
        read = {"output": {"modality": next(iter(data["modalities"])), "level": level}}
        (tmp_path / f"{name}.json").write_text(json.dumps(Architecture.from_json({**data, **read}).to_json()))
    (tmp_path / "form.json").write_text('{"nodes": 3}')
    space = space_in(tmp_path, "text.json", "none.json", "foreign.json", "deep.json", "form.json")
    with pytest.raises(InputError, match="every file needs an architecture over the space's modalities") as told:
        given(space)
    problems = told.value.problems
    assert len(problems) == 5 and all(str(tmp_path) in problem for problem in problems)
    assert "foreign.json: reads z.1, which the space does not have" in problems[2]
    assert "deep.json: reads a.3, which the space does not have" in problems[3]
