"""The page docs/which_operator.md: ``python -m fusionnas.bench.operators_page > docs/which_operator.md``."""

from __future__ import annotations

import csv
from pathlib import Path

from fusionnas.bench.operators_planted import NEAR, PANEL, SEEDS
from fusionnas.bench.truths import TRUTHS

TABLE = Path(__file__).parents[2] / "results" / "operators_planted.csv"
HEAD = """\
# Which operator for which interaction

Written by `python -m fusionnas.bench.operators_page` from `results/operators_planted.csv`, which
`fusionnas bench operators_planted` measures; do not edit.

Two modalities `a` and `b`, a label that depends on both in one known way, one fusion node trained on 8,000 samples.
One label in twenty is wrong on purpose, so the best possible accuracy is about 95 %. The table shows by how many
percentage points of test accuracy each operator stays below the best possible, mean of {seeds} seeds. **Bold**:
within {near:.0f} points. *Italic*: an operator that cannot express this interaction, whatever its weights are.

"""
FOOT = """\

How to read it:

* **Additive is a good baseline, and no more.** Where each modality has its own say, nothing beats it (`concat`
  normalises each input, which bends the sum a little). Where the meaning of one modality depends on the other, no sum
  of parts finds it: not additive, not concatenation, not late fusion.
* **A pure product forgets what a modality says alone** (`bilinear` on the additive truth). Operators that hold both,
  such as `tensor`, `low_rank_tensor`, `multiplicative` with its biases, `gated` and `mlp`, do well on both.
* **Pooling before fusion loses when things happen.** No operator on vectors finds what lies in the coincidence of two
  steps. Operators that go step by step do, where steps of both modalities correspond.
* **Where steps do not correspond, attention finds the partner.** Recurrent memory does as well on short sequences.

Vectors are one token to operators that read sequences: in a space of vectors they cost time and gain little. You need
not choose: list several under `fusion.operators`, and the search tries them ([search.md](search.md)). What each
operator computes and costs is in [operators.md](operators.md).

From similar to different modalities, the field's chart orders them: late, additive, multiplicative, tensor, polynomial,
modality shift, gated, nonlinear, then attention over raw tokens; `fusionnas list operators` lists them in this order.
"""


def which_operator_page(table: Path = TABLE) -> str:
    """The whole page as Markdown.

    Args:
        table: CSV of the benchmark.
    """
    shortfalls: dict[tuple[str, str], list[float]] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            shortfalls.setdefault((row["operator"], row["truth"]), []).append(float(row["shortfall"]))
    lines = [f"| operator | {' | '.join(TRUTHS)} |", f"|---|{'---|' * len(TRUTHS)}"]
    for name in PANEL:
        cells = [_cell(name, truth, shortfalls[name, truth]) for truth in TRUTHS]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    rules = [f"* **{name}**: {truth.rule}. Its family: {_names(truth.own)}." for name, truth in TRUTHS.items()]
    head = HEAD.format(seeds=SEEDS, near=100 * NEAR)
    return "\n".join([head + "The label is positive where", "", *rules, "", *lines]) + "\n" + FOOT


def _cell(operator: str, truth: str, values: list[float]) -> str:
    mean = sum(values) / len(values)
    text = f"{100 * mean:.1f}"
    if mean <= NEAR:
        return f"**{text}**"
    return f"*{text}*" if operator in TRUTHS[truth].wrong else text


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(which_operator_page(), end="")
