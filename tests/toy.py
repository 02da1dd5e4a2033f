"""A small searched run whose truth is known: the label is decided by a product of ``left`` and ``right``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SPACE = """
name: toy
data: {format: npz, train: toy.npz, target: label}
task: {kind: binary, target: label, metric: roc_auc}
modalities:
  left: {kind: vector, encoder: mlp, levels: 1}
  right: {kind: vector, encoder: mlp, levels: 1}
  noise: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 2, width: 12, inputs: [2, 3], operators: [additive, multiplicative, gated, mlp]}
training: {epochs: 12, learning_rate: 0.02, refit: false}
search: {epochs: 6, heads: 40, rungs: [2], rescore: 5, finalists: 2, folds: 2, seeds: 2, random: 1}
"""


def write_toy(folder: Path) -> Path:
    """Data and space file; returns the latter."""
    rng = np.random.default_rng(0)
    left, right, noise = rng.normal(size=(500, 3)), rng.normal(size=(500, 3)), rng.normal(size=(500, 2))
    chance = 1 / (1 + np.exp(-3 * left[:, 0] * right[:, 0] - 0.6 * left[:, 1]))
    label = (rng.random(500) < chance).astype(np.int64)
    np.savez(folder / "toy.npz", left=left, right=right, noise=noise, label=label)
    (folder / "toy.yaml").write_text(SPACE)
    return folder / "toy.yaml"
