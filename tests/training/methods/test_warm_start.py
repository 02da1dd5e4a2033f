"""Unimodal warm start: encoders alone first, the fusion untouched, nothing scored before it ends."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression

from fusionnas.training.methods.warm_start import UnimodalWarmStart
from tests.training.problem import Fitted, network, reads, recipe, trained

WARM = {"kind": "unimodal", "epochs": 3}


def test_only_encoders_move_while_it_lasts() -> None:
    fitted = trained("mlp", epochs=3, select=False, warm_start=WARM)
    start = network("mlp").state_dict()
    moved = {key for key, value in fitted.state().items() if not torch.equal(value, start[key])}
    assert moved == {key for key in start if key.startswith("encoders.")}


def test_no_epoch_of_it_is_kept_and_patience_starts_after_it() -> None:
    fitted = trained("mlp", epochs=8, patience=1, warm_start=WARM)
    assert fitted.trained.epoch > 3 and len(fitted.trained.history) > 4


def told_by_the_encoder(fitted: Fitted) -> float:
    """How well a linear readout of the encoder of ``quiet`` alone tells the label."""
    with torch.no_grad():
        features = fitted.network.encode(fitted.part.inputs)
    values = next(f.values[:, 0] for point, f in features.items() if point.modality == "quiet").numpy()
    target = fitted.part.target.numpy()
    return float(LogisticRegression().fit(values[:200], target[:200]).score(values[200:], target[200:]))


def test_the_encoder_that_fusion_would_neglect_has_learned() -> None:
    plain, warm = (trained("mlp", epochs=8, warm_start=start) for start in (None, {"kind": "unimodal", "epochs": 4}))
    assert told_by_the_encoder(warm) > 0.97 > 0.9 > told_by_the_encoder(plain)


def test_it_is_off_for_one_modality() -> None:
    assert UnimodalWarmStart.of(recipe(warm_start=WARM), reads("b", "c")) is None
    assert UnimodalWarmStart.of(recipe(), reads()) is None
