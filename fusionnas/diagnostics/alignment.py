"""Alignment: which token of one modality belongs to which of another, as the found network sees them."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fusionnas.alignment import sequences, token_features
from fusionnas.data.views.tokens import UNKNOWN, TokenIds
from fusionnas.diagnostics.base import DiagnosticFacts, Findings, register_diagnostic
from fusionnas.diagnostics.chart import Shades
from fusionnas.diagnostics.subject import Subject
from fusionnas.feature import Feature
from fusionnas.transport import cosine_cost, transport

FACTS = DiagnosticFacts(
    question="Which token of one modality belongs to which of another?",
    source="Kim et al., ViLT, ICML 2021, arXiv:2102.03334, word-patch alignment; Xie et al., UAI 2019, "
    "arXiv:1802.04307",
    departs="any two sequences; mean maps over samples, by word where there are words, else by place",
)
SAMPLES, MOST = 256, 24
NEARER = 0.05  # of the cost across samples: what counts as aligned


@register_diagnostic("alignment", FACTS)
def alignment(subject: Subject) -> Findings:
    """Mean transport maps of all pairs of sequences that the found network reads."""
    network = subject.network()
    names = sequences(network)
    pairs = [
        (a, b) for a, b in itertools.combinations(names, 2)
        if subject.space.source_of(a) != subject.space.source_of(b)
    ]  # fmt: skip
    if not pairs:
        return Findings([f"The network reads {len(names)} sequences of different inputs; a map needs two."])
    part = subject.part.rows(torch.arange(min(SAMPLES, len(subject.part))))
    tokens = token_features(network, part.inputs)
    answer, facts, charts = [], {}, []
    for first, second in pairs:
        a, b = tokens[first], tokens[second]
        within, across = _costs(a, b)
        facts[f"{first} to {second}"] = {"cost_within": within, "cost_across": across}
        verdict = "are aligned" if within < (1 - NEARER) * across else "are not aligned"
        answer.append(f"{first} and {second} {verdict}: tokens of one sample are {within:.3f} apart, "
                      f"tokens of different samples {across:.3f} (0 = same direction, 1 = unrelated).")  # fmt: skip
        charts.append(_map(subject, part.inputs, (first, second), transport(cosine_cost(a, b), a.mask, b.mask)))
    return Findings(answer, facts, charts=charts)


def _costs(a: Feature, b: Feature) -> tuple[float, float]:
    """Mean cost of moving one sample's tokens, onto its own and onto the next sample's."""
    found = []
    for other in (b, b.rows(torch.roll(torch.arange(len(b.present)), 1))):
        rows = a.mask.any(1) & other.mask.any(1)
        cost = cosine_cost(a, other)
        total = (cost * transport(cost, a.mask, other.mask)).sum((1, 2))
        found.append(float(total[rows].mean()) if bool(rows.any()) else float("nan"))
    return found[0], found[1]


def _map(subject: Subject, inputs: Any, pair: tuple[str, str], plan: Tensor) -> Shades:
    """Where each word (or place) of the first goes, as shares of its own weight; the most frequent ones."""
    (rows, row_names), (columns, column_names) = (_named(subject, name, inputs[name]) for name in pair)
    total = torch.einsum("bnk,bnm,bml->kl", rows, plan, columns)
    kept = total.sum(1).argsort(descending=True)[:MOST].sort().values
    used = total.sum(0).argsort(descending=True)[: MOST * 3].sort().values
    kept, used = kept[total.sum(1)[kept] > 0], used[total.sum(0)[used] > 0]
    share = total[kept] / total[kept].sum(1, keepdim=True)
    return Shades(
        f"{pair[0]} to {pair[1]}", "share", pair[0], pair[1], [row_names[i] for i in kept],
        [column_names[i] for i in used], share[:, used].tolist(),
    )  # fmt: skip


def _named(subject: Subject, name: str, feature: Feature) -> tuple[Tensor, list[str]]:
    """Which name each token has, one-hot (B, T, names); the names: words, patches by row and column, or steps."""
    size, length = feature.mask.shape
    view = subject.dataset.preprocessing.views[name]
    if isinstance(view, TokenIds):
        words = ["", "(unknown)", *view.vocabulary]
        return one_hot(feature.values, len(words)).float() * (feature.values >= UNKNOWN).unsqueeze(-1), words
    grid = view.spec.grid
    places = [f"{i // grid[1]},{i % grid[1]}" if grid else str(i) for i in range(length)]
    return torch.eye(length).expand(size, length, length), places
