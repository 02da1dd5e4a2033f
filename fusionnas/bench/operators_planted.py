"""Which operator for which interaction: every planted truth against every operator of a panel.

A head of one node is trained on 8,000 samples, the best of 30 epochs on 1,000 others is kept, 4,000 more are its test.
``fusionnas.bench.operators_page`` makes a page of the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.bench.base import register_bench, write_table
from fusionnas.bench.truths import TRUTHS, WIDTH, Sample, draw_rotations, sample
from fusionnas.errors import FusionNASError
from fusionnas.execution.base import Call, completed
from fusionnas.execution.choose import make_executor
from fusionnas.network import FusionHead
from fusionnas.run.progress import Progress
from fusionnas.training.randomness import derive, seeded

SEEDS = 3
SIZES = (8000, 1000, 4000)
EPOCHS, BATCH_SIZE, LEARNING_RATE = 30, 128, 5e-3
NEAR = 0.02
PANEL = (
    "late_logits", "late_probabilities", "additive", "concat", "multiplicative", "bilinear", "tensor",
    "low_rank_tensor", "polynomial", "film", "gated", "mlp", "concat_steps", "mag", "polynomial_windows",
    "non_local_gate", "cross_attention", "crossmodal_transformer", "memory_fusion",
)  # fmt: skip
POINTS = (Point("a", 0), Point("b", 0))


@register_bench("operators_planted")
def operators_planted(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Six planted interactions, every operator of a panel, three seeds: test accuracy against the best possible.

    ``role`` says whether the operator is of the truth's own family (expected within 2 %), or cannot express it.
    """
    calls = [
        Call(f"{truth} {name} {number}", one, (truth, name, number))
        for truth in TRUTHS
        for name in PANEL
        for number in range(seed, seed + SEEDS)
    ]
    progress.stage("operators_planted", len(calls))
    rows: dict[str, dict[str, Any]] = {}
    executor = make_executor(workers)
    try:
        for ended in completed(executor, calls):
            if ended.failure is not None:
                raise FusionNASError(f"{ended.call.name}: {ended.failure.text}")
            rows[ended.call.name] = ended.value
            progress.advance({"accuracy": float(ended.value["accuracy"])})
    finally:
        executor.close()
    table = [rows[call.name] for call in calls]
    write_table(output, table)
    return table


def one(truth: str, operator: str, seed: int) -> dict[str, Any]:
    """One row: this operator on this truth; the same in any process."""
    planted = TRUTHS[truth]
    rng = np.random.default_rng([seed, list(TRUTHS).index(truth)])
    turned = draw_rotations(rng)
    train, select, test = (sample(planted, count, turned, rng) for count in SIZES)
    accuracy = _trained(operator, train, select, test, seed)
    role = "own" if operator in planted.own else "wrong" if operator in planted.wrong else ""
    return {
        "truth": truth, "operator": operator, "role": role, "seed": seed, "accuracy": f"{accuracy:.4f}",
        "best_possible": f"{test.best:.4f}", "shortfall": f"{test.best - accuracy:.4f}",
    }  # fmt: skip


def _trained(operator: str, train: Sample, select: Sample, test: Sample, seed: int) -> float:
    """Test accuracy of a head with one node, at the epoch that was best on ``select``."""
    architecture = Architecture((("a", ()), ("b", ())), (Node(POINTS, operator),), NodeRef(0))
    with seeded(derive(seed, "operators_planted", operator)):
        head = FusionHead(architecture, WIDTH, 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    generator = torch.Generator().manual_seed(derive(seed, "batches"))
    best = kept = 0.0
    for _ in range(EPOCHS):
        head.train()
        for index in torch.randperm(len(train.target), generator=generator).split(BATCH_SIZE):
            logits = head({p: f.rows(index) for p, f in zip(POINTS, train.features, strict=True)}).squeeze(-1)
            loss = functional.binary_cross_entropy_with_logits(logits, train.target[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        chosen = _accuracy(head, select)
        if chosen > best:
            best, kept = chosen, _accuracy(head, test)
    return kept


@torch.no_grad()
def _accuracy(head: FusionHead, of: Sample) -> float:
    head.eval()
    logits = head(dict(zip(POINTS, of.features, strict=True))).squeeze(-1)
    return float(((logits > 0).float() == of.target).float().mean())
