"""The page on methods says what the registries hold."""

from __future__ import annotations

from pathlib import Path

from fusionnas.search.decoder import decoders
from fusionnas.search.page import methods_page


def test_page_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == methods_page(), "write it anew: python -m fusionnas.search.page > docs/methods.md"


def test_decoders_say_what_they_are() -> None:
    for name in decoders:
        facts = decoders[name].facts
        assert facts.summary and facts.source and facts.departs and 0 <= decoders[name].share < 1
