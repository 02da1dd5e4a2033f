import gzip
from pathlib import Path

import numpy as np
import pytest

from fusionnas.data.tables import is_numeric, numbers, read_table
from fusionnas.errors import DataError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_plain_quoted_and_compressed_tables_read_alike(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.csv", "x,y\r\n1,u\r\n2,v\r\n")
    quoted = write(tmp_path / "b.csv", '"x","y"\n1,"u"\n2,"v"\n')
    packed = tmp_path / "c.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbfx,y\n1,u\n2,v"))
    for path in (plain, quoted, packed):
        assert read_table(path) == {"x": ["1", "2"], "y": ["u", "v"]}


def test_quoted_fields_may_hold_commas_and_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'x,y\n1,"a, b\nc"\n2,d\n')
    assert read_table(path)["y"] == ["a, b\nc", "d"]


def test_missing_numbers_are_nan(tmp_path: Path) -> None:
    values = numbers(["1.5", "", "NA", "nan", " 2 "], tmp_path, "x")
    np.testing.assert_array_equal(values, [1.5, np.nan, np.nan, np.nan, 2])


def test_what_is_no_finite_number_is_named_with_row_and_column() -> None:
    with pytest.raises(DataError, match=r"t.csv:3 column 'x': 'abc' is not a finite number"):
        numbers(["1", "abc"], Path("t.csv"), "x")
    with pytest.raises(DataError, match=r"t.csv:2 column 'x': 'inf' is not a finite number"):
        numbers(["inf", "1"], Path("t.csv"), "x")


def test_infinity_is_a_number_that_is_refused_not_a_category() -> None:
    assert is_numeric(["1", "", "-inf"])
    assert not is_numeric(["1", "one"])


def test_ragged_rows_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,y\n1,2\n3\n4,5,6\n")
    with pytest.raises(DataError, match=r"a.csv:3: 1 fields, expected 2 \(x, y\)(.|\n)*a.csv:4: 3 fields"):
        read_table(path)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="distinct column names, given 'x,x'"):
        read_table(write(tmp_path / "a.csv", "x,x\n1,2\n"))
    with pytest.raises(DataError, match="expected a header and at least one row"):
        read_table(write(tmp_path / "b.csv", "x,y\n"))
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="BadGzipFile"):
        read_table(write(tmp_path / "d.csv.gz", "x\n1\n"))
