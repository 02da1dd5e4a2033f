import json

import numpy as np
import pytest
import torch

from fusionnas.data.raw import Grid, Raw, Series, Table, Tokens
from fusionnas.data.views import KINDS, VIEWS
from fusionnas.data.views.spectrum import FAINTEST, energies
from fusionnas.data.views.summary import SUMMARIES
from fusionnas.errors import DataError
from fusionnas.space.schema import Modality


def modality(kind: str, **options: object) -> Modality:
    return Modality.model_validate({"kind": kind, "encoder": "mlp", **options})


def small_series() -> Series:
    """Three samples, two variables; sample 1 has nothing. Window of 8."""
    return Series.from_events(
        np.array([0, 0, 0, 2, 2]),
        np.array([1.0, 5.0, 5.5, 0.0, 8.0]),
        np.array([0, 0, 0, 0, 1]),
        np.array([2.0, 4.0, 6.0, 8.0, 3.0]),
        size=3,
        variables=("a", "b"),
        horizon=8.0,
    )


RAWS: dict[str, Raw] = {
    "plain": Table.of({"x": np.array([1.0, np.nan, 3.0]), "c": np.array(["u", "v", ""])}),
    "bins": small_series(),
    "observations": small_series(),
    "summary": small_series(),
    "spectrum": small_series(),
    "tokens": Tokens.of([["p", "q", "p"], [], ["q"]]),
    "patches": Grid(np.arange(3 * 2 * 9 * 10, dtype=np.float32).reshape(3, 2, 9, 10)),
    "frames": Grid(np.arange(3 * 7 * 2, dtype=np.float32).reshape(3, 7, 2)),
}
KIND_OF = {view: kind for kind, views in KINDS.items() for view in views if kind not in ("vector", "text")}


@pytest.mark.parametrize("name", list(VIEWS))
def test_every_view_gives_what_its_spec_says_and_survives_json(name: str) -> None:
    raw = RAWS[name]
    view = VIEWS[name].fit(raw, modality(KIND_OF[name], steps=4))
    given, spec = view.transform(raw), view.spec
    expected = (3, spec.tokens) if spec.vocabulary else (3, spec.tokens, spec.width)
    assert tuple(given.values.shape) == expected
    assert given.values.dtype == (torch.int64 if spec.vocabulary else torch.float32)
    assert torch.isfinite(given.values.float()).all()
    assert given.present.tolist() == raw.present.tolist()
    assert not given.mask[~given.present].any()
    assert not given.values[~given.mask].any()
    back = VIEWS[name].from_json(json.loads(json.dumps(view.to_json())))
    assert back == view
    assert torch.equal(back.transform(raw).values, given.values)


@pytest.mark.parametrize("name", list(VIEWS))
def test_views_transform_each_sample_on_its_own(name: str) -> None:
    raw = RAWS[name]
    view = VIEWS[name].fit(raw, modality(KIND_OF[name], steps=4))
    whole, alone = view.transform(raw), view.transform(raw.take(np.array([2])))
    assert torch.equal(whole.values[2:], alone.values)
    assert torch.equal(whole.mask[2:], alone.mask)


