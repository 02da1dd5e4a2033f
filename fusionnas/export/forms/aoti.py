"""``model.aoti.pt2``: compiled ahead of time for this machine; needs a C++ compiler to write, torch alone to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch.export import ExportedProgram

from fusionnas.export.capture import ExportError, capture, first_line, quiet
from fusionnas.export.form import Form, FormFacts, Run, register_form
from fusionnas.export.forms.torch_program import exported
from fusionnas.network import FusionNetwork


@register_form("aoti")
class CompiledAhead(Form):
    """The torch program, compiled by torch's inductor. For machines like the one that compiled it."""

    facts: ClassVar[FormFacts] = FormFacts("the torch program, compiled for this kind of machine", "torch")
    file: ClassVar[str] = "model.aoti.pt2"
    usual: ClassVar[bool] = False

    @staticmethod
    def write(folder: Path, network: FusionNetwork) -> dict[str, Any]:
        """Capture and compile; takes seconds to a minute."""
        from torch._inductor import aoti_compile_and_package

        captured = capture(network, exported, running=ExportedProgram.module)
        try:
            with quiet():
                aoti_compile_and_package(captured.result, package_path=str(folder / CompiledAhead.file))
        except Exception as error:  # no compiler, or an operation that inductor lacks
            raise ExportError(f"it cannot be compiled ahead of time: {first_line(error)}") from error
        return {"lengths": list(captured.lengths), "fixed": captured.fixed}

    @staticmethod
    def load(path: str) -> Run:
        """Load the compiled program."""
        import torch

        run = torch._inductor.aoti_load_package(path)
        return lambda tensors: run(*tensors)
