"""The page docs/operators.md, written from the registry: ``python -m fusionnas.catalogue.page > docs/operators.md``."""

from __future__ import annotations

from collections.abc import Iterator

from fusionnas.catalogue.homes import Said, said
from fusionnas.catalogue.rows import ROWS, Row
from fusionnas.operators.base import FusionOperator, operators
from fusionnas.operators.measure import measured_macs, measured_parameters

INPUTS, WIDTH, TOKENS = 2, 32, 8
HEAD = """\
# Fusion operators, and the whole catalogue

Written by `python -m fusionnas.catalogue.page`; do not edit.

An operator takes k features of width D and gives one. Space files name them under `fusion.operators`; which one for
which interaction is what `fusionnas bench operators_planted` measures. All obey one contract, checked for each by
`fusionnas.testing`: an absent input adds exactly nothing; an operator over k inputs is the leading block of the same
operator over more inputs whose further ones are absent; padding never changes an output, and a row without any real
token gives zeros; counts are exact; many operators of one form train stacked. How to add one:
[adding_an_operator.md](adding_an_operator.md).

## The operators

They stand in the order of the chart that leads from homogeneous modalities (the same thing seen twice: adding is
enough) to heterogeneous ones (each needs treatment of its own): late 1, additive 2, multiplicative 3, tensor 4,
polynomial 5, modality shift 6, gated 7, nonlinear 8, across tokens 9, very early on raw tokens 10. *Ordered*:
exchanging two inputs changes what can be computed. Operators that read *tokens* get whole sequences; those that read
*vectors* get the masked mean over tokens; both mix in one space. Late fusion fuses *predictions*: such an operator is
a network's last node.

"""
CATALOGUE = """\

## The catalogue

Every way to fuse, train, search and measure that the field's overview names, and its home here. Costs are formula and
measured value, for {inputs} inputs, D = {width} channels, C = {width} logits and, where tokens count, {tokens} tokens
of each input. MACs are multiply-adds of matrix products per sample; elementwise work, normalisation, softmax and
transforms are not counted. T0 are the tokens of input 0, T those of all inputs, Tm those of the longest.

| # | row | home | equation | parameters | MACs | source | departs from it |
|---|---|---|---|---|---|---|---|
"""
PAGES = {
    "training": "training.md", "objective": "pretraining.md", "method": "methods.md", "diagnostic": "diagnostics.md",
    "space": "families.md", "key": "space.md", "command": "command_line.md",
}  # fmt: skip


def operators_page() -> str:
    """The whole page as Markdown: operators of fusionnas (no plug-ins), most homogeneous first, then the catalogue."""
    own = [name for name in operators if operators[name].__module__.startswith("fusionnas.operators.")]
    names = sorted(own, key=lambda name: (operators[name].facts.rank, name))
    table = [
        "| operator | chart | ordered | reads | inputs | an absent input |",
        "|---|---|---|---|---|---|",
        *(_operator(name, operators[name]) for name in names),
    ]
    rows = [line for row in ROWS for line in _lines(row)]
    catalogue = CATALOGUE.format(inputs=INPUTS, width=WIDTH, tokens=TOKENS)
    return HEAD + "\n".join(table) + "\n" + catalogue + "\n".join(rows) + "\n"


def _operator(name: str, cls: type[FusionOperator]) -> str:
    cells = [
        f'<a id="{name}"></a>{_code(name, cls)}',
        str(cls.facts.rank),
        "yes" if cls.ordered else "no",
        cls.reads(),
        cls.takes(),
        cls.facts.absent,
    ]
    return f"| {' | '.join(cells)} |"


def _lines(row: Row) -> Iterator[str]:
    """One line per operator and per other entry of a registry; keys, commands and pages of a row share one."""
    names = [home.partition(":")[2] for home in row.homes if home.startswith("operator:")]
    for name in names:
        cls, facts = operators[name], operators[name].facts
        costs = [f"{facts.parameters} → {measured_parameters(cls, INPUTS, WIDTH):,}",
                 f"{facts.macs} → {measured_macs(cls, INPUTS, WIDTH, TOKENS):,}"]  # fmt: skip
        yield _line(row, _code(name, cls), [facts.formula, *costs, facts.source, facts.departs])
    shared = []
    for home in row.homes:
        if home.startswith("operator:"):
            continue
        if own := said(home):
            yield _line(row, _home(home), _told(own))
        else:
            shared.append(home)
    if shared:
        where = ", ".join(_home(home) for home in shared)
        yield _line(row, where, _told(Said(row.equation, row.source, row.departs)))


def _told(own: Said) -> list[str]:
    return [own.equation, "-", "-", own.source, own.departs]


def _line(row: Row, home: str, cells: list[str]) -> str:
    texts = [text.replace("|", "\\|") for text in (str(row.number), row.name, home, *cells)]
    return f"| {' | '.join(texts)} |"


def _code(name: str, cls: type[FusionOperator]) -> str:
    return f"[`{name}`](../{cls.__module__.replace('.', '/')}.py)"


def _home(home: str) -> str:
    kind, _, name = home.partition(":")
    if kind == "page":
        return f"[{name}]({name})"
    return f"{kind} [`{name}`]({PAGES[kind]})"


if __name__ == "__main__":
    print(operators_page(), end="")
