"""The native files: ``architecture.json``, ``weights.safetensors``, ``preprocessing.json``, ``space.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fusionnas.export.form import Form, FormFacts, Run, register_form
from fusionnas.network import FusionNetwork


@register_form("native")
class NativeFiles(Form):
    """Canonical and readable; in every export, whatever other forms it has (:mod:`fusionnas.export.native`)."""

    facts: ClassVar[FormFacts] = FormFacts("JSON, YAML and safetensors: all it takes on raw records", "fusionnas")
    file: ClassVar[str] = "weights.safetensors"
    independent: ClassVar[bool] = False
    routed: ClassVar[bool] = True

    @staticmethod
    def write(folder: Path, network: FusionNetwork) -> dict[str, Any]:
        """Nothing: these files are written before any form."""
        return {}

    @staticmethod
    def load(path: str) -> Run:
        """Read the folder in which the weights lie."""
        from pathlib import Path

        from fusionnas.export.native import read_native
        from fusionnas.feature import Feature

        network = read_native(Path(path).parent).network

        def run(tensors: Sequence[Tensor]) -> Tensor:
            triples = [Feature(*tensors[i : i + 3]) for i in range(0, len(tensors), 3)]
            logits: Tensor = network(dict(zip(network.encoders, triples, strict=True)))
            return logits

        return run
