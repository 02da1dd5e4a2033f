"""EMAP of a trained PhysioNet 2012 network: all re-pairings at once against one network call per pair.

The reference implementation calls the model once per pair of samples. Here the same network is projected over 2,000
samples; beside it, in the same process and with as many threads, a loop over single pairs is timed on a few hundred of
them, which give the same numbers.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.bench.base import register_bench, write_table
from fusionnas.data.base import Part, SearchData
from fusionnas.data.load import load_dataset
from fusionnas.diagnostics.measures.pairings import Pairings
from fusionnas.diagnostics.measures.projection import project
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.progress import Progress
from fusionnas.search.references import Layers, fixed
from fusionnas.space import SearchSpace
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import metric, probabilities
from fusionnas.training.train import Schedule, train

SAMPLES, LOOPED, EPOCHS = 2000, 300, 4
OPERATORS = ("additive", "gated", "mlp")


@register_bench("emap")
def emap(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Seconds for 2,000 samples, and how many times faster than a per-pair loop, by fusion operator."""
    space = SearchSpace.load("ehr.yaml", overrides=["data=physionet2012", f"training.epochs={EPOCHS}"])
    data = load_dataset(space, seed=seed).search
    samples = data.all().rows(torch.arange(SAMPLES))
    threads = torch.get_num_threads()
    torch.set_num_threads(workers)
    progress.stage("emap", len(OPERATORS))
    try:
        rows = []
        for operator in OPERATORS:
            architecture = fixed(space, operator, _layers(space))
            network = _trained(space, architecture, data, seed)
            rows.append(_row(space, operator, network, samples, seed) | {"threads": workers})
            progress.advance({"operator": operator, "seconds": rows[-1]["seconds"]})
    finally:
        torch.set_num_threads(threads)
    write_table(output, rows)
    return rows


def _layers(space: SearchSpace) -> Layers:
    return {name: modality.encoder[:1] * modality.levels for name, modality in space.file.modalities.items()}


def _trained(space: SearchSpace, architecture: Architecture, data: SearchData, seed: int) -> FusionNetwork:
    with seeded(derive(seed, "emap", architecture.id)):
        network = build(space, architecture, data.signature)
    train(network, data.train, Schedule(None, EPOCHS, EPOCHS), Recipe.of(space), seed=seed)
    return network


def _row(space: SearchSpace, operator: str, network: FusionNetwork, samples: Part, seed: int) -> dict[str, Any]:
    start = time.perf_counter()
    pairings = Pairings(space, network, samples.inputs)
    found = project(pairings, pairings.sources, SAMPLES, generator=torch.Generator().manual_seed(seed))
    seconds = time.perf_counter() - start
    per_pair, difference = _looped(space, network, pairings, samples, seed)
    logits, target = predict(network, samples.inputs), samples.target.numpy()
    whole, projected = (metric("average_precision", probabilities(x), target) for x in (logits, found.values))
    return {
        "operator": operator, "samples": SAMPLES, "modalities": len(pairings.sources),
        "evaluations": found.evaluations, "seconds": f"{seconds:.1f}",
        "loop_seconds": f"{per_pair * found.evaluations:.0f}", "loop_pairs_timed": LOOPED,
        "times_faster": f"{per_pair * found.evaluations / seconds:.0f}",
        "largest_difference_to_loop": f"{difference:.1e}", "average_precision": f"{whole:.4f}",
        "average_precision_of_projection": f"{projected:.4f}",
        "largest_gap_of_a_logit": f"{float((found.values - pairings.own()).abs().max()):.1e}",
    }  # fmt: skip


@torch.no_grad()
def _looped(
    space: SearchSpace, network: FusionNetwork, pairings: Pairings, samples: Part, seed: int
) -> tuple[float, float]:
    """Seconds per pair of a loop over single re-paired samples, and its largest difference to all at once."""
    generator = torch.Generator().manual_seed(derive(seed, "pairs"))
    chosen = {s: torch.randint(SAMPLES, (LOOPED,), generator=generator) for s in pairings.sources}
    index = {name: chosen[space.source_of(name)] for name in network.architecture.modalities}
    inputs = {name: samples.inputs[name] for name in index}
    values: list[Tensor] = []
    start = time.perf_counter()
    for pair in range(LOOPED):
        values.append(network({name: f.rows(index[name][pair : pair + 1]) for name, f in inputs.items()}))
    seconds = (time.perf_counter() - start) / LOOPED
    return seconds, float((torch.cat(values).double() - pairings(chosen)).abs().max())
