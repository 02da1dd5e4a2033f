"""The page of a run: what is on it, that it needs nothing else, and how a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pytest

from fusionnas.architecture import Gates
from fusionnas.diagnostics.diagnose import diagnose
from fusionnas.errors import RunError
from fusionnas.report.blocks import _network
from fusionnas.report.page import write_report
from fusionnas.report.source import read_run
from fusionnas.report.verdict import verdict
from fusionnas.show import Alternatives

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def diagnosed(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(toy_run, tmp_path_factory.mktemp("report") / "toy"))
    diagnose(copy, only=["emap", "interaction"])
    return copy


@pytest.fixture(scope="module")
def page(diagnosed: Path) -> str:
    write_report([diagnosed], diagnosed / "report.html")
    return (diagnosed / "report.html").read_text()


def test_a_search_ends_with_a_report(toy_run: Path) -> None:
    text = (toy_run / "report.html").read_text()
    assert "fusionnas report of run" in text and "<code>fusionnas diagnose RUN</code> adds diagnostics" in text
    assert {"network.svg", "baselines.svg", "baselines.csv"} <= {path.name for path in (toy_run / "report").iterdir()}


def test_question_and_verdict_stand_at_the_top(page: str, diagnosed: Path) -> None:
    told = read_run(diagnosed)
    words = unescape(re.sub(r"<[^>]+>", "", page[page.index("<main>") :]))
    first, second = verdict(told.results, told.sources)
    start = words[:1500]
    assert "Where, when and how should left, right and noise be fused to predict label?" in start
    assert start.index(first) < start.index(second) < start.index("The network that was found")


def test_everything_is_on_it(page: str, diagnosed: Path) -> None:
    told = read_run(diagnosed)
    for baseline in told.results["baselines"]:
        assert f"<td class=\"short\">{baseline}</td>" in page
    for content in told.findings.values():
        assert content["question"] in unescape(page)
        assert all(sentence in unescape(page) for sentence in content["answer"])
    for text in ("Against every simple alternative", "What each input is worth", "What if an input is missing?",
                 "It was not trained for missing inputs", "Score without an input minus score with all",
                 "How the search went", "What it costs", "multiply-adds per sample", "exported forms", "space.yaml",
                 "torch 2", "fusionnas search --space space.yaml --seed 0", str(told.architecture)):  # fmt: skip
        assert text in unescape(page)


def test_it_needs_no_network_and_is_small(page: str) -> None:
    assert len(page.encode()) < 2_000_000
    body = re.sub(r'xmlns(:xlink)?="http://www.w3.org/[^"]+"', "", page)
    assert "http://" not in body and "https://" not in body and "<script" not in body and "@import" not in body
    assert {target.split(":")[0] for target in re.findall(r'href="([^#"][^"]*)"', body)} <= {"data"}


def test_it_names_no_place_of_this_machine(page: str, diagnosed: Path) -> None:
    assert str(diagnosed.parent) not in page and str(read_run(diagnosed).settings["folder"]) not in page


def test_figures_are_told_to_those_who_do_not_see_them(page: str, diagnosed: Path) -> None:
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(labels) == page.count("<figure") > 6 and all(len(label) > 30 for label in labels)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for svg in (diagnosed / "report").glob("*.svg"):
        root = xml.parse(svg).getroot()
        assert root.get("role") == "img" and root.findtext("{http://www.w3.org/2000/svg}desc")


def test_numbers_are_csv_files_too(diagnosed: Path, page: str) -> None:
    rows = (diagnosed / "report" / "baselines.csv").read_text().splitlines()
    assert rows[0].startswith("label,") and len(rows) == 1 + len(read_run(diagnosed).results["baselines"])
    assert page.count('download="baselines.csv"') == 1


def test_the_same_run_gives_the_same_bytes(diagnosed: Path, page: str, tmp_path: Path) -> None:
    write_report([diagnosed], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page


def test_several_runs_stand_side_by_side(diagnosed: Path, toy_run: Path, tmp_path: Path) -> None:
    files = write_report([diagnosed, toy_run], tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text()
    assert "fusionnas report of 2 runs" in text and "Side by side" in text
    assert 'href="#run-1"' in text and 'id="run-2"' in text
    assert {"runs.csv", "run1-network.svg", "run2-network.svg"} <= {path.name for path in files}
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_what_has_no_results_is_refused(toy_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run: no such folder; a report needs the folder of a finished run"):
        write_report([tmp_path / "nothing"], tmp_path / "r.html")
    copy = Path(shutil.copytree(toy_run, tmp_path / "run"))
    (copy / "results.json").write_text("{}")
    with pytest.raises(RunError, match=r"results.json is missing or was changed since"):
        write_report([copy], tmp_path / "r.html")


# A window has a least width; a frame inside it may be as narrow as a phone.
FRAME = """<!doctype html><body style="margin: 0">
<iframe id="frame" style="width: {width}px; height: 2000px; border: 0" srcdoc="{page}"></iframe>
<script>addEventListener("load", () => {{
  const page = document.getElementById("frame").contentDocument;
  const figures = [...page.querySelectorAll("figure svg")].map(svg => {{
    const box = svg.getBoundingClientRect(), inner = svg.getBBox();
    return [box.width, box.height, inner.width, inner.height, svg.querySelectorAll("path").length];
  }});
  const told = {{width: page.defaultView.innerWidth, scroll: page.documentElement.scrollWidth, figures}};
  document.body.innerHTML = "<pre>" + JSON.stringify(told) + "</pre>";
}});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_on_a_phone_and_on_a_desk(page: str, width: int, tmp_path: Path) -> None:
    framed = tmp_path / "page.html"
    framed.write_text(FRAME.format(width=width, page=escape(page)))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,2000", "--hide-scrollbars", "--dump-dom",
        framed.as_uri(),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<pre>(.*?)</pre>", ended.stdout, re.S)
    assert found is not None, ended.stderr
    told = json.loads(unescape(found[1]))
    assert [line for line in ended.stderr.splitlines() if "CONSOLE" in line] == []
    assert told["width"] == width and told["scroll"] <= width
    assert len(told["figures"]) == page.count("<figure")
    for shown_width, shown_height, drawn_width, drawn_height, shapes in told["figures"]:
        assert shown_width > 250 and shown_height > 40 and drawn_width > 100 and drawn_height > 20 and shapes > 3


def test_a_modality_that_no_gate_asks_for_is_told(diagnosed: Path) -> None:
    told = read_run(diagnosed)
    gated = replace(told.architecture, gates=Gates((("left",), ("right",))))
    text = {}
    for share in (0.0, 0.2):
        known = Alternatives(gates={"stage_1": share})
        text[share] = _network(replace(told, architecture=gated, alternatives=known), "").text
    assert text[0.0][-1] == "Its gates asked for right for none of the held-out samples."
    assert not any("asked for" in sentence for sentence in text[0.2])
