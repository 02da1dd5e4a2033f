"""``fusionnas status``, ``watch`` and ``stop``: a run that works elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, print_json

if TYPE_CHECKING:
    from fusionnas.run.status import Status

AnyRun = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder; somebody may be working on it.")]


@app.command()
def status(run: AnyRun, as_json: Json = False) -> None:
    """What a run is doing: stage, time left, workers, failures."""
    from fusionnas.run.status import read_status

    found = read_status(run)
    if as_json:
        print_json(found.to_json())
    else:
        print("\n".join(lines(found)))


@app.command()
def watch(
    run: AnyRun,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Follow a run until it ends; Ctrl-C ends the watching, not the run."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from fusionnas.run.status import read_status

    console = Console()
    if not console.is_terminal:
        _follow(run, every)
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = read_status(run)
            live.update(Text("\n".join(lines(found))), refresh=True)
            if found.state in ("finished", "stopped"):
                return
            time.sleep(every)


@app.command()
def stop(
    run: AnyRun,
    take_best: Annotated[bool, typer.Option("--take-best", help="End the search alone, and finish with its best.")]
    = False,
) -> None:
    """Ask a run to save its state and stop; `fusionnas resume` goes on from there."""
    from fusionnas.errors import RunError
    from fusionnas.run.status import read_status
    from fusionnas.stopping import ask_for_best, ask_to_stop

    found = read_status(run)
    if found.state == "finished":
        raise RunError(f"{run} is finished, there is nothing to stop")
    if found.state == "stopped":
        raise RunError(f"nobody works on {run}; `fusionnas resume {run}` goes on with it")
    if take_best:
        ask_for_best(run)
        print(f"the search in {run} ends at its next decision; the best so far is chosen from, trained and tested")
        return
    ask_to_stop(run)
    print(f"{run} stops at its next safe point; `fusionnas status {run}` says when it has")


def lines(found: Status) -> list[str]:
    """A status for people."""
    last = f", last {found.last['unit']} at {found.last['at']}" if found.last else ""
    told = [("run", found.run), ("state", _STATES[found.state].format(run=found.run)), *_work(found)]
    told += [("done", f"{found.units} units of work{last}")]
    told += [("failed", f"{entry['unit']}: {entry['failed'].splitlines()[0]}") for entry in found.failed]
    told += [("message", text) for text in found.messages]
    return [f"{name:<12}{value}" for name, value in told]


_STATES = {
    "finished": "finished",
    "running": "running",
    "stopping": "asked to stop; at work until its next safe point",
    "stopped": "stopped; `fusionnas resume {run}` goes on",
}


def _work(found: Status) -> list[tuple[str, str]]:
    """What is told while somebody works on the run."""
    from fusionnas.run.progress import in_words

    if not found.process:
        return []
    steps = f"{found.done} of {found.total}" if found.total else ""
    told = [
        ("worked on", f"by process {found.process} on {found.host}, workers: {found.workers}"),
        ("stage", "  ".join(filter(None, [found.stage, steps, in_words(found.facts)]))),
    ]
    if found.seconds_left is not None:
        told.append(("time left", f"about {duration(found.seconds_left)} of this stage"))
    if found.running:
        told.append(("at work on", ", ".join([*found.running[:6], *["..."] * (len(found.running) > 6)])))
    return told


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _follow(run: Path, every: float) -> None:
    """One line whenever something has changed: for logs."""
    from fusionnas.run.status import read_status

    told = ""
    while True:
        found = read_status(run)
        stage = f"{found.stage} {found.done} of {found.total}" if found.stage else ""
        line = "  ".join(filter(None, [found.state, stage, f"{found.units} units"]))
        if line != told:
            print(line, flush=True)
            told = line
        if found.state in ("finished", "stopped"):
            return
        time.sleep(every)
