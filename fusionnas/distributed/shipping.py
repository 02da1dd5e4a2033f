"""What workers on other nodes need: plug-ins go there as text, and whether they see the run's folder is tried out."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fusionnas.registry import load_plugin

_PATIENCE = 60.0  # seconds in which a node says what it sees


def load_plugins(plugins: Mapping[str, bytes]) -> None:
    """In a worker: import plug-ins, which need not be on this node.

    Args:
        plugins: contents by path, as the space names them.
    """
    for path, text in plugins.items():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(path).name
            copy.write_bytes(text)
            load_plugin(Path(path), copy=copy)


def seen_everywhere(folder: Path) -> bool:
    """Whether every node of the cluster sees the same files in ``folder`` as this process."""
    mark = folder / f".shared-{secrets.token_hex(8)}"
    mark.write_text(mark.name)
    try:
        looks = {
            node: ray.remote(_sees)
            .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
            .remote(str(mark))
            for node in alive_nodes()
        }
        return all(_seen(look, node) for node, look in looks.items())
    finally:
        mark.unlink()


def _seen(look: Any, node: str) -> bool:
    """What a node saw; one that was lost meanwhile does not count."""
    try:
        return bool(ray.get(look, timeout=_PATIENCE))
    except RayError:
        return node not in alive_nodes()


def alive_nodes() -> list[str]:
    """The identifiers of the cluster's nodes that are not lost."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def _sees(mark: str) -> bool:
    path = Path(mark)
    return path.is_file() and path.read_text() == path.name
