"""The page docs/operators.md, written from the registry: ``python -m fusionnas.operators.page > docs/operators.md``."""

from __future__ import annotations

from fusionnas.operators.base import FusionOperator, operators

HEAD = """\
# Fusion operators

Written by `python -m fusionnas.operators.page`; do not edit.

An operator takes k features of width D and gives one. Operators stand in the order of the chart that leads from
homogeneous modalities (the same thing seen twice: adding is enough) to heterogeneous ones (each needs treatment of
its own). All obey one contract, checked for each by `fusionnas.testing`: an absent input adds exactly nothing; an
operator over k inputs is the leading block of the same operator over more inputs whose further ones are absent; padding
never changes an output; many operators of one form train stacked. How to add one:
[adding_an_operator.md](adding_an_operator.md).

MACs are multiply-adds of matrix products per sample; elementwise work, normalisation and softmax are not counted.
*Ordered*: exchanging two inputs changes what can be computed. Operators that read *tokens* get whole sequences; those
that read *vectors* get the masked mean over tokens.
"""


def operators_page() -> str:
    """The whole page as Markdown, one section per operator of fusionnas (no plug-ins), most homogeneous first."""
    own = [name for name in operators if operators[name].__module__.startswith("fusionnas.operators.")]
    names = sorted(own, key=lambda name: (operators[name].facts.rank, name))
    table = [
        "| operator | ordered | reads | inputs | parameters | parameters at the fewest inputs, D = 32 |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(
        [
            HEAD,
            *table,
            *(_row(name, operators[name]) for name in names),
            "",
            *(_section(name, operators[name]) for name in names),
        ]
    )


def _row(name: str, cls: type[FusionOperator]) -> str:
    low, high = cls.inputs_range
    cells = [
        f"[{name}](#{name})",
        "yes" if cls.ordered else "no",
        "tokens" if cls.sequence else "vectors",
        f"{low} or more" if high is None else (str(low) if low == high else f"{low} to {high}"),
        cls.facts.parameters,
        f"{cls.count_parameters(low, 32):,}",
    ]
    return f"| {' | '.join(cells)} |"


def _section(name: str, cls: type[FusionOperator]) -> str:
    facts = cls.facts
    return f"""\
## {name}

    {facts.formula}

* Source: {facts.source}.
* Departs from it: {facts.departs}.
* Parameters: {facts.parameters}. MACs: {facts.macs}.
* Code: [`{cls.__module__.replace(".", "/")}.py`](../{cls.__module__.replace(".", "/")}.py)
"""


if __name__ == "__main__":
    print(operators_page(), end="")
