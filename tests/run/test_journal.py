from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionnas.errors import RunError
from fusionnas.run.journal import Journal
from fusionnas.run.plain import from_plain, to_plain

keys = st.text().filter(lambda key: key != "$float")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


def bits(value: object) -> object:
    """Comparable form in which NaN equals NaN and 0.0 differs from -0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, list):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return type(value), value


def written(path: Path, lines: int = 3) -> Path:
    journal = Journal(path / "journal.jsonl")
    for number in range(lines):
        journal.append({"unit": f"u{number}", "facts": {"x": number / 7}})
    return journal.path


@settings(max_examples=60, deadline=None)
@given(value=json_values)
def test_values_come_back_bit_for_bit(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    entry = journal.append({"facts": value})
    again = Journal(path)
    assert bits(entry["facts"]) == bits(value)
    assert bits(again.entries[0]["facts"]) == bits(value)
    assert again.dropped == ""


def test_lines_are_numbered_and_strict_json(tmp_path):
    path = written(tmp_path)
    assert [entry["seq"] for entry in Journal(path).entries] == [0, 1, 2]
    Journal(path).append({"worst": math.inf})
    assert '"worst": {"$float": "inf"}' in path.read_text().splitlines()[3]


@pytest.mark.parametrize("cut", range(1, 100, 7))
def test_a_torn_last_line_is_dropped_and_cut_off_before_the_next(tmp_path, cut):
    path = written(tmp_path)
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -min(cut, last - 1)])
    journal = Journal(path)
    assert [entry["unit"] for entry in journal.entries] == ["u0", "u1"]
    assert f"dropped {last - min(cut, last - 1)} bytes, beginning '{{" in journal.dropped
    journal.append({"unit": "again"})
    assert [entry["unit"] for entry in Journal(path).entries] == ["u0", "u1", "again"]
    assert Journal(path).dropped == ""


def test_every_bit_flip_is_noticed(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    good = Journal(path).entries
    for index in range(0, len(whole)):
        for bit in (index % 8, (index + 3) % 8):
            path.write_bytes(whole[:index] + bytes([whole[index] ^ 1 << bit]) + whole[index + 1 :])
            try:
                journal = Journal(path)
            except RunError as error:
                assert "the journal is damaged in the middle" in str(error)
            else:
                assert journal.dropped
                assert journal.entries == good[: len(journal.entries)]


def test_damage_in_the_middle_names_the_line(tmp_path):
    path = written(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1].replace("u1", "v1") + lines[2])
    with pytest.raises(RunError, match=r"journal.jsonl:2: the journal is damaged in the middle\n.*delete line 2"):
        Journal(path)


def test_a_missing_line_is_damage(tmp_path):
    path = written(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])
    with pytest.raises(RunError, match="journal.jsonl:2: the journal is damaged"):
        Journal(path)


def test_a_block_of_zeros_at_the_end_is_dropped(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(512))
    journal = Journal(path)
    assert len(journal.entries) == 3
    assert "dropped 512 bytes" in journal.dropped


def test_what_json_lacks_is_refused_by_place(tmp_path):
    with pytest.raises(TypeError, match=r"facts\.scores\[1\] is set; JSON has"):
        to_plain({"scores": [1.0, {2}]})
    with pytest.raises(TypeError, match="key 3 cannot be journaled"):
        to_plain({3: 1})
    with pytest.raises(TypeError, match=r"key '\$float' cannot be journaled"):
        to_plain({"$float": "nan"})
    assert from_plain(to_plain((1, 2.5))) == [1, 2.5]


def test_a_journal_that_cannot_be_read_is_a_run_error(tmp_path):
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(RunError, match="cannot read .*journal.jsonl: Is a directory"):
        Journal(tmp_path / "journal.jsonl")
