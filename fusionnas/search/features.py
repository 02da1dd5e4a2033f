"""Encoding a data set once: features of every fusion point, standardised, in memory or in files.

Samples are encoded and written a chunk at a time, so features may be larger than memory. In a run they lie in its
folder under the hash of all that they depend on; a search that was killed while heads trained finds them there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.architecture import Point
from fusionnas.data.base import Part
from fusionnas.feature import Feature, pool
from fusionnas.run.files import explained, write_json
from fusionnas.search.cache import MOST_TOKENS, Cache

CHUNK = 512
"""Samples that are encoded at a time."""

FEATURES = "features"
"""Folder of a run; removed when its search has ended."""

_MANIFEST = "features.json"

Encode = Callable[[Mapping[str, Feature]], Mapping[Point, Feature]]


@dataclass(frozen=True)
class Store:
    """Where features lie.

    Attributes:
        folder: of these features alone; its name says what they depend on.
        memory: bytes; what is larger is read from the files as it is needed.
    """

    folder: Path
    memory: int = 2**30


@torch.no_grad()
def build_caches(
    encode: Encode, parts: Mapping[str, Part], points: tuple[Point, ...], *, tokens: bool, store: Store | None = None
) -> dict[str, Cache]:
    """Features of each part, every point's channels standardised by the statistics of the first part.

    Args:
        encode: inputs by modality -> features (B, T, D) by point.
        parts: samples by name.
        points: fusion points in order.
        tokens: whether some operator reads tokens.
        store: where to keep them; None: in memory alone.

    Raises:
        DiskError: the disk is full.
    """
    if store is not None and (kept := _kept(store, parts, points)) is not None:
        return kept
    scales = [_Scale() for _ in points]
    written: dict[str, dict[str, Tensor]] = {}
    for name, part in parts.items():
        written[name] = _encoded(encode, part, points, tokens, scales, None if store is None else store.folder / name)
        for tensor in (written[name]["vectors"], written[name].get("tokens")):
            if tensor is not None:
                _standardize(tensor, written[name], scales)
    if store is not None:
        _finish(store, written)
        del written
        kept = _kept(store, parts, points)
        assert kept is not None
        return kept
    return {name: _cache(points, tensors, parts[name].target) for name, tensors in written.items()}


def _encoded(
    encode: Encode, part: Part, points: tuple[Point, ...], tokens: bool, scales: list[_Scale], folder: Path | None
) -> dict[str, Tensor]:
    """Tensors of a whole part, not standardised yet; the first part gives the statistics."""
    rows: dict[str, Tensor] = {}
    measuring = not scales[0].count
    for first in range(0, len(part), CHUNK):
        index = torch.arange(first, min(first + CHUNK, len(part)))
        encoded = encode(part.rows(index).inputs)
        features = [encoded[point] for point in points]
        if measuring:
            for scale, feature in zip(scales, features, strict=True):
                scale.add(feature)
        for name, chunk in _chunk(features, tokens).items():
            if name not in rows:
                rows[name] = _space(chunk, len(part), None if folder is None else folder / f"{name}.bin")
            rows[name][index] = chunk
    return rows


def _chunk(features: list[Feature], tokens: bool) -> dict[str, Tensor]:
    """Pooled and coarsened features of some samples, (B, P, ...) each."""
    found = {
        "vectors": torch.stack([pool(f) for f in features], 1),
        "present": torch.stack([f.mask.any(-1) for f in features], 1),
    }
    if tokens:
        coarse = [_coarse(f) for f in features]
        length = max(f.values.shape[-2] for f in coarse)
        pads = [(f, length - f.values.shape[-2]) for f in coarse]
        found["tokens"] = torch.stack([functional.pad(f.values, (0, 0, 0, n)) for f, n in pads], 1)
        found["masks"] = torch.stack([functional.pad(f.mask, (0, n)) for f, n in pads], 1)
    return found


class _Scale:
    """Mean and deviation of a point's channels over real tokens, chunk by chunk (Chan et al., 1983)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(1).double(), torch.zeros(1).double()

    def add(self, feature: Feature) -> None:
        real = feature.values[feature.mask].double()
        if not len(real):
            return
        new, mean = self.count + len(real), real.mean(0)
        apart = mean - self.mean
        self.squares = self.squares + (real - mean).square().sum(0) + apart.square() * (self.count * len(real) / new)
        self.mean = self.mean + apart * (len(real) / new)
        self.count = new

    def shift(self) -> tuple[Tensor, Tensor]:
        """What to take off, and what to divide by; nothing and 1 where there are not two tokens."""
        if self.count < 2:
            return torch.zeros_like(self.mean).float(), torch.ones_like(self.mean).float()
        return self.mean.float(), (self.squares / (self.count - 1)).sqrt().float().clamp_min(1e-6)


