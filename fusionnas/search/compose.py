"""An architecture from answers to named questions: what model-based samplers search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture, Node, NodeRef, Source
from fusionnas.supernet.mixing import reachable

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

Pick = Callable[[str, list[str]], str]
"""Question and possible answers -> answer. A question has the same possible answers whenever it is asked."""


def compose(space: SearchSpace, pick: Pick) -> Architecture:
    """Ask for the number of nodes, then per node operator, number of inputs and inputs, then encoder layers.

    Every question is categorical. An input that the node reads already gives way to the next free one, an operator that
    may only stand last to the next one that need not. The last node reads those that nothing else reads.
    """
    fusion, points = space.file.fusion, space.points()
    count = int(pick("nodes", [str(n) for n in range(fusion.nodes + 1)]))
    nodes: list[Node] = []
    for index in range(count):
        read = {source for node in nodes for source in node.inputs}
        loose = [NodeRef(i) for i in range(index) if NodeRef(i) not in read] if index == count - 1 else []
        nodes.append(_node(space, loose, pick, index=index, last=index == count - 1))
    if nodes:
        kept, output = reachable(nodes, space.sources(count)[-1])
    else:
        kept, output = [], points[int(pick("output", _numbers(len(points))))]
    layers = {
        name: tuple(pick(f"{name}.{level}", list(space.file.modalities[name].encoder)) for level in range(depth))
        for name, depth in space.depths(kept, output).items()
    }
    return space.architecture(kept, output, layers)


def _node(space: SearchSpace, given: Sequence[Source], pick: Pick, *, index: int, last: bool) -> Node:
    """The node number ``index``, which reads what is ``given`` at any rate."""
    (fewest, most), sources, names = space.file.fusion.inputs, space.sources(index), list(space.file.fusion.operators)
    operator = pick(f"node {index} operator", names)
    while space.rules[operator].decides and not last:
        operator = names[(names.index(operator) + 1) % len(names)]
    rule = space.rules[operator]
    wanted = int(pick(f"node {index} inputs", [str(n) for n in range(fewest, most + 1)]))
    count = min(max(wanted, rule.fewest), rule.most, len(sources))
    inputs = list(given[:count])
    for slot in range(len(inputs), count):
        place = int(pick(f"node {index} slot {slot}", _numbers(len(sources))))
        while sources[place] in inputs:
            place = (place + 1) % len(sources)
        inputs.append(sources[place])
    return Node(tuple(inputs), operator)


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]
