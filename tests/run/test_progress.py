from __future__ import annotations

import io

from rich.console import Console

from fusionnas.run.progress import QuietProgress, RichProgress, in_words, progress_for


def test_without_a_terminal_a_stage_is_one_line_on_stderr(capsys):
    with progress_for() as progress:
        progress.stage("supernet", 20)
        progress.advance({"epoch": 1})
        progress.message("the journal lost a line")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "supernet (20 steps)\nthe journal lost a line\n"


def test_for_machines_there_are_messages_only(capsys):
    with progress_for(machine=True) as progress:
        progress.stage("supernet", 1)
        progress.message("told")
    assert capsys.readouterr().err == "told\n"


def test_one_step_is_singular(capsys):
    QuietProgress().stage("test", 1)
    assert capsys.readouterr().err == "test (1 step)\n"


def test_a_terminal_shows_stage_steps_and_facts():
    screen = io.StringIO()
    live = RichProgress(Console(file=screen, force_terminal=True, width=120))
    live.advance({"epoch": 0})
    live.stage("supernet", 3)
    live.advance({"epoch": 1, "entropy": 0.98765, "best": 0.5})
    live.message("a [bold] message")
    live.stage("heads", 1)
    for epoch in range(3):
        live.advance({"epoch": epoch})
    live.close()
    text = screen.getvalue()
    assert "supernet" in text and "heads" in text and "a [bold] message" in text
    assert "3/3" in text


def test_facts_in_words():
    assert in_words({"epoch": 3, "entropy": 0.912345, "best": 1e-7}) == "epoch 3  entropy 0.9123  best 1e-07"
