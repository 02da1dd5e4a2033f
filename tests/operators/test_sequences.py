"""Recurrent and crossmodal operators: agreement with torch, with their equations written out, and golden counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionnas.feature import Feature
from fusionnas.operators import operators
from fusionnas.operators.crossmodal import CrossmodalLayer, MultimodalTransformer, encoder_parameters
from fusionnas.operators.ctc_alignment import WEIGHT, ctc_loss, dealt_means
from fusionnas.operators.memory_fusion import MemoryFusionNetwork, MemorySizes
from fusionnas.operators.recurrent import Lstm


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def whole(batch, tokens, width):
    """A sequence without padding."""
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    return Feature(torch.randn(batch, tokens, width), mask, mask[:, 0])


def size(module):
    return sum(p.numel() for p in module.parameters())


def torch_cell(inputs, state):
    """torch's LSTM cell with the weights of two of our linear maps; its gates stand in the same order."""
    cell = nn.LSTMCell(inputs.weight.shape[1], state.weight.shape[1])
    cell.weight_ih.data, cell.bias_ih.data = inputs.weight.data, inputs.bias.data
    cell.weight_hh.data, cell.bias_hh.data = state.weight.data, state.bias.data
    return cell


def test_lstm_agrees_with_torch():
    ours, theirs, x = Lstm(3, 5), nn.LSTM(3, 5, batch_first=True), torch.randn(2, 7, 3)
    theirs.weight_ih_l0.data, theirs.bias_ih_l0.data = ours.inputs.weight.data, ours.inputs.bias.data
    theirs.weight_hh_l0.data, theirs.bias_hh_l0.data = ours.state.weight.data, ours.state.bias.data
    states, cells = ours(x, torch.ones(2, 7, dtype=torch.bool))
    expected, (_, last) = theirs(x)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(cells[:, -1], last[0])


def test_lstm_stands_still_where_nothing_is_real():
    lstm, x, real = Lstm(3, 5), torch.randn(2, 4, 3), torch.tensor([[True, False, True, False]] * 2)
    states, _ = lstm(x, real)
    without, _ = lstm(x[:, ::2], real[:, ::2])
    torch.testing.assert_close(states, without.repeat_interleave(2, 1))


def test_recurrent_multistage_is_its_equations():
    operator, (a, b) = operators["recurrent_multistage"](2, 4), (whole(3, 5, 4), whole(3, 5, 4))
    # LSTM_H's gates stand slot by slot; torch's cell wants gate by gate.
    order = torch.arange(32).reshape(2, 4, 4).transpose(0, 1).flatten()
    for part in (operator.highlight_input, operator.highlight_state):
        part.weight.data, part.bias.data = part.weight.data[order], part.bias.data[order]
    highlight = torch_cell(operator.highlight_input, operator.highlight_state)
    fuse = torch_cell(operator.fuse_input, operator.fuse_state)
    for part in (operator.highlight_input, operator.highlight_state):
        part.weight.data, part.bias.data = part.weight.data[order.argsort()], part.bias.data[order.argsort()]
    h, c, z = [torch.zeros(3, 4)] * 2, [torch.zeros(3, 4)] * 2, torch.zeros(3, 4)
    for step in range(5):
        for j, x in enumerate((a, b)):
            gates = torch.cat((x.values[:, step], h[j], z), 1) @ operator.cells.weight[j].T + operator.cells.bias[j]
            i, f, g, o = gates.chunk(4, 1)
            c[j] = f.sigmoid() * c[j] + i.sigmoid() * g.tanh()
            h[j] = o.sigmoid() * c[j].tanh()
        states, seen, mixed, stages = torch.cat(h, 1), None, None, []
        for _ in range(3):
            seen = highlight(states, seen)
            mixed = fuse(8 * operator.attention(seen[0]).softmax(1) * states, mixed)
            stages.append(mixed[0])
        z = operator.summarize(torch.cat(stages, 1))
    expected = operator.project(torch.cat(h, 1)) + operator.project_fused(z)
    torch.testing.assert_close(operator([a, b]).values.squeeze(1), expected)


def test_memory_fusion_is_its_equations():
    network = MemoryFusionNetwork([3, 2], MemorySizes((4, 5), 6, 7, 8, 9, 10, 11), 2)
    inputs = [whole(3, 5, 3), whole(3, 5, 2)]
    cells = [torch_cell(lstm.inputs, lstm.state) for lstm in network.lstms]
    states, memory = [(torch.zeros(3, n), torch.zeros(3, n)) for n in (4, 5)], torch.zeros(3, 6)
    for step in range(5):
        new = [cell(x.values[:, step], s) for cell, x, s in zip(cells, inputs, states, strict=True)]
        both = torch.cat([t for old, now in zip(states, new, strict=True) for t in (old[1], now[1])], 1)
        seen = 18 * network.attention(both).softmax(1) * both
        kept = network.retain(seen, memory).sigmoid() * memory
        memory = kept + network.update(seen, memory).sigmoid() * network.candidate(seen).tanh()
        states = new
    expected = network.output(torch.cat([s[0] for s in states], 1), memory)
    torch.testing.assert_close(network(inputs), expected)


