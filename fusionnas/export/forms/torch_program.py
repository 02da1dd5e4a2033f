"""``model.pt2``: the network as a torch.export program that runs with torch alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusionnas.export.capture import Program, capture
from fusionnas.export.form import Form, FormFacts, Run, register_form
from fusionnas.network import FusionNetwork


@register_form("torch")
class TorchProgram(Form):
    """Takes one (values, mask, present) triple per modality, in the order of its ``fusionnas.json``; gives logits.

    Gates select after computing everything: torch.export has no branch on data that saves time here.
    """

    facts: ClassVar[FormFacts] = FormFacts("a torch.export program; batch, and lengths where possible, vary", "torch")
    file: ClassVar[str] = "model.pt2"

    @staticmethod
    def write(folder: Path, network: FusionNetwork) -> dict[str, Any]:
        """Capture and save, architecture and names of inputs inside."""
        captured = capture(network, exported, running=torch.export.ExportedProgram.module)
        told = {"inputs": list(network.encoders), "architecture": network.architecture.to_json()}
        file = folder / TorchProgram.file
        torch.export.save(captured.result, file, extra_files={"fusionnas.json": json.dumps(told)})
        return {"lengths": list(captured.lengths), "fixed": captured.fixed}

    @staticmethod
    def load(path: str) -> Run:
        """Load the program as a module."""
        import torch

        module = torch.export.load(path).module()
        return lambda tensors: module(*tensors)


def exported(program: Program, example: tuple[Tensor, ...], shapes: Any) -> torch.export.ExportedProgram:
    """The program that torch.export captures."""
    return torch.export.export(program, example, dynamic_shapes=shapes)
