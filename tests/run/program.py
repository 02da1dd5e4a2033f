"""A run like a real one, in small: chained units, long ones with checkpoints. test_kill.py kills it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch

from fusionnas.run import Checkpoint, Result, Run

UNITS, EPOCHS = 12, 30


class Space:
    name = "toy"

    def to_yaml(self) -> str:
        return "name: toy\n"


def train(seed: int, before: torch.Tensor):
    def compute(checkpoint: Checkpoint) -> Result:
        generator = torch.Generator().manual_seed(seed)
        weights, epoch = before.clone(), 0
        if (state := checkpoint.load()) is not None:
            weights, epoch = state["weights"], state["epoch"]
            generator.set_state(state["generator"])
        while epoch < EPOCHS:
            noise = torch.randn(weights.shape, generator=generator)
            weights = (weights + 0.1 * noise).tanh()
            epoch += 1
            if checkpoint.due():
                checkpoint.save({"weights": weights, "epoch": epoch, "generator": generator.get_state()})
        return Result({"mean": float(weights.mean())}, {"weights": weights})

    return compute


def main(path: Path) -> None:
    run = Run.open(path) if (path / "journal.jsonl").exists() else Run.create(path, space=Space(), settings={})
    print("go", flush=True)
    with run:
        run.save_every = 0.0
        weights = torch.zeros(50, 20)
        means = []
        for seed in range(UNITS):
            result = run.unit(f"train/{seed}", train(seed, weights))
            weights = result.tensors["weights"]
            means.append(result.facts["mean"])
        run.write_json("results.json", {"means": means})
        run.write_tensors("weights.safetensors", {"weights": weights})
        run.finish()
        print(hashlib.sha256(weights.numpy().tobytes() + repr(means).encode()).hexdigest(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
