"""Trials in a database that other tools read."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution

from fusionnas.errors import InputError
from fusionnas.studies.mirror import Mirror, hidden

RATE = {"rate": FloatDistribution(0.0, 1.0)}
ROWS = [(0, {"rate": 0.5}, {"loss": 0.25, "text": "a"}), (1, {"rate": 0.75}, {"failed": "too hot"})]


def written_twice(url: str) -> None:
    """Two sessions write the same trials; another tool finds each once."""
    for _ in range(2):
        mirror = Mirror(url, "toy 1", RATE, pytest.fail)
        for row in ROWS:
            mirror.write(*row)
        mirror.close()
    storage = optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"))
    good, bad = optuna.load_study(study_name="toy 1", storage=storage).get_trials()
    assert (good.params, good.value, good.user_attrs) == ({"rate": 0.5}, 0.25, {"fusionnas trial": 0, "text": "a"})
    assert (bad.state.name, bad.user_attrs["failed"]) == ("FAIL", "too hot")
    storage.remove_session()
    storage.engine.dispose()


def test_sqlite(tmp_path) -> None:
    written_twice(f"sqlite:///{tmp_path}/study.db")


class Server:
    """A PostgreSQL server of its own; it does not run as root."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user is not None:
            shutil.chown(folder, self.user)
        self.folder = folder
        self._run("initdb", "-U", "me", "-A", "trust")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://me@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *options: str) -> None:
        command = [program, "-D", str(self.folder / "data"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self.user, cwd=self.folder)


@pytest.fixture
def server() -> Iterator[Server]:
    if shutil.which("initdb") is None:
        pytest.skip("no PostgreSQL on this machine")
    with tempfile.TemporaryDirectory() as folder:
        started = Server(Path(folder))
        started.start()
        yield started
        started.stop()


@pytest.mark.slow
def test_a_real_postgresql_server(server: Server) -> None:
    written_twice(server.url())
    with pytest.raises(InputError, match=r'cannot be opened: .*database "absent" does not exist'):
        Mirror(server.url("absent"), "x", RATE, pytest.fail)


@pytest.mark.slow
def test_a_server_that_is_gone_for_a_while_costs_no_trial(server: Server) -> None:
    told: list[str] = []
    mirror = Mirror(server.url(), "toy 2", RATE, told.append)
    server.stop()
    for row in ROWS:
        mirror.write(*row)
    assert len(told) == 1 and "the study goes on without" in told[0]
    server.start()
    mirror.write(2, {"rate": 0.1}, {"loss": 1.0})
    mirror.close()
    mirror = Mirror(server.url(), "toy 2", RATE, pytest.fail)
    assert mirror.numbers == {0, 1, 2}
    mirror.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [("study.db", "given 'study.db', expected sqlite:///FILE or postgresql://USER"),
     ("mysql://a:secret@b/c", r"given 'mysql://a:\*\*\*@b/c', expected sqlite"),
     ("sqlite:////nowhere/at/all/study.db", "cannot be opened: unable to open database file"),
     ("postgresql://me:secret@127.0.0.1:1/x", r"postgresql://me:\*\*\*@127.0.0.1:1/x cannot be opened: .*refused")],
)  # fmt: skip
def test_what_cannot_be_opened_is_told_without_its_password(url: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        Mirror(url, "x", RATE, pytest.fail)
    assert "secret" not in str(error.value)


def test_addresses_without_a_password_stay_as_they_are() -> None:
    assert hidden("sqlite:///a.db") == "sqlite:///a.db"
    assert hidden("postgresql://me@h/d") == "postgresql://me@h/d"
