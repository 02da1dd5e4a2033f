"""Small spaces and data for tests of several rooms; generated, seeded, no files."""

from __future__ import annotations

import numpy as np
import torch

from fusionnas.data.base import Part, SearchData
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.space import SearchSpace

TEXT = """
name: tiny
data: simulated_icu
task: {{kind: binary, target: label, metric: roc_auc}}
modalities:
  a: {{kind: vector, encoder: mlp, levels: 1}}
  b: {{kind: timeseries, encoder: [gru, tcn], levels: 2, steps: 5}}
  c: {{kind: timeseries, source: b, encoder: summary, levels: 1, wide: true}}
fusion: {{nodes: {nodes}, width: 8, inputs: {inputs}, operators: [{operators}]}}
training: {{epochs: 3, batch_size: 32, dropout: 0.1}}
search: {{epochs: 2, seeds: 2, heads: 24, rungs: [1, 1], eta: 4, rescore: 4, finalists: 2, random: 1}}
"""
OPERATORS = ("additive", "multiplicative", "gated", "low_rank_tensor", "cross_attention", "mlp")
DECISIONS = ("late_logits", "late_probabilities", "late_product", "late_vote", "late_stacking")


def tiny_space(*, nodes: int = 2, inputs: str = "[2, 3]", operators: tuple[str, ...] = OPERATORS) -> SearchSpace:
    """A space with a vector, a series with searched layers, and a summary view with a wide path."""
    return SearchSpace.parse(TEXT.format(nodes=nodes, inputs=inputs, operators=", ".join(operators)))


def tiny_signature() -> Signature:
    """Input sizes that fit ``tiny_space``."""
    return Signature({"a": InputSpec(6), "b": InputSpec(4, tokens=5), "c": InputSpec(7)}, outputs=1)


def random_inputs(size: int, seed: int, *, dtype: torch.dtype = torch.float32) -> dict[str, Feature]:
    """Random inputs for ``tiny_signature``; some samples lack some modality, series end at different steps."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    for name, spec in tiny_signature().inputs.items():
        present = torch.rand(size, generator=generator) > 0.2
        length = torch.randint(1, spec.tokens + 1, (size, 1), generator=generator)
        mask = (torch.arange(spec.tokens) < length) & present.unsqueeze(1)
        values = torch.randn(size, spec.tokens, spec.width, generator=generator, dtype=dtype)
        inputs[name] = Feature(values * mask.unsqueeze(-1), mask, present)
    return inputs


def random_part(size: int, seed: int) -> Part:
    """Inputs and a label that the first channel of ``a`` and the mean of ``b`` decide together."""
    inputs = random_inputs(size, seed)
    score = inputs["a"].values[:, 0, 0] * inputs["b"].values.sum((1, 2)) + inputs["a"].values[:, 0, 1]
    names = np.array([f"{seed}-{i}" for i in range(size)])
    return Part(inputs, (score > 0).long(), names, names)


def tiny_data(size: int = 96) -> SearchData:
    """Train, alpha and select parts."""
    return SearchData(random_part(size, 1), random_part(size // 2, 2), random_part(size // 2, 3), tiny_signature())
