"""Q-SFT: its loss and maximum against slow twins, and a small maze against its fixed point."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from learners.algorithms.base import OldOutputs, ValueGuidance
from learners.algorithms.offline.qsft import QSFT, qsft_terms
from learners.collate import collate
from learners.micro_batch import micro_batches
from learners.networks.causal_lm import CausalLM
from learners.networks.guidance import action_values, guided_logits, likelihoods, ratios
from learners.networks.likelihood import LikelihoodNetwork
from learners.networks.outputs import Inputs
from learners.networks.target import Target, bootstrap_columns
from learners.process_group import TorchProcessGroup
from lmrl.errors import UsageError
from lmrl.tasks.maze.grid import MOVES, grid
from lmrl.trajectory import NO_IDS, TERMINATED, TRUNCATED, Trajectory, Turn

GRID = grid("umaze")
SIZE = len(GRID.cells)


class Table(CausalLM):
    """A language model whose logits are a table of the newest token's."""

    def __init__(self, logits: Tensor) -> None:
        tokens, outputs = logits.shape
        embedding = nn.Linear(tokens, outputs, bias=False).double()
        embedding.weight = nn.Parameter(logits.T.clone())
        super().__init__(
            SimpleNamespace(
                get_output_embeddings=lambda: embedding,
                get_input_embeddings=torch.nn.Identity,
                config=SimpleNamespace(),
            )
        )
        self.embedding = embedding

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        return nn.functional.one_hot(tokens, self.embedding.weight.shape[1]).double()

    def head(self, states: Tensor) -> Tensor:
        logits: Tensor = self.embedding(states)
        return logits


def inputs_of(batch: Any, budget: int = 10**6) -> list[tuple[Any, Inputs]]:
    return [(micro, Inputs.of(micro)) for micro in micro_batches(batch, budget=budget)]


def turn(state: int, action: list[int], reward: float) -> Turn:
    ids = np.array(action, np.int32)
    zeros = np.zeros(len(ids), np.int32)
    here = np.array([state], np.int32)
    return Turn("", here, 1, "", ids, zeros.astype(np.float32), zeros, reward)


