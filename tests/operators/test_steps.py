"""Operators that go step by step: how steps meet, and what they make of them."""

from __future__ import annotations

import pytest
import torch

from fusionnas.feature import Feature, pool
from fusionnas.operators import operators
from fusionnas.operators.raven import state_at
from fusionnas.operators.steps import aligned, followed


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def series(*lengths, tokens=5, width=4):
    """One sample per length: a sequence whose first tokens are real."""
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    return Feature(torch.randn(len(lengths), tokens, width) * mask[..., None], mask, mask.any(1))


def row(real):
    return [int(x) for x in real]


def test_steps_meet_by_their_number():
    long, short = series(5, 2), series(3, 3, tokens=3)
    values, real = aligned([long, short])
    assert [row(r) for r in real[0]] == [[1, 1], [1, 1], [1, 1], [1, 0], [1, 0]]
    torch.testing.assert_close(values[1][0, :3], short.values[0])
    assert not values[1][0, 3:].any()


def test_a_vector_goes_with_every_real_step():
    sequence, vector = series(4, 2), series(1, 1, tokens=1)
    values, real = aligned([sequence, vector])
    assert row(real[0, :, 1]) == [1, 1, 1, 1, 0] and row(real[1, :, 1]) == [1, 1, 0, 0, 0]
    torch.testing.assert_close(values[1][0, 3], vector.values[0, 0])


def test_vectors_alone_meet_once():
    first, second = series(1, 0, tokens=3), series(1, 1, tokens=1)
    _, real = aligned([first, second])
    assert [row(r) for r in real[0]] == [[1, 1], [0, 0], [0, 0]]
    assert [row(r) for r in real[1]] == [[0, 1], [0, 0], [0, 0]]


def test_others_follow_the_target():
    target, vector, other = series(3, 1, tokens=4), series(1, 1, tokens=1), series(2, 5)
    values, real = followed(target, [vector, other])
    assert row(real[0, :, 0]) == [1, 1, 1, 0] and row(real[0, :, 1]) == [1, 1, 0, 0]
    torch.testing.assert_close(values[0, 1, 1], other.values[0, 1])
    torch.testing.assert_close(values[1, 0, 1], other.values[1].mean(0))  # one token meets the mean


def test_concat_steps_is_concat_at_every_step():
    steps, concat, inputs = operators["concat_steps"](2, 4), operators["concat"](2, 4), [series(5, 4), series(5, 3)]
    concat.load_state_dict(steps.state_dict())
    out = steps(inputs)
    alone = [Feature.vector(x.values[1, 3:4], x.mask[1, 3:4]) for x in inputs]
    torch.testing.assert_close(out.values[1, 3:4].unsqueeze(1), concat(alone).values)
    assert row(out.mask[1]) == [1, 1, 1, 1, 0]


def test_mag_is_the_modality_shift_of_every_word():
    mag, shift = operators["mag"](3, 4), operators["modality_shift"](3, 4)
    shift.load_state_dict(mag.state_dict())
    inputs = [series(5, 5), series(5, 2), series(5, 5)]
    out = mag(inputs).values
    for step in (0, 3):
        words = [Feature.vector(x.values[:, step], x.mask[:, step]) for x in inputs]
        torch.testing.assert_close(out[:, step], shift(words).values.squeeze(1))


def test_squeeze_excite_scales_channels_by_0_to_2():
    operator, (a, b) = operators["squeeze_excite"](2, 4), (series(5, 3), series(2, 4))
    joint = operator.squeeze(torch.cat((pool(a), pool(b)), 1)).relu()
    gate = 2 * operator.excite(joint).sigmoid()
    torch.testing.assert_close(operator([a, b]).values, a.values * gate[:, None])


def test_non_local_gate_is_scaled_attention():
    operator, (a, b) = operators["non_local_gate"](2, 4), (series(5, 5), series(3, 3, tokens=3))
    key, value = operator.sources[0](b.values).chunk(2, -1)
    weights = (operator.query(a.values) @ key.transpose(1, 2) / 2).softmax(-1)
    torch.testing.assert_close(operator([a, b]).values, a.values + weights @ value)


@pytest.mark.parametrize(
    ("frames", "words", "expected"),
    [
        (4, 4, [1, 2, 3, 4]),
        (6, 3, [2, 4, 6]),
        (5, 2, [3, 5]),
        (2, 4, [1, 1, 2, 2]),
    ],
)
def test_frames_are_dealt_out_evenly_over_words(frames, words, expected):
    real_frames = torch.tensor([[False, True, True, False, True, True, True, True]])
    real_frames &= real_frames.cumsum(1) <= frames
    real_words = torch.tensor([[True, False, True, True, True]])
    real_words &= real_words.cumsum(1) <= words
    heard = real_frames.cumsum(1).float().unsqueeze(-1)  # the state after a frame: how many have been heard
    assert state_at(heard, real_frames, real_words)[0, real_words[0], 0].tolist() == expected


def test_raven_shifts_by_no_more_than_the_word_is_long():
    operator, (words, frames) = operators["raven"](2, 4), (series(5, 5), series(5, 5))
    operator.shifts[0].weight.data *= 100
    shift = operator([words, frames]).values - words.values
    torch.testing.assert_close(shift.norm(dim=-1), words.values.norm(dim=-1), rtol=1e-3, atol=0)


def test_polynomial_windows_see_five_steps():
    operator, x = operators["polynomial_windows"](2, 4), [series(9, tokens=9), series(9, tokens=9)]
    before = operator(x).values
    changed = x[0].values.clone()
    changed[0, 2] += 1
    moved = (operator([x[0]._replace(values=changed), x[1]]).values - before).abs().sum(-1) > 1e-6
    assert row(moved[0]) == [0, 0, 1, 1, 1, 1, 1, 0, 0]


def test_polynomial_windows_have_degree_four():
    operator, x = operators["polynomial_windows"](2, 4).double(), [series(5), series(5)]
    for part in (operator.pool_near, operator.pool_far):
        part.constants.data.zero_()
    twice = [f._replace(values=2 * f.values.double()) for f in x]
    once = operator([f._replace(values=f.values.double()) for f in x])
    torch.testing.assert_close(operator(twice).values, 16 * once.values)
