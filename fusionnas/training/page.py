"""The page docs/training.md, written from the registry: ``python -m fusionnas.training.page > docs/training.md``."""

from __future__ import annotations

from fusionnas.training.method import TrainingMethod, training_methods

HEAD = """\
# Training methods

Written by `python -m fusionnas.training.page`; do not edit.

One trainer trains the supernet, every candidate, every baseline and the final networks: AdamW, a cosine schedule, early
stopping on select, averaged weights ([the keys](space.md#training)). The methods below are options of it, off unless
the space file turns them on; several can be on at once. They act while networks train end to end. The default method's
stacked heads, which only rank, train plainly on what the supernet encoded.

## Steps are recorded

Small networks spend a third of a step in modules and in autograd's bookkeeping. So where no method below is on and the
network has no [gates](gates.md), the trainer records the tensor operations of a step, forward and backward, and runs
that list from then on: the same kernels in the same order, so the same bits. On batches of 64, in width 16, 64 and 256,
the gradient takes 1.65, 1.4 and 1.16 times less (`fusionnas bench search replay`,
[results/search.csv](../results/search.csv)). What the code looked at when it was recorded (does a sample lack a
modality?) is looked at again, and where the answer is another, the code itself runs. The first ten steps are not
recorded, nor are those that take more than a tenth of a second, those on a GPU, and those that do what no tensor
operation tells (numpy, a running mean). The first replay runs beside the code itself: where they differ (a plug-in
counts its calls, say), that code is not replayed. The supernet trains so, too.

## What methods have in common

What a method needs beside the network (a head per modality, say) is trained along, saved in checkpoints, and never
part of what is scored, kept or exported. A killed training resumes to the same bits with any of them. A network that
reads one modality trains plainly where a method weighs modalities against each other. Two views of one `source` are one
modality: they are dropped, weighed and blended together.

```yaml
training:
  robustness: {missing: 0.2, noise: 0.1}    # some modality may be missing when the network is used
  modulation: ogm_ge                        # a fast learner must not starve the others
  blending: {kind: online, epochs: 4}       # modalities overfit at different rates
```

| what you see | try |
|---|---|
| a modality will sometimes be missing, or noisy | `robustness` |
| more modalities are worse than the best one alone | `blending`, or `warm_start: unimodal` (cheaper) |
| one modality is learned first, the others never | `modulation: ogm_ge`, `warm_start: unimodal` |
| one modality predicts in training but not in use | `debias: {kind: rubi, modalities: [that_one]}` |
| the network ignores a modality that should matter | `debias: functional_entropy` |

Compare on select, several seeds: none of these always helps. `fusionnas bench training_methods` measures each on three
planted problems, five seeds ([results/training_methods.csv](../results/training_methods.csv)). There, training for
missing modalities helps where one is neglected, in every seed (accuracy without the loud one .69 -> .95). The unimodal
warm start (.69 -> .75, and .59 -> .73 where a modality prejudices) and offline blending (.59 -> .65) help on average
and harm in some seeds. All others change less than seeds do. `fusionnas list training` lists the methods.
"""


def training_page() -> str:
    """The whole page as Markdown, one section per method, in the order in which they act."""
    names = [n for n in training_methods if training_methods[n].__module__.startswith("fusionnas.training.")]
    names.sort(key=lambda name: training_methods[name].order)
    table = ["| method | key | changes |", "|---|---|---|"]
    rows = [_row(name, training_methods[name]) for name in names]
    return "\n".join([HEAD, *table, *rows, "", *(_section(name, training_methods[name]) for name in names)])


def _row(name: str, cls: type[TrainingMethod]) -> str:
    return f"| [{name}](#{name}) | `{cls.facts.key}` | {cls.facts.formula.replace('|', chr(92) + '|')} |"


def _section(name: str, cls: type[TrainingMethod]) -> str:
    facts = cls.facts
    told = (cls.__doc__ or "").partition("\n\n    Args:")[0].replace("``", "`")
    told = "\n".join(line.strip() for line in told.splitlines())
    return f"""\
## {name}

{told}

* In the space file: `{facts.key}`.
* Changes: {facts.formula}.
* Source: {facts.source}.
* Departs from it: {facts.departs}.
* Code: [`{cls.__module__.replace(".", "/")}.py`](../{cls.__module__.replace(".", "/")}.py)
"""


if __name__ == "__main__":
    print(training_page(), end="")
