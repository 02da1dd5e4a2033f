"""The canonical form of a trained network: a folder that holds all it takes to use it on raw records.

``architecture.json`` (readable, with input sizes), ``weights.safetensors``, ``preprocessing.json`` (fitted statistics,
class names) and ``space.yaml`` (widths, views). A run folder holds the same files, so both are read alike. Reading
one imports no search code and unpickles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.preprocessing import Preprocessing
from fusionnas.errors import InputError, RunError
from fusionnas.network import FusionNetwork, build
from fusionnas.run import read_file
from fusionnas.run.files import write_atomic
from fusionnas.space import SearchSpace

FILES = ("architecture.json", "weights.safetensors", "preprocessing.json", "space.yaml")


@dataclass(frozen=True)
class Model:
    """A trained network with what surrounds it.

    Attributes:
        network: in eval mode.
        space: the space it was found in.
        preprocessing: raw records -> inputs.
        results: ``results.json`` where the folder has one.
    """

    network: FusionNetwork
    space: SearchSpace
    preprocessing: Preprocessing
    results: dict[str, Any]


def write_native(folder: Path, network: FusionNetwork, space_yaml: str, preprocessing: Preprocessing) -> None:
    """Write the four files, each atomically, the architecture last: a folder that has it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "weights.safetensors", save(_own_memory(network.state_dict())))
    write_atomic(folder / "preprocessing.json", _json(preprocessing.to_json()))
    write_atomic(folder / "space.yaml", space_yaml.encode())
    architecture = network.architecture.to_json() | {"signature": network.signature.to_json()}
    write_atomic(folder / "architecture.json", _json(architecture))


def read_native(folder: Path) -> Model:
    """Read a run folder that is finished, or a native export.

    Raises:
        RunError: a file is missing, damaged or does not fit the others; all problems at once.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder; give a run folder or an export")
    missing = [name for name in FILES if not (folder / name).is_file()]
    is_run = (folder / "journal.jsonl").is_file()
    if missing:
        unfinished = f" (the run is not finished: 'fusionnas resume {folder}')" if is_run else ""
        raise RunError(f"{folder} holds no trained network{unfinished}", [f"{name}: missing" for name in missing])
    if is_run:
        for name in ("architecture.json", "weights.safetensors", "preprocessing.json"):
            read_file(folder, name)  # refuses a file that is not as the run wrote it
    try:
        architecture = Architecture.from_json(_read_json(folder / "architecture.json"))
        preprocessing = Preprocessing.from_json(_read_json(folder / "preprocessing.json"))
        # Running a network needs no search method: its name is not looked up, no search code is imported.
        space = SearchSpace.load(folder / "space.yaml", method=False)
        network = build(space, architecture, architecture.signature)
        network.load_state_dict(load((folder / "weights.safetensors").read_bytes()))
    except InputError as error:
        raise RunError(f"{folder}: {error}") from error
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise RunError(f"{folder} is damaged or its files do not belong together", [str(error)]) from error
    results = _read_json(folder / "results.json") if (folder / "results.json").is_file() else {}
    return Model(network.eval(), space, preprocessing, results)


def _own_memory(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor in memory of its own, as safetensors wants it: one that is tied to another is written twice.

    Loading copies both into the one parameter that the built network ties again.
    """
    seen: set[int] = set()
    found = {}
    for name, value in state.items():
        place = value.untyped_storage().data_ptr()
        found[name] = value.clone() if place in seen else value.contiguous()
        seen.add(place)
    return found


def _json(data: object) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON", [str(error)]) from error
