"""Space files are found by path or by bare name; the bundled ones are valid and say what they are."""

from __future__ import annotations

import re
import shutil

import pytest

from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace, bundled_spaces

BUNDLED = bundled_spaces()


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_space_is_valid_and_opens_with_source_size_and_command(name):
    head = BUNDLED[name].read_text().split("\nname:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "# Source: " in head
    assert f"fusionnas search --space {name}" in head
    space = SearchSpace.load(name)
    points, modalities, nodes, size = re.search(
        r"# Size:\s+(\d+) fusion points of (\d+) modalities, at most (\d+) nodes: (\S+) architectures\.", head
    ).groups()
    assert (int(points), int(modalities)) == (len(space.points()), len(space.groups()))
    assert int(nodes) == space.file.fusion.nodes
    assert size == f"{space.size():.1e}"


def test_bare_names_work_from_any_folder_and_files_win(tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    assert SearchSpace.load("ehr") == SearchSpace.load("ehr.yaml")
    assert SearchSpace.load("ehr").path == BUNDLED["ehr.yaml"]
    (tmp_path / "ehr.yaml").write_text(base)
    own = SearchSpace.load("ehr.yaml")
    assert (own.name, own.path, own.folder) == ("base", tmp_path / "ehr.yaml", tmp_path)
    assert SearchSpace.load("ehr").name == "ehr"


def test_an_installed_wheel_has_them_in_the_package(tmp_path, monkeypatch):
    import fusionnas

    shutil.copytree(BUNDLED["ehr.yaml"].parent, tmp_path / "fusionnas" / "search_spaces")
    monkeypatch.setattr(fusionnas, "__file__", str(tmp_path / "fusionnas" / "__init__.py"))
    assert SearchSpace.load("ehr").path == tmp_path / "fusionnas" / "search_spaces" / "ehr.yaml"


def test_relative_paths_start_from_the_file_unless_told(tmp_path, base):
    (tmp_path / "s.yaml").write_text(base.replace("simulated_icu", "{format: npz, train: t.npz, target: y}"))
    assert SearchSpace.load(tmp_path / "s.yaml").file.data.train == str(tmp_path / "t.npz")
    assert SearchSpace.load(tmp_path / "s.yaml", folder=tmp_path / "a").file.data.train == str(tmp_path / "a" / "t.npz")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ehrr", r"^ehrr: no such file \(did you mean 'ehr.yaml'\?\); bundled spaces: .*ehr.yaml.*views.yaml"),
        ("no/ehr.yaml", r"^no/ehr.yaml: no such file \(did you mean 'ehr.yaml'\?\); bundled spaces: "),
        ("qqqqq", "^qqqqq: no such file; bundled spaces: "),
        (".", r"^\.: is a folder, not a space file; bundled spaces: "),
    ],
)
def test_what_cannot_be_found(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError, match=message):
        SearchSpace.load(given)


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_bytes(b"name: a\ntask: \xff\xfe\n")
    with pytest.raises(SpaceError, match=r"space.yaml:2: not UTF-8 text \(byte 0xff\); save the file as UTF-8"):
        SearchSpace.load(path)


def test_a_byte_order_mark_is_no_mistake(tmp_path, base):
    path = tmp_path / "space.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + base.encode())
    assert SearchSpace.load(path).name == "base"


def test_messages_name_the_file_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: a\n")
    with pytest.raises(
        SpaceError, match=r"^mine.yaml is not a valid search space: 2 problems\n  mine.yaml:1:1 task: is needed"
    ):
        SearchSpace.load("mine.yaml")
