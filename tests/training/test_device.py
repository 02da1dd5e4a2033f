"""Trainings on another device: no tensor is left on the CPU, and the numbers are those of the CPU.

The second device of :mod:`fusionnas.testing.elsewhere` stands for a GPU; tests that need a real one say so.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.optim import adam

import fusionnas as fn
from fusionnas.device import CPU, check_device, compute_device, device_of, on_cpu, placed
from fusionnas.errors import InputError
from fusionnas.gates.network import GatedNetwork
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.operators import operators
from fusionnas.pretraining.stage import pretrain_unlabelled
from fusionnas.run.unit import Checkpoint
from fusionnas.search.cache import Cache
from fusionnas.search.features import build_caches
from fusionnas.search.gradient import supernet_loss
from fusionnas.search.heads import HeadSettings, SequentialHeads, stackable
from fusionnas.search.stack import HeadStack
from fusionnas.space import SearchSpace
from fusionnas.space.schema import Training
from fusionnas.supernet import Alphas, Mixing, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.testing.elsewhere import Elsewhere, Mixed, second_device
from fusionnas.training.gated import GatedTraining, train_gated
from fusionnas.training.randomness import random_state, seeded, set_random_state
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, Trained, train
from tests.pretraining.test_stage import OBJECTIVES, ignore, space_of
from tests.search.ranks import KINDS, fresh, state_of
from tests.search.test_heads import candidates_of
from tests.search.test_methods import NAMES, SMALL, data, quick, search
from tests.search.test_methods import space as space_of_methods
from tests.spaces import random_inputs, tiny_data, tiny_signature, tiny_space
from tests.toy import write_toy
from tests.training.problem import network, two
from tests.training.test_gated import EXITS, STAGED, gated, spending_of

# Of ``meta`` alone this is true: here numbers are copied there.
pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch with CUDA")
SETTINGS = {
    "plain": {}, "averaged": {"averaging": 0.9}, "missing": {"robustness": {"missing": 0.3, "noise": 0.1, "rank": 0.1}},
    "offline": {"blending": {"kind": "offline", "epochs": 1}}, "online": {"blending": {"kind": "online", "epochs": 1}},
    "ogm_ge": {"modulation": "ogm_ge"}, "rubi": {"debias": "rubi"}, "entropy": {"debias": "functional_entropy"},
    "warm": {"warm_start": {"kind": "unimodal", "epochs": 1}},
}  # fmt: skip


def rest_slow(names: Any, *quick: str) -> list[Any]:
    """All names; those that are not quick are for ``-m slow``."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Inside, ``execution.device: cuda`` is the second device."""

    def found(asked: str) -> torch.device:
        return CPU if asked == "cpu" else device

    rooms = ("device", "training.train", "training.gated", "pretraining.stage", "search.gradient", "search.retrain",
             "search.contest", "search.stacking", "search.encoders")  # fmt: skip
    with second_device() as device, patch.object(adam, "_device_dtype_check_for_fused", lambda *_, **__: None):
        patches = [patch(f"fusionnas.{room}.compute_device", found) for room in rooms]
        for one in patches:
            one.start()
        try:
            yield device
        finally:
            for one in patches:
                one.stop()


def fitted(
    device: str, *, epochs: int = 2, policies: dict[str, str] | None = None, checkpoint: Checkpoint | None = None,
    dropout: float = 0.1, **training: Any,
) -> tuple[FusionNetwork, Trained]:  # fmt: skip
    settings = Training(epochs=epochs, batch_size=50, dropout=dropout, **training)
    recipe = Recipe(settings, policies or {}, {"loud": ("loud",), "quiet": ("quiet",)}, device)
    one = network("gated")
    return one, train(one, two(100, 1), Schedule(two(60, 2), epochs, epochs), recipe, seed=3, checkpoint=checkpoint)


