"""``model.py``: the network as readable Python that needs torch alone; weights from ``weights.safetensors``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fusionnas.export.form import Form, FormFacts, Run, register_form
from fusionnas.export.python import module_source
from fusionnas.network import FusionNetwork
from fusionnas.run.files import write_atomic


@register_form("python")
class Source(Form):
    """One class, the operators that it uses, ``load``; the output is the network's to the last bit."""

    facts: ClassVar[FormFacts] = FormFacts("a Python module in which the network can be read", "torch")
    file: ClassVar[str] = "model.py"
    routed: ClassVar[bool] = True

    @staticmethod
    def write(folder: Path, network: FusionNetwork) -> dict[str, Any]:
        """Write the module."""
        write_atomic(folder / Source.file, module_source(network).encode())
        several = [name for name, spec in network.signature.inputs.items() if spec.tokens > 1 and not spec.grid]
        return {"lengths": [name for name in several if name in network.encoders], "fixed": {}}

    @staticmethod
    def load(path: str) -> Run:
        """Import the file under a name of its own."""
        import importlib.util
        import sys

        name = "exported_fusion_network"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        network = module.load()

        def run(tensors: Sequence[Tensor]) -> Tensor:
            triples = [module.Feature(*tensors[i : i + 3]) for i in range(0, len(tensors), 3)]
            logits: Tensor = network(dict(zip(module.INPUTS, triples, strict=True)))
            return logits

        return run
