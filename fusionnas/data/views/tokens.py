"""View ``tokens``: codes and words as ids, (N, T) int64, 0 = padding, 1 = unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from fusionnas.data.raw import Raw, Tokens
from fusionnas.data.views.base import View
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality

UNKNOWN = 1
MOST_WORDS = 20_000
FEWEST = 2
"""A code that fewer train samples' tokens have reads as unknown, so that the id of unknown is trained too."""


@dataclass(frozen=True)
class TokenIds(View):
    """The most frequent codes of the train part, ids from 2 on in order of frequency.

    Attributes:
        vocabulary: codes with an id of their own.
        tokens: most tokens kept.
        latest: keep the last tokens of a longer sequence (codes, newest last) rather than the first (text).
    """

    vocabulary: tuple[str, ...]
    tokens: int
    latest: bool

    name: ClassVar[str] = "tokens"
    raw: ClassVar[type[Raw]] = Tokens

    @classmethod
    def fit(cls, raw: Tokens, modality: Modality) -> TokenIds:
        """The vocabulary of the train part."""
        count = np.bincount(raw.codes, minlength=len(raw.vocabulary))
        frequent = [i for i in np.argsort(-count, kind="stable")[:MOST_WORDS] if count[i] >= FEWEST]
        longest = int(np.diff(raw.offsets).max(initial=1))
        return cls(
            tuple(raw.vocabulary[i] for i in frequent), max(1, min(modality.steps, longest)), modality.kind == "codes"
        )

    def transform(self, raw: Tokens) -> Feature:
        """(N, T) ids, padding at the end."""
        known = {word: i for i, word in enumerate(self.vocabulary, start=UNKNOWN + 1)}
        lookup = np.array([known.get(word, UNKNOWN) for word in raw.vocabulary], dtype=np.int64)
        count = np.diff(raw.offsets)
        sample = np.repeat(np.arange(len(raw)), count)
        place = np.arange(len(raw.codes)) - raw.offsets[:-1][sample]
        if self.latest:
            place -= np.maximum(count - self.tokens, 0)[sample]
        kept = (place >= 0) & (place < self.tokens)
        ids = np.zeros((len(raw), self.tokens), dtype=np.int64)
        ids[sample[kept], place[kept]] = lookup[raw.codes[kept]]
        values = torch.from_numpy(ids)
        return Feature(values, values > 0, torch.from_numpy(raw.present.copy()))

    @property
    def spec(self) -> InputSpec:
        """Ids, padding and unknown included."""
        return InputSpec(0, self.tokens, vocabulary=len(self.vocabulary) + UNKNOWN + 1)

    def notes(self) -> list[str]:
        """A vocabulary without a single code."""
        return [] if self.vocabulary else ["no code appears twice in the train part: every code reads as unknown"]
