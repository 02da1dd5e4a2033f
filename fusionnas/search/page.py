"""The page docs/methods.md, written from the registries: ``python -m fusionnas.search.page > docs/methods.md``."""

from __future__ import annotations

from fusionnas.search.decoder import decoders
from fusionnas.search.method import Facts, methods
from fusionnas.space.schema import Section

HEAD = """\
# Search methods and decoders

Written by `python -m fusionnas.search.page`; do not edit. How a search goes on after its method has proposed:
[search.md](search.md). How to add a method: [architecture.md](architecture.md).

    search: {method: gdas, options: {hot: 5.0}, decoder: sampled}

An option that the method does not have is refused, with what it has. Every method obeys one protocol, checked for each
by the tests: the same seed finds the same, also after a kill; a budget is kept; the test part is out of reach; what is
proposed is valid.
"""


def methods_page() -> str:
    """The whole page as Markdown: a table, a section per method of fusionnas (no plug-ins), then the decoders."""
    own = [name for name in methods if methods[name].__module__.startswith("fusionnas.")]
    table = ["| method | in a line |", "|---|---|", *(f"| [{n}](#{n}) | {methods[n].facts.summary} |" for n in own)]
    decoding = ["# Decoders", "", "How a relaxed method makes finalists of what it learned (`search.decoder`).", ""]
    return "\n".join([
        HEAD, *table, "",
        *(_section(name, methods[name].facts, methods[name].options, methods[name].__module__) for name in own),
        *decoding,
        *(_section(name, decoders[name].facts, None, decoders[name].__module__) for name in decoders),
    ])  # fmt: skip


def _section(name: str, facts: Facts, options: type[Section] | None, module: str) -> str:
    path = module.replace(".", "/")
    text = f"""\
## {name}

{facts.summary[0].upper()}{facts.summary[1:]}.

* Source: {facts.source}.
* Departs from it: {facts.departs}.
* Code: [`{path}.py`](../{path}.py)
"""
    if options is None or not options.model_fields:
        return text
    rows = [f"| `{key}` | `{field.default}` | {field.description} |" for key, field in options.model_fields.items()]
    return "\n".join([text, "| option | default | meaning |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    print(methods_page(), end="")
