"""One process at a time works on a run."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from fusionnas.errors import RunError
from fusionnas.run.files import explained


class Lock:
    """A lock on a folder, held until ``release`` or the end of the process, however it ends.

    The kernel holds it (``flock``), so the lock of a killed process is free at once; the file's text only
    says to others who holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take()
        except BlockingIOError:
            holder = path.read_text(errors="replace").strip()
            os.close(self._descriptor)
            raise RunError(
                f"{path.parent} is in use by {holder or 'another process'}; wait until it ends, or stop it first"
            ) from None
        except OSError as error:
            os.close(self._descriptor)
            raise RunError(f"cannot lock {path}: {error.strerror or error}") from error
        # On a full disk the text is lost, the lock is not.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _take(self) -> None:
        """More than one try: somebody who looks whether the run is in use holds it for a moment."""
        for pause in (0.02, 0.1, 0.3):
            with suppress(BlockingIOError):
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(pause)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let go; more than once is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
