from __future__ import annotations

import io
import pickle
import random

import pytest
import torch

from fusionnas.run import Checkpoint, Result
from fusionnas.run.files import sha256


def state_file(folder):
    (path,) = folder.glob("*.pt")
    return path


def test_a_fresh_start_has_no_state(tmp_path):
    assert Checkpoint(tmp_path / "u.state", 30).load() is None


def test_state_comes_back_exactly(tmp_path):
    generator = torch.Generator().manual_seed(3)
    state = {
        "weights": {"w": torch.randn(3, 2, dtype=torch.float64)},
        "generator": generator.get_state(),
        "python": random.Random(5).getstate(),
        "epoch": 4,
        "loss": [0.1 + 0.2, float("inf")],
        "note": None,
    }
    Checkpoint(tmp_path / "u.state", 30).save(state)
    loaded = Checkpoint(tmp_path / "u.state", 30).load()
    assert torch.equal(loaded.pop("weights")["w"], state.pop("weights")["w"])
    assert torch.equal(loaded.pop("generator"), state.pop("generator"))
    assert loaded == state


def test_an_optimizer_can_be_saved(tmp_path):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    Checkpoint(tmp_path / "u.state", 30).save({"optimizer": optimizer.state_dict(), "layer": layer.state_dict()})
    optimizer.load_state_dict(Checkpoint(tmp_path / "u.state", 30).load()["optimizer"])


def test_the_file_is_an_ordinary_torch_file(tmp_path):
    Checkpoint(tmp_path / "u.state", 30).save({"epoch": 1})
    assert torch.load(state_file(tmp_path / "u.state"), weights_only=True) == {"epoch": 1}


def test_only_the_last_state_is_kept_until_the_unit_is_done(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a" / "u.state", 30)
    for epoch in range(3):
        checkpoint.save({"epoch": epoch})
    assert len(list((tmp_path / "a" / "u.state").iterdir())) == 1
    assert checkpoint.load() == {"epoch": 2}
    checkpoint.clear()
    assert not (tmp_path / "a" / "u.state").exists()
    checkpoint.clear()


def test_a_damaged_state_counts_as_none_and_an_older_intact_one_is_used(tmp_path):
    checkpoint = Checkpoint(tmp_path / "u.state", 30)
    checkpoint.save({"epoch": 0})
    older = state_file(tmp_path / "u.state")
    kept = older.read_bytes()
    checkpoint.save({"epoch": 1})
    newer = state_file(tmp_path / "u.state")
    newer.write_bytes(newer.read_bytes()[:-40])
    assert checkpoint.load() is None
    older.write_bytes(kept)
    assert checkpoint.load() == {"epoch": 0}
    checkpoint.save({"epoch": 7})
    assert checkpoint.load() == {"epoch": 7}


def test_other_objects_are_refused_by_place(tmp_path):
    with pytest.raises(TypeError, match=r"state\['a'\]\[1\] is Random; a checkpoint holds plain types"):
        Checkpoint(tmp_path, 30).save({"a": [1, random.Random(0)]})


def test_due_follows_the_interval(tmp_path):
    assert Checkpoint(tmp_path, 0).due()
    assert not Checkpoint(tmp_path, 1e9).due()


def test_a_settled_result_owns_its_memory_and_sorts_its_names():
    weight = torch.nn.Parameter(torch.ones(2))
    result = Result({"shape": (1, 2)}, {"b": weight, "a": torch.zeros(2, 3).T}).settled("u")
    with torch.no_grad():
        weight.zero_()
    assert result.facts == {"shape": [1, 2]}
    assert list(result.tensors) == ["a", "b"]
    assert result.tensors["b"].tolist() == [1, 1] and not result.tensors["b"].requires_grad
    assert result.tensors["a"].is_contiguous()


class Evil:
    def __reduce__(self):
        import os

        return os.mkdir, (EVIL,)


EVIL = ""


@pytest.mark.parametrize("content", ["pickle", "torch", "no dictionary", "noise"])
def test_a_planted_file_counts_as_none_and_is_never_executed(tmp_path, content):
    global EVIL
    EVIL = str(tmp_path / "executed")
    buffer = io.BytesIO()
    if content == "pickle":
        buffer.write(pickle.dumps(Evil(), protocol=2))
    elif content == "torch":
        torch.save({"epoch": Evil()}, buffer)
    elif content == "no dictionary":
        torch.save([1], buffer)
    else:
        buffer.write(b"noise")
    data = buffer.getvalue()
    (tmp_path / "u.state").mkdir()
    (tmp_path / "u.state" / f"000000007-{sha256(data)}.pt").write_bytes(data)
    assert Checkpoint(tmp_path / "u.state", 30).load() is None
    assert not (tmp_path / "executed").exists()