def step_of(
    algorithm: QSFT, batch: Any, net: LikelihoodNetwork, target: Target, budget: int = 10**6
) -> tuple[Tensor, list[Tensor]]:
    """Return the loss of a batch and its gradients, as the learner does it."""
    none = np.zeros(batch.entries)
    passes = inputs_of(batch, budget)
    old = OldOutputs(none[: batch.actions], none, none[: batch.actions], none[None][:0])
    if len(passes) > 1:
        rows = np.zeros((1, batch.entries))
        for micro, inputs in passes:
            rows[:, micro.entry] = target.values(inputs, net).q.numpy()
        old = replace(old, target_q=rows)
    columns, *_ = algorithm.prepare(batch, old, TorchProcessGroup(0, 1, "cpu"), {})
    net.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for micro, inputs in passes:
        out, after = bootstrap_columns(batch, micro, inputs, net(inputs), old, target, net)
        acts = micro.entry[micro.entry < batch.actions]
        targets = {k: torch.as_tensor(np.asarray(c)[acts]).double() for k, c in columns.items()}
        loss = algorithm.loss(out, targets | {k: v.double() for k, v in after.items()}, 5.0).loss
        loss.backward()
        total += loss.detach()
    return total, [p.grad.clone() for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradient_are_those_of_a_slow_twin(seed: int) -> None:
    """Turns of several tokens, episodes that ended and that were cut, one pass and many."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    size = 7
    base, slow = (torch.randn(size, size, dtype=torch.float64) for _ in range(2))
    algorithm = QSFT(gamma=0.9, lowest=-5.0, highest=0.0, support=0.2)
    reference = Table(base)
    net = LikelihoodNetwork(Table(base), algorithm.support, mass=0.7, chunk=3).double()
    data = []
    for number in range(5):
        turns = tuple(
            turn(int(rng.integers(size)), rng.integers(size, size=k).tolist(), float(-rng.random()))
            for k in rng.integers(1, 4, size=rng.integers(1, 4))
        )
        ending, final = (TERMINATED, NO_IDS) if number % 2 else (TRUNCATED, np.array([3], np.int32))
        data.append(Trajectory("made-up", {}, 0, turns, ending, "", final, len(final)))
    batch = collate(data)
    target = Target(net, algorithm.target_config, reference)
    rest = float(rng.normal())
    with torch.no_grad():
        target.network.double().q_heads[0].weight[:-1].copy_(slow.T)
        target.network.q_heads[0].bias[-1] = rest

    weight = net.q_heads[0].weight.detach().clone().requires_grad_()
    bias = net.q_heads[0].bias.detach()
    outputs = (weight.T + bias).unbind(0)
    share = 1.0 / (1.0 + np.exp(rest))  # what the slow copy's rest symbol leaves

    def values(state: int) -> list[float]:
        likely, p = base[state].softmax(-1), share * slow[state].softmax(-1)
        best = likely.max()
        return [
            min(float(p[a] / likely[a]), 1.0)
            for a in range(size)
            if likely[a] >= algorithm.support * best
        ]

    total = torch.zeros((), dtype=torch.float64)
    for episode in data:
        steps = []  # state, token, reward, and whether the token ends its turn
        for old in episode.turns:
            context, said = int(old.observation_ids[0]), old.action_ids.tolist()
            for place, token in enumerate(said):
                end = place == len(said) - 1
                steps.append((context, token, old.reward if end else 0.0, end))
                context = token
        states = [state for state, *_ in steps[1:]] + [3 if episode.ending == TRUNCATED else None]
        for (context, token, reward, end), after in zip(steps, states, strict=True):
            y = reward
            if after is not None:
                y += (0.9 if end else 1.0) * (-5.0 + 5.0 * max(values(after)))
            w = min(max((y + 5.0) / 5.0, 0.0), 1.0)
            none = torch.sigmoid(outputs[context][-1])
            p = (1.0 - none) * outputs[context][:-1].softmax(-1)
            total = total - (w * p[token].log() + (1.0 - w) * none.log()) / 5.0
    (expected,) = torch.autograd.grad(total, weight)
    for budget in (10**6, 4):
        found, gradients = step_of(algorithm, batch, net, target, budget)
        torch.testing.assert_close(found, total.detach(), rtol=1e-5, atol=1e-7)
        heads = [g for g in gradients if g.shape == expected.shape and g.abs().sum() > 0]
        torch.testing.assert_close(heads[0], expected, rtol=1e-4, atol=1e-6)
    assert len(inputs_of(batch, 4)) > 1


def test_weight_one_is_cloning_and_weight_zero_is_the_rest() -> None:
    taken, rest = -torch.rand(4), -torch.rand(4)
    assert torch.equal(qsft_terms(taken, rest, torch.ones(4)), -taken)
    assert torch.equal(qsft_terms(taken, rest, torch.zeros(4)), -rest)


def test_likelihoods_of_tokens_and_rest_sum_to_one() -> None:
    outputs = torch.randn(3, 6)
    logp, rest = likelihoods(outputs)
    torch.testing.assert_close(logp.exp().sum(-1) + rest.exp(), torch.ones(3))
    torch.testing.assert_close(rest.exp(), outputs[:, -1].sigmoid())
    torch.testing.assert_close(logp.softmax(-1), outputs[:, :-1].softmax(-1))


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_small_maze_reaches_its_optimum(tokens: int) -> None:
    """The data take every move once from every cell: p is π times the optimal value, and tokens
    that the data never hold have none. Actions of three tokens begin and end alike."""
    low, gamma = -8.0, 0.9
    moves = list(MOVES)
    same, stop = SIZE + 4 * SIZE, SIZE + 4 * SIZE + 1
    # A state's number: the cell, after the shared token the cell again, after a move both.
    states = SIZE + 4 * SIZE + 2 + SIZE
    begun = SIZE + 4 * SIZE + 2

    def action(cell: int, number: int) -> list[int]:
        first = SIZE + 4 * cell + number
        return [first] if tokens == 1 else [begun + cell, first, stop]

    base = torch.full((states, states), -8.0, dtype=torch.float64)
    for cell in range(SIZE):
        deciding = cell if tokens == 1 else begun + cell
        base[deciding, SIZE + 4 * cell : SIZE + 4 * cell + 4] = 0.0
        if tokens == 3:
            base[cell, begun + cell] = 3.0
            base[SIZE + 4 * cell : SIZE + 4 * cell + 4, stop] = 3.0
    data = []
    for place in GRID.starts:
        here = GRID.cells.index(place)
        for number, move in enumerate(moves):
            after = GRID.move[place, move]
            done = after == GRID.goal
            turns = (turn(here, action(here, number), 0.0 if done else -1.0),)
            final = NO_IDS if done else np.array([GRID.cells.index(after)], np.int32)
            ending = TERMINATED if done else TRUNCATED
            data.append(Trajectory("umaze", {}, 0, turns, ending, "", final, len(final)))
    batch = collate(data)
    assert same < begun

    best = np.zeros(SIZE)
    for _ in range(200):  # value iteration
        q = np.full((SIZE, 4), low)
        for place in GRID.starts:
            for number, move in enumerate(moves):
                after = GRID.move[place, move]
                q[GRID.cells.index(place), number] = (
                    0.0 if after == GRID.goal else -1.0 + gamma * best[GRID.cells.index(after)]
                )
        best = q.max(-1)
        best[GRID.cells.index(GRID.goal)] = 0.0

    algorithm = QSFT(gamma=gamma, lowest=low, support=0.1, polyak=0.3, value_start=-4.0)
    net = LikelihoodNetwork(Table(base), algorithm.support, mass=0.5).double()
    target = Target(net, algorithm.target_config, Table(base))
    target.network.double()
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.05)
    steps = 600
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1.0 - step / steps)
        step_of(algorithm, batch, net, target)
        optimiser.step()
        target.follow(net)
    with torch.no_grad():
        outputs = net.q_heads[0](torch.eye(states).double())[0]
        guidance = replace(algorithm, q_from="ratio").guidance
        values = low * (1.0 - action_values(base, [outputs], guidance))
        guided = guided_logits(base, [outputs], replace(guidance, beta=60.0)).softmax(-1)
    for place in GRID.starts:
        here = GRID.cells.index(place)
        deciding = here if tokens == 1 else begun + here
        first = SIZE + 4 * here
        found = values[deciding, first : first + 4].numpy()
        np.testing.assert_allclose(found, q[here], atol=0.25)
        assert moves[int(found.argmax())] in GRID.best_moves(place, GRID.goal)
        # What the start policy never says is not said, however small p / π's denominator.
        assert guided[deciding, first : first + 4].sum() > 0.999


def test_readings_of_a_head() -> None:
    torch.manual_seed(0)
    base, outputs = torch.randn(3, 5), torch.randn(3, 6)
    p, pi = likelihoods(outputs)[0].exp(), base.softmax(-1)
    logp = likelihoods(outputs)[0]
    torch.testing.assert_close(ratios(logp, base), p / pi)
    inside = pi >= 0.5 * pi.amax(-1, keepdim=True)
    torch.testing.assert_close(ratios(logp, base, 0.5), torch.where(inside, p / pi, 0.0))

    def read(q_from: Any, support: float = 0.0) -> Tensor:
        return guided_logits(
            base, [outputs], ValueGuidance(1, "linear", 1.0, 3.0, 1.0, q_from, support)
        )

    torch.testing.assert_close(read("ratio"), base + 3.0 * (p / pi).clamp(max=1.0))
    torch.testing.assert_close(read("probability"), base + 3.0 * p)
    for q_from, value in (("ratio", (p / pi).clamp(max=1.0)), ("probability", p)):
        torch.testing.assert_close(read(q_from, 0.5), base + 3.0 * torch.where(inside, value, 0.0))
    # A network that has not been trained samples as the start policy does, if it weighs the ratio.
    untrained = torch.cat([base, torch.full((3, 1), -2.0)], 1)
    guidance = ValueGuidance(1, "linear", 1.0, 3.0, 1.0, "ratio")
    torch.testing.assert_close(guided_logits(base, [untrained], guidance).softmax(-1), pi)


def test_a_range_of_values_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"algorithm.lowest 0.0 is not below"):
        QSFT(lowest=0.0, highest=0.0)
