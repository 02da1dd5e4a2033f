"""Small raw records and spaces, and the real data where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    root = os.environ.get("FUSIONNAS_DATA")
    if not root or not (Path(root) / "ehr_icu").is_dir():
        pytest.skip("needs the PhysioNet 2012 sets: set FUSIONNAS_DATA to the folder that holds ehr_icu")
    return Path(root) / "ehr_icu"
