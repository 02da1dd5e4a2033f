"""Planted truth: the label depends on two known modalities through a known interaction; is that what a search finds?

Four modalities of 12 floats, each an own rotation of its latents: ``b`` and ``d`` decide the label together and say
nothing about it alone, ``a`` is a shortcut that is right in 75 % of the samples (or noise), ``c`` is noise. The trap of
relaxed searches is to lock on to ``a``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.api import search
from fusionnas.bench.base import register_bench, write_table
from fusionnas.run.progress import Progress, QuietProgress
from fusionnas.space import SearchSpace

SEEDS = 5
METHODS = ("default", "darts")
INTERACTIONS = ("xor", "product", "gating")
SAMPLES, WIDTH = 3000, 12
PLANTED = ("b", "d")

SPACE = """
name: planted
data: {format: npz, train: planted.npz, target: label}
task: {kind: binary, target: label, metric: accuracy}
modalities:
  a: {kind: vector, encoder: mlp, levels: 1}
  b: {kind: vector, encoder: mlp, levels: 1}
  c: {kind: vector, encoder: mlp, levels: 1}
  d: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 2, width: 16, inputs: [2, 3], operators: [additive, multiplicative, gated, mlp]}
training: {epochs: 25, learning_rate: 0.003, weight_decay: 0.01, refit: false}
search: {epochs: 20, heads: 400, seeds: 1, random: 1}
"""


@register_bench("planted")
def planted(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Every interaction, with and without the shortcut, five seeds, each method: found modalities and test accuracy.

    ``first_finalist`` is what the method itself proposes first; the found network is chosen on select among the
    method's finalists and the references (each modality alone, early, late, fixed operators).
    """
    cases = [(kind, shortcut) for kind in INTERACTIONS for shortcut in (0.5, 0.75)]
    progress.stage("planted", len(cases) * SEEDS * len(METHODS))
    rows = []
    for kind, shortcut in cases:
        for number in range(seed, seed + SEEDS):
            for method in METHODS:
                rows.append(_one(kind, shortcut, number, method, workers))
                progress.advance({"accuracy": rows[-1]["test_accuracy"]})
    write_table(output, rows)
    return rows


def _one(kind: str, shortcut: float, seed: int, method: str, workers: int) -> dict[str, Any]:
    arrays, best = generate(kind, shortcut=shortcut, rng=np.random.default_rng([seed, INTERACTIONS.index(kind)]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "planted.npz", allow_pickle=False, **arrays)
        space = SearchSpace.parse(SPACE, folder=folder, overrides=[f"search.method={method}"])
        start = time.monotonic()
        quiet = QuietProgress(stages=False)
        run = search(space, seed=seed, run_dir=folder / "run", workers=workers, progress=quiet)
        seconds = time.monotonic() - start
    read, first = run.results["modalities"], run.results["finalists"][0]
    accuracy = run.results["test"]["accuracy"]
    return {
        "interaction": kind, "shortcut": shortcut, "seed": seed, "method": method, "modalities": "+".join(read),
        "planted_found": set(PLANTED) <= set(read), "test_accuracy": f"{accuracy:.4f}", "attainable": f"{best:.4f}",
        "shortfall": f"{best - accuracy:.4f}", "strongest_interaction": next(iter(run.results["interaction"]), ""),
        "architecture": run.results["text"], "first_finalist": first["architecture"],
        "first_finds_planted": set(PLANTED) <= set(first["modalities"]), "seconds": f"{seconds:.0f}",
    }  # fmt: skip


def generate(
    kind: str, *, shortcut: float, rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], float]:
    """Arrays of one data set, and the accuracy of the best possible classifier on its samples.

    Args:
        kind: ``xor`` of a bit in b and a bit in d; ``product``: sign of the product of two real latents, flipped in
            5 %; ``gating``: a bit in d says which of two bits in b is the label.
        shortcut: share of samples in which a bit in a equals the label; 0.5 = none.
        rng: of everything random.
    """
    bits = rng.integers(0, 2, (SAMPLES, 3)) * 2 - 1
    real = rng.standard_normal((SAMPLES, 2))
    flipped = rng.random(SAMPLES) < (0.05 if kind == "product" else 0.0)
    b, d = {"xor": (bits[:, :1], bits[:, 1:2]), "product": (real[:, :1], real[:, 1:]),
            "gating": (bits[:, :2], bits[:, 2:])}[kind]  # fmt: skip
    together = np.where(d[:, 0] > 0, b[:, 0], b[:, 1]) if kind == "gating" else b[:, 0] * d[:, 0]
    sign = np.where(together > 0, 1, -1) * np.where(flipped, -1, 1)
    hint = np.where(rng.random(SAMPLES) < shortcut, sign, -sign)
    nothing = np.zeros((SAMPLES, 0))
    latents: dict[str, NDArray[Any]] = {"a": hint[:, None] if shortcut > 0.5 else nothing, "b": b, "c": nothing, "d": d}
    arrays = {name: _rotated(np.asarray(latent, dtype=np.float64), rng) for name, latent in latents.items()}
    return {**arrays, "label": (sign > 0).astype(np.int64)}, float(1 - flipped.mean())


def _rotated(latent: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Latents among standard normal noise, turned by a random rotation."""
    noise = rng.standard_normal((SAMPLES, WIDTH - latent.shape[1]))
    mixed = np.concatenate([latent, noise], axis=1)
    rotation, _ = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))
    return np.asarray(mixed @ rotation, dtype=np.float32)
