"""The documents: links lead somewhere, every command and key is there, every snippet of Python runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from fusionnas.cli.main import app
from fusionnas.space.schema import Search, Training

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def snippets(page: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S))


def run(code: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=folder, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_links_are_found() -> None:
    assert LINK.findall("[a](b.md) and ![c](d/e.svg#f)") == [("b.md", ""), ("d/e.svg", "#f")]


def test_the_index_links_every_page() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "docs" / "index.md").read_text())}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"index.md"}


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "command_line.md").read_text()
    commands = get_command(app).commands
    assert len(commands) > 10
    assert [name for name in commands if f"`fusionnas {name} " not in page] == []


def test_what_a_key_moves_is_explained() -> None:
    page = (ROOT / "docs" / "search.md").read_text()
    missing = [key for key in Search.model_fields if f"search.{key}" not in page]
    assert missing == []
    everywhere = "".join(path.read_text() for path in PAGES)
    assert [key for key in Training.model_fields if f"`{key}`" not in everywhere] == []


def test_snippets_of_the_python_page(tmp_path: Path) -> None:
    printed = run(snippets("python.md"), tmp_path)
    assert "The found network reads" in printed
    assert (tmp_path / "predictions.csv").read_text().startswith("id,probability_0,probability_1,predicted\n")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    page = (ROOT / "docs" / "search.md").read_text()
    assert [key for key in [*results, *results["search"]] if f"{key}`" not in page] == []


def test_what_the_architecture_page_adds_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(snippets("architecture.md"))
    (tmp_path / "space.yaml").write_text(
        "name: coins\nplugins: [mine.py]\ndata: coins\ntask: {kind: binary}\n"
        "modalities: {first: {kind: tabular, encoder: token_linear}, second: {kind: tabular, encoder: mlp}}\n"
        "fusion: {nodes: 1, width: 4, operators: [additive]}\ntraining: {epochs: 1, refit: false}\n"
        "search: {method: blind, finalists: 1, folds: 1, seeds: 1, random: 0, constraints: {nodes: 1}}\n"
    )
    program = (
        "from pathlib import Path\nimport fusionnas as fn\n"
        "run = fn.search('space.yaml', run_dir=Path('run'))\nprint(run.results['search']['method'])\n"
        "from fusionnas.testing import check_encoder\ncheck_encoder('token_linear')\n"
        "from fusionnas.diagnostics.diagnose import diagnose\n"
        "print(diagnose(Path('run'), only=['plain'])['plain']['answer'])\n"
        "from fusionnas.bench import benches\n"
        "print(benches['sizes'](Path('sizes.csv'), seed=0, workers=1, progress=None))\n"
    )
    printed = run(program, tmp_path)
    assert printed.splitlines()[0] == "blind"
    assert "'space': 'views'" in printed


def test_the_snippet_of_the_scaling_page(tmp_path: Path) -> None:
    code = snippets("scaling.md") + "\nassert roots == {f'square root of {n}': n**0.5 for n in range(4)}"
    assert run(code, tmp_path) == ""
