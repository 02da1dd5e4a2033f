"""``model.onnx``: one file for ONNX Runtime and whatever else reads ONNX; no Python package of ours or torch's."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusionnas.errors import MissingExtraError
from fusionnas.export.capture import Captured, ExportError, Program, capture
from fusionnas.export.form import Form, FormFacts, Run, register_form
from fusionnas.network import FusionNetwork

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@register_form("onnx")
class OnnxGraph(Form):
    """Inputs ``vitals_values``, ``vitals_mask``, ``vitals_present``, ...; output ``logits``; named dynamic axes.

    The model's metadata hold ``fusionnas``: names of the inputs and the architecture, as JSON.
    """

    facts: ClassVar[FormFacts] = FormFacts("an ONNX graph with named dynamic axes", "onnxruntime")
    file: ClassVar[str] = "model.onnx"

    @staticmethod
    def write(folder: Path, network: FusionNetwork) -> dict[str, Any]:
        """Capture and save as one file, weights inside."""
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingExtraError(
                f"the format 'onnx' needs {' and '.join(missing)}", ['pip install "fusionnas[onnx]"']
            )
        gates = {}
        if network.architecture.gates is None:
            captured = capture(network, graph)
        else:
            captured, how = _gated(network)
            gates = {"gates": how}
        model = captured.result.model
        told = {"inputs": list(network.encoders), "architecture": network.architecture.to_json()}
        model.metadata_props["fusionnas"] = json.dumps(told)
        captured.result.save(folder / OnnxGraph.file, external_data=False)
        return {"lengths": list(captured.lengths), "fixed": captured.fixed, "opset": model.opset_imports[""], **gates}

    @staticmethod
    def load(path: str) -> Run:
        """Open a session on the CPU, with as many threads as torch has."""
        import json

        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # Inputs that the graph does not read have no place in it.
        names = {one.name for one in session.get_inputs()}
        told = json.loads(session.get_modelmeta().custom_metadata_map["fusionnas"])
        order = [f"{name}_{kind}" for name in told["inputs"] for kind in ("values", "mask", "present")]

        def run(tensors: Sequence[Tensor]) -> Tensor:
            given = {name: tensor.numpy() for name, tensor in zip(order, tensors, strict=True) if name in names}
            return torch.from_numpy(session.run(None, given)[0])

        return run


def _gated(network: FusionNetwork) -> tuple[Captured, str]:
    """Gates as ``If``, or masked where that cannot be captured."""
    try:
        return capture(network, graph, branches=True), "If"
    except ExportError as error:
        return capture(network, graph), f"masked: {error}"


def graph(program: Program, example: tuple[Tensor, ...], shapes: Any) -> Any:
    """The graph that torch's exporter makes, if ONNX Runtime takes it: it makes some that are none."""
    import onnxruntime

    made: Any = torch.onnx.export(
        program, example, dynamo=True, dynamic_shapes=shapes, input_names=program.input_names(),
        output_names=["logits"], verbose=False,
    )  # fmt: skip
    onnxruntime.InferenceSession(made.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return made
