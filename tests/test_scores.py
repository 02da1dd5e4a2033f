"""Metrics where a class does not occur: common with a hundred classes and few samples."""

import numpy as np
import torch

from fusionnas.training.scoring import metric, scores


def test_a_class_that_does_not_occur_costs_nothing_and_is_not_warned_of():
    target = torch.tensor([0, 1, 1, 3])
    perfect = 9 * torch.eye(5)[target]
    found = scores(perfect, target)
    assert (found["accuracy"], found["balanced_accuracy"], found["f1_macro"]) == (1, 1, 1)

    wrong = scores(9 * torch.eye(5)[torch.tensor([4, 1, 1, 3])], target)
    assert wrong["balanced_accuracy"] == 2 / 3
    assert wrong["f1_macro"] == 0.5  # classes 0 and 4 have none, 1 and 3 all of it


def test_a_class_without_weight_is_left_out_of_a_resample():
    target, probability = np.array([0, 1, 2, 2]), np.eye(3)[[0, 1, 2, 1]]
    weight = np.array([2.0, 0, 1, 1])

    assert metric("balanced_accuracy", probability, target, weight) == 0.75
    assert metric("f1_macro", np.eye(3)[[0, 1, 2, 2]], target, weight) == 1
