"""Architectures one change away: an input, an operator, the output or the number of nodes, an encoder layer.

Layers that a change brings into use start with the first encoder of the modality's list.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture, Node, NodeRef, Point, Source

if TYPE_CHECKING:
    from fusionnas.space.space import SearchSpace

Graph = tuple[tuple[Node, ...], Source]


def neighbours(space: SearchSpace, architecture: Architecture) -> Iterator[Architecture]:
    """Every architecture of the space that one change makes of ``architecture``, each once."""
    seen = {architecture}
    layers = dict(architecture.layers)
    full = {
        name: (*layers.get(name, ()), *(modality.encoder[:1] * (modality.levels - len(layers.get(name, ())))))
        for name, modality in space.file.modalities.items()
    }
    graphs = ((graph, full) for graph in _graphs(space, architecture.nodes, architecture.output))
    same: Graph = (architecture.nodes, architecture.output)
    other_layers = ((same, {**full, name: changed}) for name, changed in _layers(space, layers))
    for (nodes, output), choice in itertools.chain(graphs, other_layers):
        if not unread(nodes):
            neighbour = space.architecture(nodes, output=output, layers=choice)
            if neighbour not in seen:
                seen.add(neighbour)
                yield neighbour


def unread(nodes: tuple[Node, ...]) -> list[int]:
    """Nodes, the last one aside, that no node reads."""
    read = {source.node for node in nodes for source in node.inputs if isinstance(source, NodeRef)}
    return [index for index in range(len(nodes) - 1) if index not in read]


def _layers(space: SearchSpace, layers: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, chosen in layers.items():
        for place, _ in enumerate(chosen):
            for encoder in space.file.modalities[name].encoder:
                yield name, (*chosen[:place], encoder, *chosen[place + 1 :])


def _graphs(space: SearchSpace, nodes: tuple[Node, ...], output: Source) -> Iterator[Graph]:
    for index in range(len(nodes)):
        for node in _changed(space, nodes[index], space.sources(index), last=index == len(nodes) - 1):
            yield (*nodes[:index], node, *nodes[index + 1 :]), output
    if not nodes:
        yield from (((), point) for point in space.points())
    if len(nodes) < space.file.fusion.nodes:
        yield from _longer(space, nodes, output)
    if nodes:
        yield from _shorter(nodes)


def _changed(space: SearchSpace, node: Node, sources: tuple[Source, ...], *, last: bool) -> Iterator[Node]:
    """One input replaced, dropped, added or, where order counts, exchanged; or another operator."""
    inputs, rule = node.inputs, space.rules[node.operator]
    new = [source for source in sources if source not in inputs]
    for place in range(len(inputs)):
        for source in new:
            yield Node((*inputs[:place], source, *inputs[place + 1 :]), node.operator)
        if len(inputs) > rule.fewest:
            yield Node((*inputs[:place], *inputs[place + 1 :]), node.operator)
    if len(inputs) < rule.most:
        for place in range(len(inputs) + 1) if rule.ordered else (len(inputs),):
            yield from (Node((*inputs[:place], source, *inputs[place:]), node.operator) for source in new)
    if rule.ordered:
        for a, b in itertools.combinations(range(len(inputs)), 2):
            order = list(inputs)
            order[a], order[b] = order[b], order[a]
            yield Node(tuple(order), node.operator)
    for other in space.rules.values():
        if other.fewest <= len(inputs) <= other.most and (last or not other.decides):
            yield Node(inputs, other.name)


def _longer(space: SearchSpace, nodes: tuple[Node, ...], output: Source) -> Iterator[Graph]:
    """One more node at the end, which joins the output with as few other sources as its operator takes."""
    if nodes and space.rules[nodes[-1].operator].decides:
        return
    others = [source for source in space.sources(len(nodes)) if source != output]
    for rule in space.rules.values():
        for chosen in itertools.combinations(others, rule.fewest - 1):
            yield (*nodes, Node((output, *chosen), rule.name)), NodeRef(len(nodes))


def _shorter(nodes: tuple[Node, ...]) -> Iterator[Graph]:
    """Without the last node; what it read becomes the output, if nothing else is lost by that."""
    left = nodes[:-1]
    if left:
        if NodeRef(len(left) - 1) in nodes[-1].inputs:
            yield left, NodeRef(len(left) - 1)
    else:
        yield from ((left, source) for source in nodes[-1].inputs if isinstance(source, Point))
