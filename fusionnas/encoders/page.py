"""The page docs/encoders.md, written from the registry: ``python -m fusionnas.encoders.page > docs/encoders.md``."""

from __future__ import annotations

from fusionnas.encoders.base import EncoderLayer, encoders
from fusionnas.feature import InputSpec

HEAD = """\
# Encoders

Written by `python -m fusionnas.encoders.page`; do not edit.

An encoder turns one modality into features at levels 0..L, all (batch, tokens, width). Level 0 is the *stem*: a linear
map of the preprocessed input, or an embedding of its ids, plus sinusoidal positions times a learned scale where there
are several tokens. `levels: 3` in a space file adds three layers. `encoder: gru` takes that layer at every level;
`encoder: [gru, tcn, attention]` lets the search choose for each level, among encoders that ask for the same view.

Every layer gives the mask and presence that it got, zeros where masked, and features of unit scale (it ends with the
LayerNorm of its residual sum), so features of any level can be fused with those of any other. Padding never changes an
output. `dropout:` of a modality acts on the stem's input.

A *view* is the form in which preprocessing hands an input over; `view:` in a space file asks for another one (such as
`observations` for `attention`: one token per measurement). Reading one input in two views (two modalities with one
`source:`, say `gru` on bins and `summary`) is often the best use of a series.

| view | form per sample |
|---|---|
| plain | one vector: standardised columns, indicators of missing ones, one column per category |
| bins | one token per time bin: mean carried forward, observed or not, time since last, log of count, per variable |
| observations | one token per measurement: value, time, variable; the latest are kept |
| spectrum | one vector: level, spread, energy per octave of each variable (`view: spectrum` with encoder `summary`) |
| summary | one vector: twelve statistics per variable, counts and times of measurement among them |
| tokens | ids, 0 = padding, 1 = unknown |
| patches | one token per image patch, row by row |
| frames | one token per audio frame |
"""


def encoders_page() -> str:
    """The whole page as Markdown, one section per encoder of fusionnas (no plug-ins), by name."""
    names = [name for name in encoders if encoders[name].__module__.startswith("fusionnas.encoders.")]
    table = ["| encoder | kinds (view) | parameters of a layer at D = 32 |", "|---|---|---|"]
    return "\n".join(
        [
            HEAD,
            *table,
            *(_row(name, encoders[name]) for name in names),
            "",
            *(_section(name, encoders[name]) for name in names),
        ]
    )


def _row(name: str, cls: type[EncoderLayer]) -> str:
    kinds = ", ".join(f"{kind} ({view})" for kind, view in cls.facts.view.items())
    layer = cls(32, InputSpec(width=9, tokens=4, grid=(2, 2) if "image" in cls.facts.kinds else ()))
    size = sum(parameter.numel() for parameter in layer.parameters())
    return f"| [{name}](#{name}) | {kinds} | {size:,} |"


def _section(name: str, cls: type[EncoderLayer]) -> str:
    facts, formula = cls.facts, (cls.__doc__ or "").partition("\n")[0].replace("``", "`")
    return f"""\
## {name}

{facts.summary[:1].upper()}{facts.summary[1:]}. {formula}

* Source: {facts.source}.
* Departs from it: {facts.departs}.
* Code: [`{cls.__module__.replace(".", "/")}.py`](../{cls.__module__.replace(".", "/")}.py)
"""


if __name__ == "__main__":
    print(encoders_page(), end="")
