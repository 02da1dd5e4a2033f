"""Folds: the select part, and as many more cuts of the same kind through train + alpha, each held out once.

A select part with a hundred deaths cannot tell good candidates apart; all development samples, each scored by a network
that did not see it, can. Groups stay together and classes keep their shares, as in the split itself.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from fusionnas.data.base import Part, SearchData
from fusionnas.training.randomness import derive


def fold(data: SearchData, number: int, count: int, *, seed: int) -> tuple[Part, Part]:
    """(training samples, held-out samples) of one fold.

    Args:
        data: train and alpha are cut; select is fold 0's held-out part and trains in all others.
        number: 0 to count - 1.
        count: number of folds.
        seed: of the cut.
    """
    rest = Part.concat(data.train, data.alpha)
    if number == 0:
        return rest, data.select
    held = _block(rest, number - 1, max(2, count - 1), derive(seed, "folds") % 2**32)
    kept = np.setdiff1d(np.arange(len(rest)), held)
    return Part.concat(rest.rows(torch.from_numpy(kept)), data.select), rest.rows(torch.from_numpy(held))


def _block(part: Part, number: int, count: int, seed: int) -> NDArray[np.int64]:
    """Indices of one of ``count`` blocks."""
    order = np.random.default_rng(seed).permutation(len(part))
    target, groups = part.target.numpy()[order], part.groups[order]
    grouped = len(np.unique(groups)) < len(groups)
    rare = int(np.bincount(target).min()) < count
    if not grouped and not rare:
        blocks = StratifiedKFold(count).split(target, target)
    else:
        blocks = (GroupKFold if rare else StratifiedGroupKFold)(count).split(target, target, groups)
    return np.sort(order[list(blocks)[number][1]])
