from __future__ import annotations

import json
import random
import xml.etree.ElementTree as xml

import pytest

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.errors import InputError, RunError, SpaceError
from fusionnas.show import read_architecture, write_picture
from fusionnas.show.layout import LEVEL_SIZE, NODE_HEIGHT, arrange, half_width
from fusionnas.show.picture import _readable, picture
from fusionnas.space import SearchSpace

TWO = Architecture(
    (("vitals", ("gru", "gru")), ("labs", ("gru",))),
    (Node((Point("vitals", 2), Point("labs", 1)), "low_rank_tensor"),),
    NodeRef(0),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_an_svg_tells_screen_readers_what_it_shows(tmp_path):
    write_picture(TWO, tmp_path / "two.svg")
    root = xml.parse(tmp_path / "two.svg").getroot()
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == f"Fusion architecture {TWO.id}"
    assert root.find(f"{SVG}desc").text == (
        "vitals with 2 encoder layers (gru, gru); labs with 1 encoder layers (gru). low_rank_tensor(vitals.2, labs.1)"
    )


def test_equal_architectures_give_equal_bytes():
    assert picture(TWO, "svg") == picture(Architecture.from_json(TWO.to_json()), "svg")


@pytest.mark.parametrize(("ending", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")])
def test_the_ending_decides_the_format(tmp_path, ending, start):
    write_picture(TWO, tmp_path / f"two{ending}")
    assert (tmp_path / f"two{ending}").read_bytes().startswith(start)


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"two.jpg: a picture ends in .svg, .png or .pdf"):
        write_picture(TWO, tmp_path / "two.jpg")


@pytest.mark.parametrize("seed", range(60))
def test_nothing_stands_on_anything_else(seed):
    """Nodes keep apart, and no feature that is read further right runs through a node."""
    architecture = SearchSpace.load("ehr", ["fusion.nodes=4", "fusion.inputs=[2, 4]"]).sample(random.Random(seed))
    layout = arrange(architecture)
    nodes = [(*layout.node(index), half_width(node.operator)) for index, node in enumerate(architecture.nodes)]
    for index, (x, y, half) in enumerate(nodes):
        for other_x, other_y, other_half in nodes[:index]:
            assert abs(x - other_x) >= half + other_half or abs(y - other_y) > NODE_HEIGHT
        for source, height in layout.heights.items():
            readers = [place for place, node in enumerate(architecture.nodes) if source in node.inputs]
            begin = layout.node(source.node)[0] if isinstance(source, NodeRef) else 0.0
            ends = [layout.columns[layout.column[place]][0] for place in readers]
            if begin < x < max(ends, default=0.0):
                assert abs(height - y) > NODE_HEIGHT / 2, f"{source} runs through node {index}"
    assert layout.columns == [] or layout.columns[0][0] > LEVEL_SIZE


def test_a_node_stands_between_its_inputs_where_there_is_room():
    layout = arrange(TWO)
    assert layout.node(0)[1] == (layout.lanes["vitals"] + layout.lanes["labs"]) / 2


def test_text_on_colour_is_readable():
    assert _readable("#0072B2") == "#ffffff"
    assert _readable("#E69F00") == "#000000"


def test_an_architecture_is_read_from_file_run_or_export(tmp_path):
    (tmp_path / "architecture.json").write_text(json.dumps(TWO.to_json()))
    assert read_architecture(tmp_path) == read_architecture(tmp_path / "architecture.json") == TWO


def test_what_is_no_architecture_is_told(tmp_path):
    with pytest.raises(RunError, match=r"expected a run, an export or an architecture.json; there is no .*x/archi|x"):
        read_architecture(tmp_path / "x")
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(RunError, match="has found no architecture yet; `fusionnas resume"):
        read_architecture(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(RunError, match=r"a.json is not JSON"):
        read_architecture(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(RunError, match=r"b.json holds no architecture: expected a mapping, given a list"):
        read_architecture(tmp_path / "b.json")
    (tmp_path / "c.json").write_text('{"schema": 1}')
    with pytest.raises(SpaceError, match="the architecture is not valid"):
        read_architecture(tmp_path / "c.json")
