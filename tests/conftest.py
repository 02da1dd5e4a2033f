"""Settings of every test: one thread, so that numbers do not depend on the machine; a run that rooms share."""

from __future__ import annotations

import os
from pathlib import Path

# Subprocesses that tests start inherit it; read before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ``tests/toy.py``; tests that change what is in it work on a copy."""
    from fusionnas.api import search
    from tests.toy import write_toy

    folder = tmp_path_factory.mktemp("toy")
    return search(write_toy(folder), run_dir=folder / "run", seed=0).path
