"""The training loop of a supernet: alphas move when they may, kills cost nothing, a broken loss is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionnas.errors import FusionNASError
from fusionnas.run.unit import Checkpoint
from fusionnas.search.gradient import Relaxed, SupernetTraining
from fusionnas.space.schema import Training
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from tests.spaces import tiny_data, tiny_signature, tiny_space

SPACE = tiny_space(nodes=1, inputs="2", operators=("additive", "multiplicative"))
EPOCHS = 4
PLAIN = Recipe.of(SPACE)
METHODS = {
    "robustness": {"missing": 0.3, "noise": 0.1}, "blending": {"kind": "online", "epochs": 2},
    "modulation": "ogm_ge", "debias": "rubi", "warm_start": {"kind": "unimodal", "epochs": 1},
}  # fmt: skip
ALL = replace(PLAIN, training=Training(batch_size=32, **METHODS))


def ignore(facts: Mapping[str, Any]) -> None:
    pass


def fresh() -> tuple[Supernet, Alphas]:
    with seeded(0):
        return Supernet(SPACE, tiny_signature()), Alphas(SPACE)


def trained(
    supernet: Supernet, alphas: Alphas, folder: Path, *, moves=lambda share: share >= 0.5, data=None, watch=ignore,
    recipe=PLAIN,
) -> list[dict[str, Any]]:
    relaxed = Relaxed(lambda alphas, share: alphas.mixing(softmax), moves=moves, rate=0.05)
    training = SupernetTraining(supernet, alphas, data or tiny_data(48), relaxed, recipe, seed=7)
    return training.run(lambda epoch: epoch / EPOCHS, Checkpoint(folder, 0), watch)


def state(supernet: Supernet, alphas: Alphas) -> list[torch.Tensor]:
    return [value.clone() for module in (supernet, alphas) for value in module.state_dict().values()]


class Stop(Exception):
    pass


@pytest.mark.parametrize("epoch, recipe", [(1, PLAIN), (2, PLAIN), (3, PLAIN), (1, ALL), (3, ALL)])
def test_a_supernet_stopped_after_any_epoch_resumes_to_the_same_bits(
    tmp_path: Path, epoch: int, recipe: Recipe
) -> None:
    whole, stopped, resumed = fresh(), fresh(), fresh()
    history = trained(*whole, tmp_path / "whole", recipe=recipe)

    def stop(facts: Mapping[str, Any]) -> None:
        if facts["epoch"] == epoch + 1:
            raise Stop

    with pytest.raises(Stop):
        trained(*stopped, tmp_path / "state", watch=stop, recipe=recipe)
    assert len(Checkpoint(tmp_path / "state", 0).load()["history"]) == epoch
    assert trained(*resumed, tmp_path / "state", recipe=recipe) == history
    assert all(map(torch.equal, state(*resumed), state(*whole)))


def test_alphas_stay_still_until_they_may_move_and_are_decided_by_the_alpha_part(tmp_path: Path) -> None:
    supernet, alphas = fresh()
    seen = []
    trained(supernet, alphas, tmp_path / "a", watch=lambda facts: seen.append((facts["epoch"], facts["entropy"])))
    assert [entropy > 1 - 1e-6 for _, entropy in seen] == [True, True, False, False]
    still = fresh()
    trained(*still, tmp_path / "b", moves=lambda share: False)
    assert all(not value.any() for value in still[1].parameters())
    data = tiny_data(48)
    data.alpha.target.neg_().add_(1)
    other = fresh()
    trained(*other, tmp_path / "c", data=data)
    assert not torch.equal(other[1].output, alphas.output)


def test_a_loss_that_is_not_finite_ends_the_search_with_advice(tmp_path: Path) -> None:
    data = tiny_data(48)
    data.train.inputs["a"].values[0] = float("inf")
    with pytest.raises(FusionNASError, match="the loss is nan after epoch 1; lower training.learning_rate"):
        trained(*fresh(), tmp_path, data=data)