def assert_same(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    assert all(type(value) is Tensor and value.device == CPU for value in other.values())
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_second_device_takes_no_tensor_of_the_cpu_but_scalars_and_indices() -> None:
    with second_device() as device:
        there = torch.ones(3, 4).to(device)
        assert (there * torch.tensor(2.0))[torch.tensor([0, 2])].sum().item() == 16
        for mixed in (
            lambda: there + torch.ones(4), lambda: there @ torch.ones(4, 2), lambda: torch.arange(3)[there[:, 0] > 0],
            lambda: torch.cat([there, torch.ones(3, 4)]), lambda: torch.stack([there.sum(), torch.ones(())]),
        ):  # fmt: skip
            with pytest.raises(Mixed, match="has arguments on the CPU"):
                mixed()
        assert isinstance(torch.zeros_like(there), Elsewhere) and type(torch.zeros(3)) is Tensor


@pytest.mark.parametrize("name", rest_slow(SETTINGS, "plain", "online"))
def test_a_training_elsewhere_is_that_on_the_cpu(name: str) -> None:
    here, expected = fitted("cpu", **SETTINGS[name])
    with elsewhere():
        there, found = fitted("cuda", **SETTINGS[name])
    assert found == expected
    assert_same(here.state_dict(), there.state_dict())


@pytest.mark.parametrize("policy", rest_slow(["frozen", "finetune", "adapt"], "adapt"))
def test_with_every_policy_of_encoders(policy: str) -> None:
    policies = {"loud": policy}
    here, expected = fitted("cpu", policies=policies)
    with elsewhere():
        there, found = fitted("cuda", policies=policies)
    assert found == expected
    assert_same(here.state_dict(), there.state_dict())


class Stop(Exception):
    pass


class Stopping(Checkpoint):
    """Saves after each epoch, and stops behind the first."""

    def save(self, state: Any) -> None:
        super().save(state)
        raise Stop


@pytest.mark.slow
def test_a_stopped_training_goes_on_elsewhere_from_a_state_that_any_machine_reads(tmp_path: Path) -> None:
    with elsewhere():
        whole, expected = fitted("cuda", blending={"kind": "online", "epochs": 1})
        with pytest.raises(Stop):
            fitted("cuda", blending={"kind": "online", "epochs": 1}, checkpoint=Stopping(tmp_path, 0))
    saved = Checkpoint(tmp_path, 0).load()
    assert saved is not None and saved["epoch"] == 1
    with elsewhere():
        again, found = fitted("cuda", blending={"kind": "online", "epochs": 1}, checkpoint=Checkpoint(tmp_path, 0))
    assert found == expected
    assert_same(whole.state_dict(), again.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("gates", [STAGED, EXITS], ids=["stages", "nodes"])
def test_a_gated_network_trains_and_predicts_elsewhere(gates: Any) -> None:
    space, data, architecture = tiny_space(), tiny_data(), gated(gates)

    def trained(device: str) -> GatedNetwork:
        with seeded(0):
            one = build(space, architecture, tiny_signature())
        assert isinstance(one, GatedNetwork)
        gating = space.file.fusion.gates.model_copy(update={"epochs": 2})
        recipe = replace(Recipe.of(space), device=device)
        schedule, spending = Schedule(data.select, 2, 2), spending_of(architecture)
        train_gated(one, GatedTraining(data.train, data.alpha, schedule, gating, spending, recipe), seed=0)
        return one

    here, inputs = trained("cpu"), random_inputs(9, 5)
    with elsewhere() as device:
        there = trained("cuda")
        with placed(device, there):
            logits = predict(there, inputs)
    for name, value in here.state_dict().items():
        torch.testing.assert_close(there.state_dict()[name], value, rtol=0, atol=1e-5)
    assert type(logits) is Tensor
    torch.testing.assert_close(logits, predict(here, inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", rest_slow([kind for kind in KINDS if kind != "statistics"], "first"))
def test_a_supernet_trains_elsewhere_while_its_alphas_stay(kind: str) -> None:
    def trained(device: str) -> dict[str, Any]:
        training = fresh(kind, [], device=device)
        training.run(lambda epoch: float(epoch), Checkpoint(None, 0), lambda facts: None)
        return state_of(training)

    here = trained("cpu")
    with elsewhere():
        there = trained("cuda")
    for part in ("supernet", "alphas"):
        assert all(type(value) is Tensor for value in there[part].values())
        for name, value in here[part].items():
            torch.testing.assert_close(there[part][name], value, rtol=0, atol=1e-5)
    assert there["history"][0]["loss"] == pytest.approx(here["history"][0]["loss"], abs=1e-6)


def test_a_supernet_of_sequences_and_decisions_is_scored_elsewhere() -> None:
    space, part = tiny_space(operators=("mlp", "cross_attention", "late_logits", "concat_steps")), tiny_data().select
    with seeded(0):
        supernet = Supernet(space, tiny_signature())
    mixing = Alphas(space).mixing(softmax)
    expected = supernet_loss(supernet, mixing, part)
    with second_device() as device, placed(device, supernet):
        found = supernet_loss(supernet, mixing, part.to(device))
        assert isinstance(mixing.to(device), Mixing) and isinstance(mixing.to(device).output, Elsewhere)
        found = found.cpu()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@functools.cache
def cached() -> Cache:
    space = tiny_space()
    with seeded(0):
        supernet = Supernet(space, tiny_signature()).eval()
    parts, mixing = {"train": tiny_data().train}, Alphas(space).mixing(softmax)
    return build_caches(lambda inputs: supernet.encode(inputs, mixing), parts, space.points(), tokens=True)["train"]


@pytest.mark.parametrize("operator", rest_slow(operators, "mlp"))
def test_heads_train_elsewhere_stacked_and_one_by_one(operator: str) -> None:
    space, cache = tiny_space(operators=tuple({"additive", operator})), cached()
    members = candidates_of(space, (operator,), 3)
    settings = HeadSettings(width=8, outputs=1, batch_size=32, dropout=0.2)
    for kind in (HeadStack, SequentialHeads) if stackable([operator]) else (SequentialHeads,):
        here = kind(members, settings, space.points())
        here.fit(cache, [1.0, 0.5], seed=3)
        with elsewhere() as device:
            there = kind(members, settings, space.points())
            there.place(device)
            there.fit(cache, [1.0, 0.5], seed=3)
            found = there.losses(cache)
        assert type(found) is Tensor
        torch.testing.assert_close(found, here.losses(cache), rtol=0, atol=1e-4)


@pytest.mark.parametrize("objective", rest_slow(OBJECTIVES, "align"))
def test_encoders_are_pretrained_elsewhere(objective: str) -> None:
    space = space_of(objective, epochs=1)

    def result(device: str) -> Any:
        execution = space.file.execution.model_copy(update={"device": device})
        file = space.file.model_copy(update={"execution": execution})
        asked = SearchSpace(file, path=space.path, folder=space.folder)
        return pretrain_unlabelled(asked, tiny_data(), seed=1, checkpoint=Checkpoint(None, 0), watch=ignore)

    here = result("cpu")
    with elsewhere():
        there = result("cuda")
    assert there.facts["history"] == pytest.approx(here.facts["history"], abs=1e-6)
    for name, value in here.tensors.items():
        torch.testing.assert_close(there.tensors[name], value, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["default", "darts"])
def test_a_whole_search_elsewhere_finds_what_it_finds_on_the_cpu(tmp_path: Path, method: str) -> None:
    options = [f"search.method={method}"]
    here = fn.search(SearchSpace.load(write_toy(tmp_path), options), run_dir=tmp_path / "here", seed=0)
    space = SearchSpace.load(tmp_path / "toy.yaml", [*options, "execution.device=auto"])
    with elsewhere():
        there = fn.search(space, run_dir=tmp_path / "there", seed=0)
    assert json.loads((there.path / "environment.json").read_text())["device"] == "auto"
    assert there.results["architecture"] == here.results["architecture"]
    assert there.results["test"] == pytest.approx(here.results["test"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", [*NAMES, "darts search.decoder=perturbation", "darts search.order=second"])
def test_every_method_searches_elsewhere(tmp_path: Path, method: str) -> None:
    name, *more = method.split()
    options = [*quick(name), *more]
    here = search(name, tmp_path / "here", space_of_methods(SMALL, *options), data(SMALL))
    with elsewhere():
        asked = space_of_methods(SMALL, *options, "execution.device=cuda")
        there = search(name, tmp_path / "there", asked, data(SMALL))
    assert [str(one) for one in there.finalists] == [str(one) for one in here.finalists]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_search_that_asks_for_a_gpu_where_there_is_none_ends_before_anything_begins(tmp_path: Path) -> None:
    space = SearchSpace.load(write_toy(tmp_path), ["execution.device=cuda"])
    with pytest.raises(InputError, match="execution.device: given cuda, but this process sees no GPU"):
        fn.search(space, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_on_the_cpu_nothing_is_copied() -> None:
    part, module = two(5, 0), torch.nn.Linear(2, 2)
    moved, weight = part.to(CPU), module.weight.data_ptr()
    with placed(CPU, module):
        assert module.weight.data_ptr() == weight
    assert all(moved.inputs[name].values is part.inputs[name].values for name in part.inputs)
    assert moved.target is part.target and on_cpu(part.target) is part.target


def test_modules_are_where_they_were_also_after_an_error() -> None:
    module = torch.nn.Linear(2, 2)
    with second_device() as device:
        with pytest.raises(Stop), placed(device, module):
            assert device_of(module) == device
            raise Stop
        assert device_of(module) == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    assert compute_device("cpu") == compute_device("auto") == CPU
    with pytest.raises(InputError, match="execution.device: given cuda, but this process sees no GPU") as told:
        compute_device("cuda")
    assert "give auto (the GPU where there is one) or cpu" in str(told.value)


def test_workers_of_a_cluster_need_a_share_of_a_gpu() -> None:
    check_device("auto", ray=True, gpus=0)
    check_device("cuda", ray=True, gpus=0.25)  # the nodes may have what this process has not
    with pytest.raises(InputError, match="see no GPU; expected execution.gpus above 0\n.*gpus: 1"):
        check_device("cuda", ray=True, gpus=0)


@gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    here, expected = fitted("cpu", dropout=0.0)
    there, found = fitted("cuda", dropout=0.0)
    assert found.history == pytest.approx(expected.history, abs=1e-4)
    for name, value in here.state_dict().items():
        torch.testing.assert_close(there.state_dict()[name], value, rtol=0, atol=1e-4)


@gpu
def test_a_stopped_training_goes_on_to_the_same_bits_on_a_gpu(tmp_path: Path) -> None:
    whole, expected = fitted("cuda")
    with pytest.raises(Stop):
        fitted("cuda", checkpoint=Stopping(tmp_path, 0))
    again, found = fitted("cuda", checkpoint=Checkpoint(tmp_path, 0))
    assert found == expected
    assert_same(whole.state_dict(), again.state_dict())


@gpu
def test_a_seed_covers_the_generator_of_the_gpu_and_leaves_it_as_it_was() -> None:
    device = compute_device("cuda")
    before = torch.cuda.get_rng_state()
    with seeded(1):
        state, first = random_state(), torch.rand(4, device=device)
        set_random_state(state)
        assert torch.equal(torch.rand(4, device=device), first)
    assert torch.equal(torch.cuda.get_rng_state(), before)
