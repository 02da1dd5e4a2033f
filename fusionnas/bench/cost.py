"""How well the sum of measured parts predicts the milliseconds of whole networks: 30 random architectures per space."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusionnas.bench.base import register_bench, write_table
from fusionnas.cost import measure_costs
from fusionnas.data.load import load_dataset
from fusionnas.feature import random_feature
from fusionnas.network import build
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace

COUNT, BATCHES, ROUNDS = 30, (1, 64), 31


@register_bench("cost")
def bench_cost(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Correlation of predicted and measured milliseconds over random architectures of ``ehr.yaml``."""
    space = SearchSpace.load("ehr.yaml")
    signature = load_dataset(space).search.signature
    rng, threads = random.Random(seed), torch.get_num_threads()
    architectures = [space.sample(rng) for _ in range(COUNT)]
    rows = []
    torch.set_num_threads(1)
    try:
        for size in BATCHES:
            progress.stage(f"batch of {size}", 1)
            costs = measure_costs(space, signature, batch=size, seconds=10.0)
            predicted = [costs.latency_ms(architecture) for architecture in architectures]
            generator = torch.Generator().manual_seed(seed)
            inputs = {n: random_feature(s, size, generator, complete=True) for n, s in signature.inputs.items()}
            networks = [build(space, architecture, signature).eval() for architecture in architectures]
            measured = _measured(networks, inputs)
            found = float(np.corrcoef(predicted, measured)[0, 1])
            for architecture, wanted, spent in zip(architectures, predicted, measured, strict=True):
                rows.append({"batch": size, "correlation": f"{found:.4f}", "predicted_ms": f"{wanted:.4f}",
                             "measured_ms": f"{spent:.4f}", "architecture": str(architecture)})  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    write_table(output, rows)
    return rows


@torch.no_grad()
def _measured(networks: list[Any], inputs: Any) -> list[float]:
    """Lower quartile of the milliseconds of each network, in rounds in which each has its turn."""
    times: list[list[float]] = [[] for _ in networks]
    for _ in range(ROUNDS):
        for place, network in enumerate(networks):
            start = time.perf_counter()
            network(inputs)
            times[place].append(1000 * (time.perf_counter() - start))
    return [float(np.quantile(one, 0.25)) for one in times]
