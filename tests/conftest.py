"""Settings of every test: one thread, so that numbers do not depend on the machine."""

from __future__ import annotations

import os

# Subprocesses that tests start inherit it; read before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
