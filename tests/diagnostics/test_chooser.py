"""Where to start: data with a planted truth, before any search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionnas.diagnostics.diagnose import diagnose_data
from fusionnas.diagnostics.measures.summaries import reduced, summary, told_by
from fusionnas.errors import InputError
from fusionnas.feature import Feature

SPACE = """
name: planted
data: {format: npz, train: planted.npz, target: label}
task: {kind: binary, target: label, metric: roc_auc}
modalities:
  a: {kind: vector, encoder: mlp, levels: 1}
  b: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, operators: [additive, multiplicative, mlp]}
"""


def planted(folder: Path, logit: str) -> Path:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400, 3))
    chance = 1 / (1 + np.exp(-eval(logit, {"a": a, "b": b})))
    np.savez(folder / "planted.npz", a=a, b=b, label=(rng.random(400) < chance).astype(np.int64))
    (folder / "planted.yaml").write_text(SPACE)
    return folder / "planted.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("logit", "place", "operators", "reason"),
    [
        ("3 * a[:, 0]", "one modality", [], "does not clearly beat a alone"),
        ("2 * a[:, 0] + 2 * b[:, 0]", "late and additive", ["additive"], "Interaction adds nothing clear"),
        ("4 * a[:, 0] * b[:, 0]", "multiplicative, tensor, polynomial", ["multiplicative"], "Products of pairs are"),
    ],
)
def test_the_planted_kind_of_fusion_is_where_it_starts(tmp_path, logit, place, operators, reason) -> None:
    found = diagnose_data(planted(tmp_path, logit))["chooser"]
    assert (found["facts"]["place"], found["facts"]["operators"]) == (place, operators)
    assert any(reason in sentence for sentence in found["answer"])
    assert found["split"] == "select" and {chart["kind"] for chart in found["charts"]} == {"intervals", "shades"}


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'sensor' is neither a run, nor a data set, nor a space. Did you mean 'sens"):
        diagnose_data("sensor")
    with pytest.raises(InputError, match="a file or folder needs --space, which says which modalities are read from"):
        diagnose_data(tmp_path)


def test_summaries_know_only_real_tokens() -> None:
    values = torch.tensor([[[1.0], [3.0], [9.0]], [[0.0], [0.0], [0.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    table = summary([Feature(values, mask, mask.any(1))], [0])
    np.testing.assert_allclose(table[0], [1, 2, 1, 1, 3, 2 / 3])  # present, mean, spread, least, most, share
    np.testing.assert_allclose(table[1], 0)


def test_ids_are_counted() -> None:
    ids = torch.tensor([[1, 2, 2, 0]])
    table = summary([Feature(ids, ids > 0, torch.tensor([True]))], [4])
    np.testing.assert_allclose(table[0], [1, np.log(2), np.log(3), 0])


def test_columns_that_do_not_vary_are_left_out() -> None:
    rng = np.random.default_rng(0)
    train = np.column_stack((np.ones(50), rng.normal(size=(50, 3))))
    first, (second,) = reduced(train, [train[:5]], 2, seed=0)
    assert first.shape == (50, 2) and second.shape == (5, 2)
    assert reduced(np.ones((9, 2)), [np.ones((2, 2))], 2, seed=0)[0].shape == (9, 1)


def test_how_much_one_tells_of_another() -> None:
    rng = np.random.default_rng(0)
    a, noise = rng.normal(size=(2, 400, 4))
    tables = {"a": a, "same": a @ rng.normal(size=(4, 4)), "other": noise}
    train, held = ({n: t[:300] for n, t in tables.items()}, {n: t[300:] for n, t in tables.items()})
    assert told_by(train, held, "a", "same") > 0.95 and told_by(train, held, "a", "other") < 0.05
