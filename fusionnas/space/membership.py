"""Why an architecture is not in a space, one line for each reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture, Node, NodeRef, Point, Source
from fusionnas.space.moves import unread
from fusionnas.space.places import suggest

if TYPE_CHECKING:
    from fusionnas.space.space import SearchSpace


def graph_problems(space: SearchSpace, nodes: tuple[Node, ...], output: Source) -> Iterator[str]:
    """What makes nodes and output no fusion graph over the space's points, limits of the space aside."""
    from fusionnas.operators.base import operators

    for index, node in enumerate(nodes):
        known = space.sources(index)
        for place, source in enumerate(node.inputs):
            where = f"nodes[{index}].inputs[{place}]"
            if source not in known:
                yield f"{where}: {_no_source(space, source, index)}"
            elif source in node.inputs[:place]:
                yield f"{where}: {source} is read twice by this node"
        if len(node.inputs) < 2:
            yield f"nodes[{index}].inputs: a node reads at least 2, given {len(node.inputs)}"
    for index, node in enumerate(nodes[:-1]):
        if node.operator in operators and operators[node.operator].decides:
            yield f"nodes[{index}].operator: '{node.operator}' fuses predictions, so only the last node may be it"
    for index in unread(nodes):
        yield f"nodes[{index}]: no later node reads it; leave it out, or read #{index}"
    if nodes and output != NodeRef(len(nodes) - 1):
        yield f"output: given {output}, expected the last node, #{len(nodes) - 1}"
    elif not nodes and output not in space.points():
        yield f"output: {_no_source(space, output, 0)}"


def membership_problems(space: SearchSpace, architecture: Architecture) -> Iterator[str]:
    """Everything that keeps ``architecture`` out of ``space``."""
    fusion, nodes = space.file.fusion, architecture.nodes
    if len(nodes) > fusion.nodes:
        yield f"nodes: given {len(nodes)}, the space has at most {fusion.nodes}"
    for index, node in enumerate(nodes):
        rule = space.rules.get(node.operator)
        if rule is None:
            known = suggest(node.operator, space.rules)
            yield f"nodes[{index}].operator: '{node.operator}' is not in this space{known}"
            continue
        if not rule.fewest <= len(node.inputs) <= rule.most:
            span = f"{rule.fewest}..{rule.most}"
            yield f"nodes[{index}].inputs: given {len(node.inputs)}, '{rule.name}' takes {span} in this space"
        expected = node.inputs if rule.ordered else tuple(sorted(node.inputs, key=space.position))
        if node.inputs != expected:
            yield f"nodes[{index}].inputs: expected in declared order: {', '.join(map(str, expected))}"
    yield from graph_problems(space, nodes, architecture.output)
    yield from _layer_problems(space, architecture)


def _layer_problems(space: SearchSpace, architecture: Architecture) -> Iterator[str]:
    depths = space.depths(architecture.nodes, architecture.output)
    given = dict(architecture.layers)
    for name, chosen in given.items():
        modality = space.file.modalities.get(name)
        if modality is None:
            yield f"modalities.{name}: no modality of this space{suggest(name, space.file.modalities)}"
            continue
        if name not in depths:
            yield f"modalities.{name}: nothing reads it; leave it out"
        elif len(chosen) != depths[name]:
            yield f"modalities.{name}.layers: given {len(chosen)}, the deepest level in use is {depths[name]}"
        for place, encoder in enumerate(chosen):
            if encoder not in modality.encoder:
                known = suggest(encoder, modality.encoder)
                yield f"modalities.{name}.layers[{place}]: '{encoder}' is not an encoder of it in this space{known}"
    for name in depths:
        if name not in given:
            yield f"modalities.{name}: is read, but its layers are not given"
    declared = [name for name in space.file.modalities if name in given]
    if set(given) <= set(declared) and list(given) != declared:
        yield f"modalities: expected in declared order: {', '.join(declared)}"


def _no_source(space: SearchSpace, source: Source, nodes_before: int) -> str:
    if isinstance(source, NodeRef):
        return f"{source} is not an earlier node ({nodes_before} come before)"
    modality = space.file.modalities.get(source.modality) if isinstance(source, Point) else None
    if modality is None:
        return f"'{source.modality}' is no modality of this space{suggest(source.modality, space.file.modalities)}"
    return f"{source.modality} has the levels 0..{modality.levels}, given {source.level}"