def _standardize(tensor: Tensor, rows: Mapping[str, Tensor], scales: list[_Scale]) -> None:
    """In place, chunk by chunk; what is masked stays zero."""
    mean, deviation = (torch.stack(each).unsqueeze(0) for each in zip(*(s.shift() for s in scales), strict=True))
    if tensor.dim() == 4:
        mean, deviation = mean.unsqueeze(2), deviation.unsqueeze(2)
    real = rows["present"] if tensor.dim() == 3 else rows["masks"]
    for first in range(0, len(tensor), CHUNK):
        part = slice(first, first + CHUNK)
        tensor[part] = (tensor[part] - mean) / deviation * real[part].unsqueeze(-1)


def _coarse(feature: Feature) -> Feature:
    """At most ``MOST_TOKENS`` tokens: masked means of neighbours. Ranks heads; the final networks see every token."""
    tokens = feature.values.shape[-2]
    size = -(-tokens // MOST_TOKENS)
    if size == 1:
        return feature
    missing = -tokens % size
    values = functional.pad(feature.values, (0, 0, 0, missing)).unflatten(-2, (-1, size))
    mask = functional.pad(feature.mask, (0, missing)).unflatten(-1, (-1, size))
    return Feature(pool(Feature(values, mask, mask.any(-1))), mask.any(-1), feature.present)


def _cache(points: tuple[Point, ...], tensors: Mapping[str, Tensor], target: Tensor) -> Cache:
    return Cache(points, tensors["vectors"], tensors["present"], tensors.get("tokens"), tensors.get("masks"), target)


def _space(chunk: Tensor, samples: int, file: Path | None) -> Tensor:
    """Room for all samples, in memory or in a new file."""
    shape = (samples, *chunk.shape[1:])
    if file is None:
        return torch.empty(shape, dtype=chunk.dtype)
    size = math.prod(shape) * chunk.element_size()
    with explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "wb") as opened:
            if size:
                os.posix_fallocate(opened.fileno(), 0, size)  # a full disk says so here, not in the middle of a write
    return _mapped(file, shape, chunk.dtype, shared=True)


def _mapped(file: Path, shape: Sequence[int], dtype: torch.dtype, *, shared: bool) -> Tensor:
    return torch.from_file(str(file), shared=shared, size=math.prod(shape), dtype=dtype).reshape(tuple(shape))


def _finish(store: Store, written: Mapping[str, Mapping[str, Tensor]]) -> None:
    """The manifest comes last: files without one count for nothing."""
    write_json(store.folder / _MANIFEST, {
        part: {
            name: {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch."),
                   "sha256": _hash(store.folder / part / f"{name}.bin")}
            for name, tensor in tensors.items()
        }
        for part, tensors in written.items()
    })  # fmt: skip


def _kept(store: Store, parts: Mapping[str, Part], points: tuple[Point, ...]) -> dict[str, Cache] | None:
    """What lies in the store, if it is there and intact; in memory as far as that is allowed."""
    try:
        manifest = json.loads((store.folder / _MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    files = {(part, name): store.folder / part / f"{name}.bin" for part in manifest for name in manifest[part]}
    if any(not f.is_file() or _hash(f) != manifest[part][name]["sha256"] for (part, name), f in files.items()):
        return None
    small = sum(f.stat().st_size for f in files.values()) <= store.memory
    caches = {}
    for part in parts:
        tensors = {}
        for name, said in manifest[part].items():
            mapped = _mapped(files[part, name], said["shape"], getattr(torch, said["dtype"]), shared=False)
            tensors[name] = mapped.clone() if small else mapped
        caches[part] = _cache(points, tensors, parts[part].target)
    return caches


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def content_hash(*values: object) -> str:
    """Hash of tensors, parts, and whatever prints the same when it is the same, in any nesting of mappings."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, Mapping):
            for name in value:
                digest.update(f"{name}={content_hash(value[name])};".encode())
        elif isinstance(value, Part):
            digest.update(content_hash({n: content_hash(*f) for n, f in value.inputs.items()}, value.target).encode())
        elif isinstance(value, Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().numpy().tobytes())
        else:
            digest.update(repr(value).encode())
        digest.update(b"|")
    return digest.hexdigest()
