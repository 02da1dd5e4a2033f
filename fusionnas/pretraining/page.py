"""The page docs/pretraining.md, from the registry: ``python -m fusionnas.pretraining.page > docs/pretraining.md``."""

from __future__ import annotations

from fusionnas.pretraining.base import Objective, objectives

HEAD = """\
# Pretraining before the search

Written by `python -m fusionnas.pretraining.page`; do not edit.

```yaml
pretrain: {objective: align, epochs: 20}
```

Before the search, all encoders learn without labels from what modalities say about each other, on the inputs of train
and alpha. The supernet and every later training then start from those weights instead of fresh ones; the default
method's heads are as they are without it, on better features. It pays where labels are few or noisy and modalities are
many or long; where labels are plenty it may do nothing, so compare on select.

* Where a modality lists several encoders, each batch takes one per layer, drawn evenly: every path works alone.
* Modalities are read together by the space's own operator where it can give tokens (`joint_transformer`,
  `cross_attention`, the first that `fusion.operators` lists); every later node with that operator starts from it
  too. Else a cross attention of the stage's own is used and dropped.
* A modality with policy `frozen` or `finetune` takes its weights from here, not from training on the labels, unless
  `weights` names a file. With `frozen`, what was learned without labels stays: a linear-probe setting.
* The stage is one unit of the run: killed, it resumes to the same bits. Its losses are in the journal (`pretraining`).
* `mask` sets the share that masked modelling hides.

From Python, `fusionnas.search("space.yaml")` does all this; `fusionnas list objectives` lists what follows.
"""


def pretraining_page() -> str:
    """The whole page as Markdown, one section per objective, by name."""
    names = [n for n in objectives if _module(objectives[n]).startswith("fusionnas.pretraining.")]
    table = ["| objective | loss |", "|---|---|"]
    rows = [f"| [{name}](#{name}) | {objectives[name].facts.formula} |" for name in names]
    return "\n".join([HEAD, *table, *rows, "", *(_section(name, objectives[name]) for name in names)])


def _section(name: str, objective: Objective) -> str:
    facts, file = objective.facts, _module(objective).replace(".", "/") + ".py"
    return f"""\
## {name}

    {facts.formula}

* Source: {facts.source}.
* Departs from it: {facts.departs}.
* Code: [`{file}`](../{file})
"""


def _module(objective: Objective) -> str:
    return str(objective.__module__)


if __name__ == "__main__":
    print(pretraining_page(), end="")
