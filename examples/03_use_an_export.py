"""Use a finished network where only its export is at hand: scores, predictions, tensors, and torch alone.

    python examples/03_use_an_export.py RUN_OR_EXPORT_FOLDER
"""

import sys
import tempfile
from pathlib import Path

import torch

import fusionnas as fn
from fusionnas.export.native import read_native


def main(folder: str) -> None:
    place = Path(folder)
    print("test part:", fn.evaluate(place)["metrics"])

    predictions = Path(tempfile.mkdtemp()) / "predictions.csv"
    fn.predict(place, output=predictions)
    print("predictions:", *predictions.read_text().splitlines()[:3], sep="\n  ")

    # The network itself is a plain module: no search code is imported to run it.
    model = read_native(place)
    print(model.network.architecture)
    print(f"{sum(p.numel() for p in model.network.parameters()):,} parameters")

    # The torch program needs torch alone: (values, mask, present) of each modality, in the order that it names.
    written = fn.export(place, formats=["torch"], output=predictions.parent)["torch"]
    extra = {"fusionnas.json": ""}
    program = torch.export.load(predictions.parent / written["file"], extra_files=extra).module()
    print("modalities of the program:", extra["fusionnas.json"][:120])
    tensors: list[torch.Tensor] = []
    for name in model.network.encoders:
        spec = model.network.signature.inputs[name]
        values = torch.zeros(2, spec.tokens, spec.width)
        tensors += [values, torch.ones(2, spec.tokens, dtype=torch.bool), torch.ones(2, dtype=torch.bool)]
    print("logits of two average samples:", program(*tensors).flatten().tolist())


if __name__ == "__main__":
    main(*sys.argv[1:])
