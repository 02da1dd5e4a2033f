from __future__ import annotations

import pytest


class Space:
    """What a run needs of a search space; the real one has far more."""

    name = "toy"

    def to_yaml(self) -> str:
        return "name: toy\n"


@pytest.fixture
def space() -> Space:
    return Space()
