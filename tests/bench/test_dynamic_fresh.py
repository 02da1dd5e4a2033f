"""The other test parts of the benchmark of gates: what was tested on before is not tested on again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionnas.bench.dynamic import SETTINGS
from fusionnas.bench.dynamic_fresh import PERSONS, fresh_settings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three sets with few samples, where ``FUSIONNAS_DATA`` says."""
    root = tmp_path / "data"
    for letter in "ab":
        (root / "ehr_icu" / f"set_{letter}").mkdir(parents=True)
        (root / "ehr_icu" / f"set_{letter}" / "outcomes.csv").write_text(letter)
    for name in ("avdigits", "sensors"):
        (root / name).mkdir()
    for part in ("train", "val", "test_rec", "test_spk"):
        np.savez(root / "avdigits" / f"{part}.npz", said=np.array([part]))
    for part, persons in {"train": range(1, 6), "val": [6], "test": [7]}.items():
        subject = np.repeat(np.array(persons), 2)
        np.savez(root / "sensors" / f"{part}.npz", subject=subject, acc=subject * 10)
    monkeypatch.setenv("FUSIONNAS_DATA", str(root))
    return root


def test_every_set_has_a_test_part_that_it_did_not_have_before(root: Path, tmp_path: Path):
    found = fresh_settings(tmp_path)
    assert {name.split(",")[0] for name in found} == set(SETTINGS)
    paths = {name: setting.data_path for name, setting in found.items()}
    icu, digits = paths["physionet2012, sets swapped"], paths["avdigits, new speaker"]
    assert icu and digits
    assert [(icu / f"set_{letter}" / "outcomes.csv").read_text() for letter in "ab"] == ["b", "a"]
    assert np.load(digits / "test_rec.npz")["said"] == ["test_spk"]
    for test, select in PERSONS.items():
        where = paths[f"sensors, person {test}"]
        assert where
        parts = {part: np.load(where / f"{part}.npz") for part in ("train", "val", "test")}
        persons = {part: set(arrays["subject"].tolist()) for part, arrays in parts.items()}
        assert persons == {"test": {test}, "val": {select}, "train": {1, 2, 3, 4, 5, 6, 7} - {test, select}}
        assert all((arrays["acc"] == 10 * arrays["subject"]).all() for arrays in parts.values())


def test_settings_are_those_of_before_at_the_weight_that_a_user_gets(root: Path, tmp_path: Path):
    for setting in fresh_settings(tmp_path).values():
        known = SETTINGS[setting.space if setting.space != "ehr" else "physionet2012"]
        assert (setting.nodes, setting.epochs, setting.overrides) == (known.nodes, known.epochs, known.overrides)
        assert setting.weights == (0.1,)
