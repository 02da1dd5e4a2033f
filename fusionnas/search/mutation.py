"""One step away from an architecture: its fusion, its encoder layers, or both at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


def mutated(space: SearchSpace, parent: Architecture, rng: random.Random) -> Architecture:
    """A random neighbour: in its fusion graph, in an encoder layer, or in both, each as likely where there are such.

    Changing modality blocks and fusion together is what MUFASA evolves (Xu et al., "MUFASA", AAAI 2021,
    arXiv:2102.02340).
    """
    fusion, layers = list[Architecture](), list[Architecture]()
    for neighbour in space.neighbours(parent):
        same = (neighbour.nodes, neighbour.output) == (parent.nodes, parent.output)
        (layers if same else fusion).append(neighbour)
    kinds = [kind for kind, found in (("fusion", fusion), ("layers", layers), ("both", fusion and layers)) if found]
    if not kinds:
        return parent
    kind = rng.choice(kinds)
    if kind == "layers":
        return rng.choice(layers)
    child = rng.choice(fusion)
    if kind == "fusion":
        return child
    changed = dict(rng.choice(layers).layers)
    chosen = {name: tuple(changed.get(name, own)[: len(own)]) for name, own in child.layers}
    full = {name: (*chosen[name], *own[len(chosen[name]) :]) for name, own in child.layers}
    return space.architecture(child.nodes, child.output, full)