def test_plain_standardises_flags_gaps_and_codes_categories() -> None:
    raw = RAWS["plain"]
    assert isinstance(raw, Table)
    view = VIEWS["plain"].fit(raw, modality("tabular"))
    given = view.transform(raw).values[:, 0]
    # x (mean 2, deviation 1) | x missing | categories "", "u", "v" | unknown
    assert given.tolist() == [[-1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [1, 0, 1, 0, 0, 0]]
    new = Table.of({"x": np.array([2.0]), "c": np.array(["w"])})
    assert view.transform(new).values.tolist() == [[[0, 0, 0, 0, 0, 1]]]


def test_plain_clips_and_takes_ranges_logs_and_categories_from_the_space() -> None:
    raw = Table.of(
        {"x": np.array([0.0, 1.0, 99.0]), "y": np.array([0.0, np.e - 1, 0.0]), "z": np.array([3.0, 4.0, 3.0])}
    )
    view = VIEWS["plain"].fit(raw, modality("tabular", ranges={"x": [0, 5]}, log=["y"], categorical=["z"]))
    assert view.notes() == ["implausible values of the train part that count as missing: x 1"]
    wild = Table.of({"x": np.array([1.0]), "y": np.array([1e30]), "z": np.array([4.0])})
    values = view.transform(wild).values[0, 0].tolist()
    assert values[:2] == [1.0, 10.0]
    assert values[3:] == [0.0, 1.0, 0.0]


def test_columns_without_a_value_or_without_a_difference_are_zero() -> None:
    raw = Table.of({"empty": np.full(3, np.nan), "constant": np.full(3, 7.0)})
    view = VIEWS["plain"].fit(raw, modality("tabular"))
    assert "no value in the train part, so constant 0: empty" in view.notes()
    later = Table.of({"empty": np.array([5.0]), "constant": np.array([7.0])})
    assert view.transform(later).values.tolist() == [[[0.0, 0.0]]]


def test_plain_names_missing_columns_and_words_among_numbers() -> None:
    view = VIEWS["plain"].fit(Table.of({"x": np.arange(3.0), "y": np.arange(3.0)}), modality("tabular"))
    with pytest.raises(DataError, match=r"'x' held numbers in training, now it holds 'no'(.|\n)*column 'y' is missing"):
        view.transform(Table.of({"x": np.array(["no"])}))


def test_bins_hold_means_carried_forward_gaps_and_counts() -> None:
    raw = small_series()
    view = VIEWS["bins"].fit(raw, modality("timeseries", steps=4))
    given = view.transform(raw)
    assert given.mask.all(1).tolist() == [True, False, True]
    value, observed, gap, count = given.values[0].unfold(1, 2, 2).permute(1, 0, 2)[:, :, 0].numpy()
    mean, std = 5.0, np.std([2.0, 4.0, 6.0, 8.0])
    np.testing.assert_allclose(value, (np.array([2, 2, 5, 5]) - mean) / std, rtol=1e-6)
    assert observed.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(gap, [1 / 8, 3 / 8, 0.5 / 8, 2.5 / 8], rtol=1e-6)
    np.testing.assert_allclose(count, np.log1p([1, 0, 2, 0]), rtol=1e-6)
    never = given.values[0].unfold(1, 2, 2).permute(1, 0, 2)[:, :, 1]
    assert never.tolist() == [[0] * 4, [0] * 4, [1] * 4, [0] * 4]
    # An observation at the very end of the window belongs to the last bin.
    assert given.values[2, 3, 3] == 1


def test_summary_of_one_variable_is_what_numpy_says() -> None:
    raw = small_series()
    view = VIEWS["summary"].fit(raw, modality("timeseries", steps=4))
    from fusionnas.data.views.series import observe
    from fusionnas.data.views.summary import summarize

    scaling, horizon = view.scaling, view.horizon  # type: ignore[attr-defined]
    table = summarize(observe(raw, scaling, horizon), 2, 4).reshape(3, len(SUMMARIES), 2)
    x, t = (np.array([2.0, 4.0, 6.0]) - 5) / np.std([2, 4, 6, 8]), np.array([1, 5, 5.5]) / 8
    slope = np.polyfit(t, x, 1)[0]
    expected = [x.mean(), x.std(), x[0], x[2], x[0], x[2], x[1], slope, x[2] - x[0], np.log1p(3), 0.5, 5.5 / 8]
    np.testing.assert_allclose(table[0, :, 0], expected, rtol=1e-9)
    assert np.isnan(table[0, :9, 1]).all()
    assert table[0, 9:, 1].tolist() == [0, 0, 0]


def test_spectrum_tells_slow_oscillations_from_fast_ones() -> None:
    steps, time = 32, np.arange(32)
    waves = [3 * np.sin(2 * np.pi * cycles * time / steps) for cycles in (1, 3, 9)]
    slow, middle, fast = np.stack([np.stack(energies(wave[None, :, None])) for wave in waves])[:, :, 0, 0]
    strong = np.log(9 * steps / 4 + FAINTEST)  # |DFT|^2 / steps of 3 sin = (3 / 2)^2 steps
    np.testing.assert_allclose([slow[0], middle[1], fast[3]], strong, rtol=1e-6)
    faint = np.log(FAINTEST)
    np.testing.assert_allclose([*slow[1:], middle[0], *middle[2:], *fast[:3], fast[4]], faint, rtol=1e-6)


@pytest.mark.parametrize(("steps", "octaves"), [(2, 1), (3, 1), (4, 2), (31, 4), (32, 5), (62, 5)])
def test_spectrum_uses_every_frequency_once(steps: int, octaves: int) -> None:
    values = np.random.default_rng(0).normal(size=(2, steps, 3))
    found = energies(values)
    assert len(found) == octaves
    whole = (np.abs(np.fft.rfft(values, axis=1)[:, 1:]) ** 2).sum(1) / steps
    np.testing.assert_allclose(sum(np.exp(e) - FAINTEST for e in found), whole, rtol=1e-9)


def test_observations_keep_the_latest_in_order_of_time() -> None:
    raw = small_series()
    given = VIEWS["observations"].fit(raw, modality("timeseries", steps=2)).transform(raw)
    assert given.mask.tolist() == [[True, True], [False, False], [True, True]]
    np.testing.assert_allclose(given.values[0, :, 1], np.array([5, 5.5]) / 8)
    assert given.values[2, :, 2:].tolist() == [[1, 0], [0, 1]]


def test_series_leave_out_what_training_did_not_know() -> None:
    view = VIEWS["bins"].fit(small_series(), modality("timeseries", steps=4))
    other = Series.from_events(
        np.array([0, 0]), np.array([1.0, 99.0]), np.array([0, 1]), np.array([1.0, 4.0]), size=1, variables=("new", "a")
    )
    given = view.transform(other)  # "new" is unknown, the observation of "a" is after the window
    assert not given.present.any()


def test_tokens_are_ranked_by_frequency_and_rare_ones_unknown() -> None:
    raw = Tokens.of([["b", "a", "b"], ["a", "b", "rare"]])
    view = VIEWS["tokens"].fit(raw, modality("codes", steps=2))
    assert view.transform(raw).values.tolist() == [[3, 2], [2, 1]]
    text = VIEWS["tokens"].fit(raw, modality("text", steps=2))
    assert text.transform(Tokens.of([["b", "new", "a"]])).values.tolist() == [[2, 1]]
    assert view.spec.vocabulary == 4


def test_patches_are_cut_in_reading_order() -> None:
    image = np.zeros((2, 1, 16, 16), np.float32)
    image[0, 0, 0:2, 2:4] = 1
    given = VIEWS["patches"].fit(Grid(image), modality("image"))
    assert given.spec.grid == (8, 8)
    lit = given.transform(Grid(image)).values[0].sum(1)
    assert int(lit.argmax()) == 1
    with pytest.raises(DataError, match=r"given \(1, 8, 8\) per sample, expected \(1, 16, 16\)"):
        given.transform(Grid(np.zeros((1, 1, 8, 8), np.float32)))


def test_frames_are_averaged_in_equal_stretches_and_padding_is_masked() -> None:
    frames = np.arange(8, dtype=np.float32).reshape(2, 4, 1)
    frames[1, 2:] = np.nan
    view = VIEWS["frames"].fit(Grid(frames), modality("audio", steps=2))
    given = view.transform(Grid(frames))
    assert given.mask.tolist() == [[True, True], [True, False]]
    assert given.values[0, 1, 0] > given.values[0, 0, 0]


def test_grids_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"given \(2, 3\), expected image \(N, C, H, W\)"):
        VIEWS["patches"].fit(Grid(np.zeros((2, 3), np.float32)), modality("image"))
