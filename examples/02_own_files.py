"""Own data: write three npz parts with three views of each sample, describe them in YAML, search.

The label is decided by the product of two views; the third is noise. Run it with

    python examples/02_own_files.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import fusionnas as fn

SPACE = """
name: views
data: {format: npz, train: train.npz, select: select.npz, test: test.npz, target: label}
task: {kind: binary, target: label, metric: roc_auc}
modalities:
  left:  {kind: vector, encoder: mlp, levels: 1}
  right: {kind: vector, encoder: mlp, levels: 1}
  noise: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 16, inputs: [2, 3], operators: [additive, multiplicative, mlp]}
training: {epochs: 8, batch_size: 64, learning_rate: 5e-3, refit: false}
search: {epochs: 4, heads: 30, rescore: 4, finalists: 2, folds: 2, seeds: 1, random: 1}
"""


def write_part(path: Path, samples: int, rng: np.random.Generator) -> None:
    views = {name: rng.normal(size=(samples, 8)) for name in ("left", "right", "noise")}
    score = views["left"][:, 0] * views["right"][:, 0] + 0.3 * rng.normal(size=samples)
    np.savez(path, label=(score > 0).astype(int), **views)


def main(folder: str | None = None) -> None:
    place = Path(folder or tempfile.mkdtemp())
    rng = np.random.default_rng(0)
    for part, samples in {"train": 1000, "select": 400, "test": 400}.items():
        write_part(place / f"{part}.npz", samples, rng)
    (place / "views.yaml").write_text(SPACE)
    run = fn.search(place / "views.yaml", seed=0, run_dir=place / "run")
    print(f"found: {run.architecture}")
    print(f"test:  {run.results['test']}")
    print(run.results["verdict"])
    print(f"what each part held is in {run.path / 'results.json'}, under data")


if __name__ == "__main__":
    main(*sys.argv[1:])
