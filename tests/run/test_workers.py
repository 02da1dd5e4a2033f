"""Worker processes: they end with the search that started them, and leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys

from fusionnas.search.retrain import _end_with, _without_interrupts


def test_a_worker_ends_when_the_search_does():
    context = multiprocessing.get_context("spawn")
    alive, hold = context.Pipe(duplex=False)
    worker = context.Process(target=_end_with, args=(alive,))
    worker.start()
    assert worker.is_alive()
    hold.close()  # as the system does when the search is killed
    worker.join(60)
    assert worker.exitcode == 1
    alive.close()


def test_processes_started_without_interrupts_never_see_one():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with _without_interrupts():
        worker = subprocess.Popen([sys.executable, "-c", "print(input())"], stdin=-1, stdout=-1, text=True)
    worker.send_signal(signal.SIGINT)
    assert worker.communicate("done\n") == ("done\n", None)
    assert worker.returncode == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
