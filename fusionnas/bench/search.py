"""How fast a search is, part by part, side by side with the plain way; ``million`` only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fusionnas.bench.base import register_bench, write_table
from fusionnas.bench.search_heads import chosen, exhaustive, halving, products, stacked
from fusionnas.bench.search_replay import replay
from fusionnas.bench.search_steps import Row, compiled, packed, pairs, second_order
from fusionnas.errors import InputError, did_you_mean
from fusionnas.run.progress import Progress

Part = Callable[[int, int, Progress], list[Row]]
"""(seed, workers, progress) -> rows."""

PARTS: dict[str, Part] = {
    "packed": lambda seed, workers, progress: packed(seed),
    "replay": lambda seed, workers, progress: replay(seed),
    "compiled": lambda seed, workers, progress: compiled(seed),
    "pairs": lambda seed, workers, progress: pairs(seed),
    "second_order": lambda seed, workers, progress: second_order(seed),
    "stacked": lambda seed, workers, progress: stacked(),
    "stacked_compiled": lambda seed, workers, progress: stacked(backend="inductor"),
    "products": lambda seed, workers, progress: products(),
    "chosen": lambda seed, workers, progress: chosen(),
    "halving": lambda seed, workers, progress: [
        row
        for short in (False, True)
        for heads, count, bar in ((5_000, 1, "<= 12 s"), (20_000, workers, "<= 30 s"))
        for row in halving(seed, count, progress, heads=heads, bar=bar, short=short)
    ],
    "exhaustive": exhaustive,
    "million": lambda seed, workers, progress: halving(seed, workers, progress, heads=1_000_000),
}
"""What can be measured."""

DEFAULT = tuple(name for name in PARTS if name != "million")


@register_bench("search")
def search(
    output: Path, *, seed: int, workers: int, progress: Progress, words: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Packed supernet, recorded steps, pairs, second order, stacked heads, halving, exhaustive; or the parts named.

    Raises:
        InputError: there is no such part.
    """
    wrong = [f"'{word}'.{did_you_mean(word, PARTS)}" for word in words if word not in PARTS]
    if wrong:
        raise InputError(f"fusionnas bench search: expected some of {', '.join(PARTS)}; given", wrong)
    rows: list[Row] = []
    for name in words or DEFAULT:
        progress.stage(name, 1)
        rows += PARTS[name](seed, workers, progress)
        write_table(output, rows)
    return rows
