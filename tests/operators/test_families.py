"""Operators behind whole-model families: what their references get wrong, and what makes them what they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionnas.encoders.attention import Attention
from fusionnas.feature import Feature, InputSpec
from fusionnas.operators import operators
from fusionnas.operators.aligned_block import AlignedBlock
from fusionnas.operators.joint_transformer import JointTransformer
from fusionnas.operators.shared_perceiver import SharedPerceiver
from fusionnas.operators.transformer import Block
from fusionnas.testing.module_checks import features
from fusionnas.training.randomness import seeded


def built(cls: type[nn.Module], inputs: int, width: int = 8) -> nn.Module:
    with seeded(0):
        return cls(inputs, width).eval()


def test_vilt_takes_a_black_patch_for_padding_here_only_the_mask_decides() -> None:
    module = built(JointTransformer, 2)
    words, patches = features((3, 4), 8)
    black = patches._replace(values=torch.where(torch.arange(4)[:, None] == 1, 0.0, patches.values))
    black = black._replace(mask=torch.ones_like(black.mask))
    padded = black._replace(mask=black.mask & (torch.arange(4) != 1))
    with torch.no_grad():
        seen, unseen = module([words, black]).values, module([words, padded]).values
        assert not torch.allclose(seen, unseen, atol=1e-4)
        # A picture that is black all over is still a picture.
        nothing = black._replace(values=torch.zeros_like(black.values))
        assert module([words.absent(), nothing]).present.all()
        assert module([words.absent(), nothing]).values.isfinite().all()


def test_vilt_drops_patches_at_random_here_evaluation_is_the_same_every_time() -> None:
    module = built(JointTransformer, 2)
    inputs = features((6, 300), 8, batch=2)
    with torch.no_grad():
        assert torch.equal(module(inputs).values, module(inputs).values)


def test_very_early_fusion_gives_every_token_in_the_light_of_the_others() -> None:
    module = built(JointTransformer, 2)
    words, patches = features((3, 4), 8)
    with torch.no_grad():
        first = module.contextual([words, patches])
        other = module.contextual([words, patches.rows(torch.tensor([1, 2, 3, 4, 5, 0]))])
    assert [f.values.shape for f in first] == [(6, 3, 8), (6, 4, 8)]
    assert not torch.allclose(first[0].values, other[0].values, atol=1e-4)
    assert not first[0].values[~words.mask].any()


@pytest.mark.parametrize("inputs", [2, 3, 5, 10])
def test_highmmt_is_as_large_for_ten_modalities_as_for_two(inputs: int) -> None:
    count = sum(p.numel() for p in SharedPerceiver(inputs, 16).parameters())
    assert count == SharedPerceiver.count_parameters(2, 16) == SharedPerceiver.count_parameters(inputs, 16)


def test_highmmt_shares_one_mask_here_every_modality_has_its_own() -> None:
    module = built(SharedPerceiver, 2)
    first, second = features((5, 5), 8)
    with torch.no_grad():
        own = module([first, second]).values
        shorter = second._replace(mask=second.mask & (torch.arange(5) < 2))
        assert not torch.allclose(own, module([first, shorter]).values, atol=1e-4)
        hidden = second._replace(values=torch.where(shorter.mask.unsqueeze(-1), second.values, 9.0), mask=shorter.mask)
        assert torch.allclose(module([first, hidden]).values, module([first, shorter]).values, atol=1e-6)


def test_highmmt_sorts_modalities_by_name_here_their_order_does_not_matter() -> None:
    module = built(SharedPerceiver, 3)
    inputs = features((3, 4, 2), 8)
    with torch.no_grad():
        expected = module(inputs).values
        for order in ((1, 0, 2), (2, 1, 0)):
            assert torch.allclose(module([inputs[i] for i in order]).values, expected, atol=1e-5)


def test_a_modality_alone_is_read_without_any_pair() -> None:
    module = built(SharedPerceiver, 3)
    inputs = features((3, 4, 2), 8)
    with torch.no_grad():
        alone = module([inputs[0].absent(), inputs[1], inputs[2].absent()]).values
        assert torch.allclose(alone, module.norm(module._read(inputs[1])), atol=1e-6)


def test_mufasa_adds_its_output_to_itself_here_the_residual_is_the_input() -> None:
    """In the released model the notes branch doubles its result; what came in was computed and never used."""
    module = built(AlignedBlock, 2)
    with torch.no_grad():
        for layer in (module.project, module.mix, *module.sources):
            for parameter in layer.parameters():
                parameter.zero_()
        notes, codes = features((5, 4), 8)
        expected = torch.where(notes.mask.unsqueeze(-1), module.norm(notes.values), 0.0)
        assert torch.allclose(module([notes, codes]).values, expected, atol=1e-6)


def test_steps_meet_steps_and_what_a_shorter_input_lacks_adds_nothing() -> None:
    module = built(AlignedBlock, 2)
    notes, codes = features((5, 3), 8, ragged=False)
    with torch.no_grad():
        whole = module([notes, codes]).values
        longer = Feature(
            torch.cat((codes.values, torch.ones(6, 4, 8)), 1), torch.cat((codes.mask, torch.zeros(6, 4) > 0), 1),
            codes.present,
        )  # fmt: skip
        assert torch.allclose(module([notes, longer]).values, whole, atol=1e-6)
        late = codes._replace(values=codes.values * (torch.arange(3) != 0)[:, None])
        changed = (module([notes, late]).values - whole).abs().amax((0, 2)) > 1e-6
    assert changed.tolist() == [True, True, False, False, False]  # step 0, and step 1 through the convolution


def torch_layer(width: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "attn" in name and name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return layer


def test_a_transformer_written_in_our_blocks_gives_torchs_numbers() -> None:
    """The genome that seeds MUFASA's search: attention and feed-forward with residuals, no attention biases."""
    with seeded(0):
        layer, block, encoder = torch_layer(16), Block(16), Attention(16, InputSpec(3, tokens=5))
        x = torch.randn(3, 5, 16)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    query, key_value = layer.self_attn.in_proj_weight.split((16, 32))
    shared = {
        "answer.weight": layer.self_attn.out_proj.weight, "norm_ffn.weight": layer.norm2.weight,
        "norm_ffn.bias": layer.norm2.bias,
    }  # fmt: skip
    feed = {"hidden": layer.linear1, "project": layer.linear2}
    block.load_state_dict(
        {
            **shared, "query.weight": query, "key_value.weight": key_value,
            **{f"{n}.{k}": getattr(layer.norm1, k) for n in ("norm", "norm_source") for k in ("weight", "bias")},
            **{f"{n}.{k}": getattr(linear, k) for n, linear in feed.items() for k in ("weight", "bias")},
        }
    )  # fmt: skip
    encoder.load_state_dict(
        {
            **shared, "ask.weight": layer.self_attn.in_proj_weight,
            **{f"norm_in.{k}": getattr(layer.norm1, k) for k in ("weight", "bias")},
            **{f"block.{n}.{k}": getattr(linear, k) for n, linear in feed.items() for k in ("weight", "bias")},
            **{f"norm.{k}": v for k, v in encoder.norm.state_dict().items()},
        }
    )  # fmt: skip
    with torch.no_grad():
        expected = layer(x, src_key_padding_mask=~mask)
        got = block(x, x, mask)
        level = encoder(Feature(x * mask.unsqueeze(-1), mask, mask.any(1))).values
    assert torch.allclose(got[mask], expected[mask], atol=1e-5)
    assert torch.allclose(level[mask], encoder.norm(expected)[mask], atol=1e-5)


def test_they_are_listed_as_sequence_operators() -> None:
    assert all(operators[name].sequence for name in ("joint_transformer", "shared_perceiver", "aligned_block"))
