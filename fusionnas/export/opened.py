"""A trained network ready to use, from any of its forms: a run, an export folder, or one file of an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fusionnas.errors import MissingExtraError, RunError, did_you_mean
from fusionnas.export.cases import flat
from fusionnas.export.form import forms
from fusionnas.export.native import Model, read_native
from fusionnas.feature import Feature
from fusionnas.network import predict

SIZE = 512
"""Samples per batch."""


@dataclass(frozen=True)
class Opened:
    """A network, and what surrounds it.

    Attributes:
        model: preprocessing, space and results, with the native network.
        form: the form that computes.
        logits: preprocessed inputs of N samples -> (N, C), in batches.
        folder: the run or export.
    """

    model: Model
    form: str
    logits: Callable[[Mapping[str, Feature]], Tensor]
    folder: Path


def open_trained(path: Path) -> Opened:
    """Open a run, an export folder (its native files), or a file in one such as ``export/model.onnx``.

    Raises:
        RunError: there is no trained network, or the file is of no known form. MissingExtraError: a package is missing.
    """
    if not path.is_file():
        model = read_native(path)
        return Opened(model, "native", lambda inputs: predict(model.network, inputs), path)
    form = next((name for name in forms if forms[name].file == path.name), None)
    if form is None:
        known = {forms[name].file for name in forms}
        raise RunError(f"{path} is no form of a network", [f"'{path.name}':{did_you_mean(path.name, known)}"])
    model = read_native(path.parent)
    try:
        run = forms[form].load(str(path))
    except ModuleNotFoundError as error:
        extra = [f'pip install "fusionnas[{form}]"'] if form == "onnx" else [f"install {error.name}"]
        raise MissingExtraError(f"{path.name} needs {error.name}", extra) from error
    except Exception as error:  # each runtime has errors of its own for a damaged file
        raise RunError(f"{path} cannot be loaded", [str(error).splitlines()[0]]) from error

    @torch.no_grad()
    def logits(inputs: Mapping[str, Feature]) -> Tensor:
        given = {name: inputs[name] for name in model.network.encoders}
        batches = torch.arange(len(next(iter(given.values())).present)).split(SIZE)
        return torch.cat([run(flat({name: f.rows(rows) for name, f in given.items()})) for rows in batches])

    return Opened(model, form, logits, path.parent)