def test_parameters_of_mfn_in_mmsa():
    # MMSA's configuration for MOSI: text 300, audio 5, video 20 channels.
    sizes = MemorySizes((256, 32, 256), 400, attention=32, candidate=64, retain=256, update=32, output=128)
    assert size(MemoryFusionNetwork([300, 5, 20], sizes, 1)) == 1_693_425


def test_parameters_of_mult_in_its_reference():
    network = MultimodalTransformer([300, 74, 35], width=30, layers=5, heads=5, outputs=1)
    assert size(network) == 1_073_731
    c, d = 180, 30
    formula = d * 409 + 6 * encoder_parameters(d, 5) + 3 * encoder_parameters(2 * d, 5) + 2 * (c * c + c) + c + 1
    assert formula == 1_073_731


def test_crossmodal_layer_with_itself_is_torchs_encoder_layer():
    ours, theirs, x = CrossmodalLayer(8, 2), nn.TransformerEncoderLayer(8, 2, 32, 0.0, norm_first=True), whole(3, 5, 8)
    attention = theirs.self_attn
    attention.in_proj_weight.data = torch.cat((ours.query.weight.data, ours.key_value.weight.data))
    attention.in_proj_bias.data = torch.cat((ours.query.bias.data, ours.key_value.bias.data))
    attention.out_proj.load_state_dict(ours.answer.state_dict())
    theirs.linear1.load_state_dict(ours.hidden.state_dict())
    theirs.linear2.load_state_dict(ours.project.state_dict())
    expected = theirs(x.values.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(ours(x.values, x.values, x.mask), expected, atol=1e-5, rtol=1e-5)


def test_crossmodal_transformer_finds_what_is_far_apart():
    """A token of one sequence changes the answer to another's, wherever both stand."""
    operator, (a, b) = operators["crossmodal_transformer"](2, 8), (whole(2, 3, 8), whole(2, 6, 8))
    moved = b._replace(values=b.values.flip(1))
    torch.testing.assert_close(operator([a, b]).values, operator([a, moved]).values, atol=1e-5, rtol=1e-5)


def test_ctc_loss_agrees_with_torch():
    shares = torch.randn(3, 6, 5).log_softmax(-1)
    frames, words = torch.ones(3, 6, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool)
    expected = nn.CTCLoss(reduction="none")(
        shares.transpose(0, 1), torch.arange(1, 5).repeat(3, 1), torch.full((3,), 6), torch.full((3,), 4)
    )
    torch.testing.assert_close(ctc_loss(shares, frames, words), (expected / 6).mean())


def test_ctc_loss_does_not_count_padding():
    shares = torch.randn(1, 4, 3)
    kept = shares.log_softmax(-1)
    # Padding between: frame 2 of 5, word 1 of 3; a masked word has no share.
    wide = torch.cat((kept[:, :1], torch.zeros(1, 1, 3), kept[:, 1:]), 1)
    wide = torch.cat((wide[..., :1], torch.full((1, 5, 1), -1e30), wide[..., 1:]), -1)
    frames, words = torch.tensor([[True, False, True, True, True]]), torch.tensor([[False, True, True]])
    all_of = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(ctc_loss(wide, frames, words), ctc_loss(kept, all_of, all_of[:, :2]))


def test_ctc_loss_of_what_cannot_be_aligned_is_nothing():
    shares = torch.randn(2, 3, 6, requires_grad=True)
    frames, words = torch.tensor([[True, True, True], [False] * 3]), torch.ones(2, 5, dtype=torch.bool)
    loss = ctc_loss(shares.log_softmax(-1), frames, words)
    loss.backward()
    assert loss == 0 and not shares.grad.any()


def test_ctc_alignment_trains_its_alignment_and_shows_it_nowhere():
    operator, inputs = operators["ctc_alignment"](2, 8), [whole(4, 3, 8), whole(4, 6, 8)]
    evaluated = operator.eval()(inputs).values
    trained = operator.train()(inputs).values
    torch.testing.assert_close(trained, evaluated, atol=0, rtol=0)
    (trained * 0).sum().backward()  # no other loss: what is left is the gradient of the alignment
    gradient = operator.keys[0].weight.grad
    states = operator.frames[0](inputs[1].values, inputs[1].mask)[0]
    scores = operator.keys[0](states) @ operator.query(inputs[0].values).transpose(1, 2) / 8**0.5
    shares = torch.cat((operator.blanks[0](states), scores), -1).log_softmax(-1)
    (expected,) = torch.autograd.grad(
        WEIGHT * ctc_loss(shares, inputs[1].mask, inputs[0].mask), operator.keys[0].weight
    )
    torch.testing.assert_close(gradient, expected)


def test_ctc_alignment_deals_frames_to_the_words_that_they_match():
    shares, frames = torch.full((1, 4, 3), -30.0), torch.randn(1, 4, 8)
    for frame, word in enumerate([1, 1, 0, 2]):  # the third is a blank
        shares[0, frame, word] = 0
    means = dealt_means(shares, frames, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(means[0], torch.stack([frames[0, :2].mean(0), frames[0, 3]]))
