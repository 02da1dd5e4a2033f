"""Every defect of a reference implementation that the field's ledger lists has a test, here or in the room it is about.

Defects of operators: ``tests/operators/test_reference_bugs.py`` and ``test_families.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from fusionnas.diagnostics.measures.damage import noise
from fusionnas.encoders.attention import Attention
from fusionnas.encoders.encoder import Encoder
from fusionnas.errors import SpaceError
from fusionnas.feature import Feature, InputSpec
from fusionnas.operators import operators
from fusionnas.search.methods.mfas import heat

TESTS = Path(__file__).parents[1]
LEDGER = {
    "MultiBench LMF: untrained factors": "test_multibench_lmf_keeps_its_factors_in_a_list_and_never_trains_them",
    "MultiBench MI: samples are mixed": "test_multibench_three_way_interaction_mixes_the_samples_of_a_batch",
    "MultiBench MulT: equal lengths": "test_multibench_mult_takes_equal_lengths_only",
    "MultiBench blending: another module is saved": (
        "test_multibench_saved_module_is_the_one_that_was_trained_and_scored"
    ),
    "MultiBench blending: weights collapse": "test_multibench_weights_do_not_collapse",
    "MultiBench robustness: swaps duplicate": "test_multibench_swap_of_ids_duplicates_one",
    "MultiBench robustness: inputs change": "test_inputs_are_never_changed_and_nothing_appears_where_nothing_was",
    "MultiBench MFAS: temperatures repeat": "test_multibench_mfas_repeats_its_temperatures",
    "MulT: several samples": "test_mult_crashes_where_a_batch_has_several_samples",
    "MulT: no padding mask": "test_mult_has_no_padding_mask",
    "MulT: zero is padding": "test_mult_takes_a_step_whose_first_channel_is_0_for_padding",
    "MulT: positions in half precision": "test_mult_repeats_positions_in_half_precision",
    "MulT: 2 or 3 channels": "test_mult_divides_by_zero_at_two_and_three_channels",
    "MulT: no compilation": "test_mult_keeps_a_buffer_on_a_function_and_cannot_be_compiled",
    "LMF and TFN: one sample": "test_lmf_and_tfn_crash_at_a_single_sample",
    "LMF: no signal at first": "test_lmf_starts_with_a_signal_near_zero",
    "MMSA: dropout is off": "test_mmsa_encoder_of_one_layer_has_no_dropout",
    "MMSA MFN: memory of padding": "test_mmsa_mfn_keeps_updating_its_memory_on_padding",
    "HPFN: one power too many": "test_hpfn_takes_one_power_more_than_its_order",
    "HPFN: no gradient at 0": "test_hpfn_has_no_gradient_at_zero",
    "MAG: absent modalities shift": "test_mag_moves_words_by_an_absent_modality",
    "MAG: no mask": "test_mag_moves_padded_words",
    "RAVEN: detached branch": "test_raven_detaches_its_nonverbal_branch",
    "SDK DFG: hidden networks": "test_sdk_dynamic_fusion_graph_hides_its_networks_in_a_dict",
    "SDK RMFN: a loop of nothing": "test_sdk_recurrent_fusion_repeats_steps_that_change_nothing",
    "SDK TFN: no ones": "test_sdk_tensor_fusion_appends_no_ones",
    "SDK TFN: the process ends": "test_sdk_tensor_fusion_ends_the_process_here_an_error_says_what_is_wrong",
    "Greedy MMTM: running average of the other stream": (
        "test_greedy_exchange_averages_the_wrong_stream_here_no_operator_remembers_a_batch"
    ),
    "Papers' READMEs: commands that do not run": "test_every_command_is_documented",
    "BLOCK: shared is ignored": "test_block_tucker_shares_what_it_should_not",
    "BLOCK: MCB is dead": "test_block_mcb_calls_a_transform_that_torch_no_longer_has",
    "OGM-GE: gated and FiLM crash": "test_reference_crashes_on_gated_and_film_here_every_operator_has_scores",
    "RMFE: NaN": "test_rmfe_is_finite_where_the_reference_is_nan",
    "DynMM: what is skipped is computed": "test_what_is_skipped_is_not_computed",
    "MUFASA: residual": "test_mufasa_adds_its_output_to_itself_here_the_residual_is_the_input",
    "MUFASA: one logit": "test_cross_entropy_of_one_logit_is_that_of_two",
    "ViLT: black is padding": "test_vilt_takes_a_black_patch_for_padding_here_only_the_mask_decides",
    "ViLT: evaluation at random": "test_vilt_drops_patches_at_random_here_evaluation_is_the_same_every_time",
    "ALBEF: batches of one": "test_every_objective_is_finite_and_moves_encoders_for_batches_of_one_and_two",
    "ALBEF: multinomial": "test_negatives_where_multinomial_stops",
    "Evolved Transformer: norm of what is masked": "test_evolved_transformer_normalises_what_it_should_have_masked",
    "PID: additive synergy": "test_what_both_tell_only_together_is_synergy",
    "HighMMT: one mask": "test_highmmt_shares_one_mask_here_every_modality_has_its_own",
    "HighMMT: sorted by name": "test_highmmt_sorts_modalities_by_name_here_their_order_does_not_matter",
    "TorchMultimodal: a missing modality": "test_torchmultimodal_attention_fusion_fails_where_a_modality_is_missing",
}


def test_every_defect_has_its_test() -> None:
    there = set()
    for path in TESTS.rglob("test_*.py"):
        there |= set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert {defect: test for defect, test in LEDGER.items() if test not in there} == {}


def test_multibench_swap_of_ids_duplicates_one() -> None:
    """There, swapping entries of [1, 2, 3, 4] in place left [1, 1, 1, 1]; here the given ids are left alone."""
    ids, mask = torch.tensor([[1, 2, 3, 4]] * 50), torch.ones(50, 4, dtype=torch.bool)
    feature = Feature(ids, mask, mask[:, 0])
    damaged = noise(feature, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(feature.values, torch.tensor([[1, 2, 3, 4]] * 50))
    assert [int((damaged.values == value).sum()) for value in (1, 2, 3, 4)] == pytest.approx([50] * 4, abs=15)
    assert int((damaged.values != ids).sum()) == pytest.approx(200 * 0.5 * 3 / 4, abs=20)


def test_multibench_mfas_repeats_its_temperatures() -> None:
    heats = [heat(step) for step in range(12)]  # 3 iterations of 4 levels
    assert heats == sorted(heats, reverse=True) and len(set(heats)) == 12
    assert heats[0] > 9 and heats[-1] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("layers", [[], ["gru"]])
def test_mmsa_encoder_of_one_layer_has_no_dropout(layers: list[str]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder, feature = Encoder(InputSpec(3, tokens=4), 8, layers, dropout=0.5), _sequence()
        first, second = (encoder(feature)[-1].values for _ in range(2))
    assert not torch.equal(first, second)


def test_evolved_transformer_normalises_what_it_should_have_masked() -> None:
    layer, feature = Attention(8, InputSpec(8, tokens=4)).eval(), _sequence(8)
    mask = torch.tensor([[True, True, True, False]] * 2)
    masked = Feature(feature.values, mask, feature.present)
    loud = masked._replace(values=torch.where(mask.unsqueeze(-1), feature.values, 1e4))
    assert torch.equal(layer(masked).values, layer(loud).values)
    assert not layer(loud).values[:, 3].any()


def test_sdk_tensor_fusion_ends_the_process_here_an_error_says_what_is_wrong() -> None:
    with pytest.raises(SpaceError, match="1,953,125 wide, allowed 1,000,000; use the operator low_rank_tensor"):
        operators["tensor"](inputs=9, width=4)


@pytest.mark.parametrize("name", list(operators))
def test_greedy_exchange_averages_the_wrong_stream_here_no_operator_remembers_a_batch(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        operator = operators[name](inputs=max(2, operators[name].inputs_range[0]), width=8).train()
        before = {key: value.clone() for key, value in operator.state_dict().items()}
        features = [Feature.vector(torch.randn(5, 8)) for _ in range(operator.inputs)]
        first = operator(features).values
        assert torch.equal(operator(features).values, first)
    assert all(torch.equal(value, before[key]) for key, value in operator.state_dict().items())


def _sequence(channels: int = 3) -> Feature:
    mask = torch.ones(2, 4, dtype=torch.bool)
    return Feature(torch.randn(2, 4, channels, generator=torch.Generator().manual_seed(0)), mask, mask[:, 0])
