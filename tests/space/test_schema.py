"""The JSON schema, and the page that explains every key."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from fusionnas.data.base import datasets
from fusionnas.encoders.base import encoders
from fusionnas.operators.base import operators
from fusionnas.search.method import methods
from fusionnas.space import bundled_spaces, json_schema
from fusionnas.space.schema import Files, Fusion, Modality, Search, SpaceFile, Task, Training

SECTIONS = [SpaceFile, Files, Task, Modality, Fusion, Training, Search]
PAGE = (Path(__file__).parents[2] / "docs" / "space.md").read_text()


def test_registered_names_are_offered():
    schema = json_schema()
    sections = {name: section["properties"] for name, section in schema["$defs"].items()}
    assert sections["Modality"]["encoder"]["anyOf"][0]["enum"] == list(encoders)
    assert sections["Fusion"]["operators"]["items"]["enum"] == list(operators)
    assert sections["Search"]["method"]["enum"] == list(methods)
    assert schema["properties"]["data"]["anyOf"][0]["enum"] == list(datasets)


@pytest.mark.parametrize("path", bundled_spaces().values(), ids=lambda path: path.name)
def test_bundled_spaces_agree_with_the_schema(path):
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        (("modalities", "static", "encoder"), "mlp", True),
        (("modalities", "static", "encoder"), ["mlp", "gru"], True),
        (("modalities", "static", "encoder"), "mpl", False),
        (("modalities", "static", "encoder"), [], False),
        (("fusion", "inputs"), 2, True),
        (("fusion", "inputs"), [2, 3], True),
        (("fusion", "inputs"), [2, 3, 4], False),
        (("fusion", "operators"), ["gatd"], False),
        (("fusion", "nods"), 1, False),
        (("search", "method"), "darts", True),
        (("search", "method"), "magic", False),
        (("data",), "simulated_icu", True),
        (("data",), {"format": "npz", "train": "a.npz", "target": "y"}, True),
        (("data",), "nothing", False),
    ],
)
def test_an_editor_accepts_what_the_space_accepts(base, key, value, valid):
    data = yaml.safe_load(base)
    inner = data
    for step in key[:-1]:
        inner = inner[step]
    inner[key[-1]] = value
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(data) is valid


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_says_what_it_means(section):
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name}"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_is_on_the_page_with_its_default(section):
    headings = {
        SpaceFile: "The file",
        Files: "data",
        Task: "task",
        Modality: "modalities",
        Fusion: "fusion",
        Training: "training",
        Search: "search",
    }
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (part,) = [p for p in text if p.splitlines()[0].strip("`") == headings[section]]
    rows = {m[1]: m[2].strip() for m in re.finditer(r"^\| `(\w+)` \| ([^|]*) \|", part, flags=re.MULTILINE)}
    assert list(rows) == list(section.model_fields)
    for name, field in section.model_fields.items():
        if field.is_required():
            assert rows[name] == "needed"
        elif isinstance(field.default, (int, float, str)) and not isinstance(field.default, bool):
            assert rows[name] == f"`{field.default}`"


def test_the_examples_of_the_page_are_valid_parts(base):
    from fusionnas.space import SearchSpace

    examples = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) >= 6
    for example in examples:
        parts = yaml.safe_load(example)
        whole = {**yaml.safe_load(base), **parts}
        SearchSpace.parse(yaml.safe_dump(whole, sort_keys=False))


def test_kinds_of_the_schema_are_those_of_the_data():
    from typing import get_args

    from fusionnas.data.views import KINDS, VIEWS
    from fusionnas.space.schema import Kind, View

    assert set(get_args(Kind)) == set(KINDS)
    assert set(get_args(View)) == set(VIEWS)
