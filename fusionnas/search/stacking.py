"""Whether heads train faster stacked or one after the other here: measured, once per operator.

Stacking saves what a small network pays for being small. From a width of about 128, or 512 samples a batch, nothing is
left to save, and one after the other is kinder to the processor's cache. Where that lies depends on the machine, so it
is measured at the start of a search on the real width and batch and written into the journal; a resumed run reads it
there. Both ways give the same up to rounding.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping

import torch

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.device import compute_device
from fusionnas.operators import operators
from fusionnas.search.cache import MOST_TOKENS, Cache
from fusionnas.search.heads import Candidate, Heads, HeadSettings, SequentialHeads
from fusionnas.search.stack import HeadStack, largest_stack

_MEMBERS, _STEPS, _TURNS = 32, 3, 3
_GAIN = 0.9  # of the time one by one

Timings = Mapping[str, Mapping[str, float]]
"""By operator: seconds of processor time per head and step, ``stacked`` and ``sequential``."""


def measure(names: Iterable[str], settings: HeadSettings) -> dict[str, dict[str, float]]:
    """Timings of one-node heads of every operator that can be stacked, on random features; medians of three turns."""
    found = {}
    for name in names:
        if operators[name].stackable:
            inputs = tuple(Point("measured", level) for level in range(operators[name].inputs_range[0]))
            architecture, cache = Architecture((), (Node(inputs, name),), NodeRef(0)), _random(inputs, settings)
            members = [Candidate(architecture, seed) for seed in range(min(_MEMBERS, largest_stack(settings)))]
            contestants: dict[str, Heads] = {
                "stacked": HeadStack(members, settings, inputs),
                "sequential": SequentialHeads(members[:1], settings, inputs),
            }
            for heads in contestants.values():
                heads.place(compute_device(settings.device))
            turns = [{kind: _seconds(heads, cache) for kind, heads in contestants.items()} for _ in range(_TURNS)]
            found[name] = {kind: statistics.median(turn[kind] for turn in turns) for kind in contestants}
    return found


def stacking_pays(timings: Timings, names: Iterable[str]) -> bool:
    """Whether heads of these operators train a tenth faster stacked; what was not measured does not count.

    A smaller gain with one node may be a loss with two.
    """
    known = [timings[name] for name in names if name in timings]
    return sum(t["stacked"] for t in known) <= _GAIN * sum(t["sequential"] for t in known)


def _random(points: tuple[Point, ...], settings: HeadSettings) -> Cache:
    """One batch of random features, all there."""
    generator, size = torch.Generator().manual_seed(0), settings.batch_size
    tokens = torch.randn(size, len(points), MOST_TOKENS, settings.width, generator=generator)
    target = torch.randint(max(settings.outputs, 2), (size,), generator=generator)
    present = torch.ones(size, len(points), dtype=torch.bool)
    masks = present.unsqueeze(-1).expand(-1, -1, MOST_TOKENS)
    return Cache(points, tokens[:, :, 0].contiguous(), present, tokens, masks, target)


def _seconds(heads: Heads, cache: Cache) -> float:
    """Of processor time per head and step, the first step aside."""
    heads.fit(cache, [1.0], seed=0)
    start = time.thread_time()
    heads.fit(cache, [1.0] * _STEPS, seed=0)
    return (time.thread_time() - start) / (_STEPS * len(heads.candidates))
