"""A large value that many tasks read: written to a file once, mapped into every worker's memory.

The buffers of tensors and arrays lie in the file as they are in memory. Workers map them copy-on-write, so the
machine holds them once however many workers there are, and a worker that replaces a dead one has them at once.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import shutil
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import torch
from torch import Tensor

from fusionnas.execution.scratch import scratch_folder

T = TypeVar("T")
_ALIGN = 64  # as torch aligns its own memory
_KEPT = 4  # values that a worker keeps mapped


class Shared(Generic[T]):
    """A value for the arguments of many calls; nobody may change it.

    Attributes:
        value: itself.
        key: tells it from every other shared value.
    """

    def __init__(self, value: T) -> None:
        self.value = value
        self.key = uuid.uuid4().hex
        self._file: Path | None = None

    def file(self) -> Path:
        """Where workers of this machine find it; written at the first call, deleted with this object."""
        if self._file is None:
            folder = scratch_folder()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            with open(folder / "value", "wb") as file:
                write(file, self.value)
            self._file = folder / "value"
        return self._file

    def __reduce__(self) -> Any:
        raise TypeError("a Shared value travels only as an argument of a Call")


def write(file: BinaryIO, value: Any) -> None:
    """The pickle, then every buffer, aligned; first of all, how long they are."""
    body, buffers = dump(value)
    sizes = pickle.dumps([len(body), *(len(buffer) for buffer in buffers)])
    file.write(len(sizes).to_bytes(8, "little") + sizes + body)
    for buffer in buffers:
        file.write(bytes(-file.tell() % _ALIGN))
        file.write(buffer)


def read(path: Path) -> Any:
    """The value in a file that ``write`` wrote; its tensors lie in the file's own pages until they are changed."""
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), os.fstat(file.fileno()).st_size, access=mmap.ACCESS_COPY))
    start = 8 + int.from_bytes(data[:8], "little")
    length, *sizes = pickle.loads(data[8:start])
    place = start + length
    buffers = []
    for size in sizes:
        place += -place % _ALIGN
        buffers.append(data[place : place + size])
        place += size
    return pickle.loads(data[start : start + length], buffers=buffers)


_READ: OrderedDict[str, Any] = OrderedDict()


def fetch(key: str, path: Path) -> Any:
    """In a worker: the shared value, read once."""
    if key not in _READ:
        _READ[key] = read(path)
        while len(_READ) > _KEPT:
            _READ.popitem(last=False)
    return _READ[key]


def dump(value: Any) -> tuple[bytes, list[memoryview]]:
    """The pickle of ``value``, and the buffers of its tensors and arrays."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    return stream.getvalue(), [buffer.raw() for buffer in buffers]


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value.requires_grad or value.layout is not torch.strided or value.is_cuda:
            return NotImplemented
        flat = value.contiguous().flatten().view(torch.uint8).numpy() if value.numel() else None
        buffer = None if flat is None else pickle.PickleBuffer(flat.data)
        return _tensor, (value.dtype, tuple(value.shape), buffer)


def _tensor(dtype: torch.dtype, shape: Sequence[int], buffer: Any) -> Tensor:
    if buffer is None:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(buffer, dtype=dtype).reshape(shape)
