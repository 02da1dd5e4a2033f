"""The pages on operators and encoders say what the registries hold, and what they show works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusionnas.catalogue.page import operators_page
from fusionnas.encoders.page import encoders_page
from fusionnas.operators.base import operators
from fusionnas.pretraining.page import pretraining_page
from fusionnas.registry import load_plugin
from fusionnas.testing import OPERATOR_CHECKS, check_operator
from fusionnas.training.page import training_page

DOCS = Path(__file__).parents[2] / "docs"


PAGES = {
    "operators": operators_page, "encoders": encoders_page, "training": training_page,
    "pretraining": pretraining_page,
}  # fmt: skip


@pytest.mark.parametrize("room", PAGES)
def test_page_is_up_to_date(room):
    page = PAGES[room]()
    home = "catalogue" if room == "operators" else room
    message = f"write it anew: python -m fusionnas.{home}.page > docs/{room}.md"
    assert (DOCS / f"{room}.md").read_text(encoding="utf-8") == page, message


def test_example_of_an_operator_conforms(tmp_path, monkeypatch):
    text = (DOCS / "adding_an_operator.md").read_text(encoding="utf-8")
    assert f"{len(OPERATOR_CHECKS)} of them" in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    plugin = tmp_path / "my_operators.py"
    plugin.write_text(code, encoding="utf-8")
    assert "additive" in operators  # built-in entries are found before, as in any run
    monkeypatch.setattr(operators, "_entries", dict(operators._entries))
    load_plugin(plugin)
    check_operator("bottleneck")
