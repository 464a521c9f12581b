"""Q-SFT: its loss and maximum against slow twins, and a small maze against its fixed point."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from learners.algorithm import Now
from learners.batch import collate, micros
from learners.guided import combine, ratios
from learners.learner import Group
from learners.model import CausalLM, Inputs
from learners.qsft import QSFT, LikelihoodNetwork, qsft_terms
from learners.values import Target, following
from lmrl.errors import UsageError
from lmrl.tasks.maze import MOVES, grid
from lmrl.trajectory import NO_IDS, TERMINATED, TRUNCATED, Trajectory, Turn

GRID = grid("umaze")
SIZE = len(GRID.cells)


class Table(CausalLM):
    """A language model whose logits are a table of the newest token's."""

    def __init__(self, logits: Tensor) -> None:
        tokens, outputs = logits.shape
        embedding = nn.Linear(tokens, outputs, bias=False).double()
        embedding.weight = nn.Parameter(logits.T.clone())
        config = SimpleNamespace(tie_word_embeddings=False)
        super().__init__(SimpleNamespace(get_output_embeddings=lambda: embedding, config=config))
        self.embedding = embedding

    def trunk(self, tokens: Tensor) -> Tensor:
        return nn.functional.one_hot(tokens, self.embedding.weight.shape[1]).double()

    def head(self, states: Tensor) -> Tensor:
        logits: Tensor = self.embedding(states)
        return logits


def inputs_of(batch: Any, budget: int = 10**6) -> list[tuple[Any, Inputs]]:
    return [
        (micro, Inputs(*(torch.as_tensor(getattr(micro, f)) for f in Inputs._fields)))
        for micro in micros(batch, budget=budget)
    ]


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
    now = Now(none[: batch.actions], none, none[: batch.actions], none[None][:0])
    if len(passes) > 1:
        rows = np.zeros((1, batch.entries))
        for micro, inputs in passes:
            rows[:, micro.entry] = target.values(inputs, net).numpy()
        now = replace(now, target_q=rows)
    columns, *_ = algorithm.prepare(batch, now, Group(0, 1, "cpu"), {})
    net.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for micro, inputs in passes:
        out, after = following(batch, micro, inputs, net(inputs), now, target, net)
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
    net = LikelihoodNetwork(Table(base), algorithm.support, chunk=3).double()
    data = []
    for number in range(5):
        turns = tuple(
            turn(int(rng.integers(size)), rng.integers(size, size=k).tolist(), float(-rng.random()))
            for k in rng.integers(1, 4, size=rng.integers(1, 4))
        )
        ending, final = (TERMINATED, NO_IDS) if number % 2 else (TRUNCATED, np.array([3], np.int32))
        data.append(Trajectory("made-up", {}, 0, turns, ending, "", final, len(final)))
    batch = collate(data)
    target = Target(net, algorithm.follows, reference)
    with torch.no_grad():
        target.network.double().q_heads[0].weight.copy_(slow.T)

    weight = net.q_heads[0].weight.detach().clone().requires_grad_()
    logp = weight.T.log_softmax(-1)
    ratio = slow.softmax(-1) / base.softmax(-1)
    total = torch.zeros((), dtype=torch.float64)
    for episode in data:
        for index, now in enumerate(episode.turns):
            after = None
            if index + 1 < len(episode.turns):
                after = int(episode.turns[index + 1].observation_ids[0])
            elif episode.ending == TRUNCATED:
                after = 3
            y = now.reward
            if after is not None:
                likely = base[after].softmax(-1)
                best = max(
                    float(ratio[after, a])
                    for a in range(size)
                    if likely[a] >= algorithm.support * likely.max()
                )
                y += 0.9 * (-5.0 + 5.0 * min(best, 1.0))
            w = min(max((y + 5.0) / 5.0, 0.0), 1.0)
            context = int(now.observation_ids[0])
            for token in now.action_ids.tolist():
                for b in range(size):
                    share = w if b == token else (1.0 - w) / (size - 1)
                    total = total - share * logp[context, b] / 5.0
                context = token
    (expected,) = torch.autograd.grad(total, weight)
    for budget in (10**6, 4):
        found, gradients = step_of(algorithm, batch, net, target, budget)
        torch.testing.assert_close(found, total.detach(), rtol=1e-5, atol=1e-7)
        heads = [g for g in gradients if g.shape == expected.shape and g.abs().sum() > 0]
        torch.testing.assert_close(heads[0], expected, rtol=1e-4, atol=1e-6)
    assert len(inputs_of(batch, 4)) > 1


def test_weight_one_is_cloning() -> None:
    logp = torch.randn(4, 6).log_softmax(-1)
    others = (logp.sum(-1) - logp[:, 2]) / 5
    assert torch.equal(qsft_terms(logp[:, 2], others, torch.ones(4)), -logp[:, 2])
    assert torch.equal(qsft_terms(logp[:, 2], others, torch.zeros(4)), -others)


def test_a_small_maze_reaches_its_fixed_point_and_the_best_moves() -> None:
    """The data take every move once from every cell; p / π has to be what iterating says."""
    low, gamma = -8.0, 0.9
    moves = list(MOVES)
    base = torch.full((SIZE, SIZE), -8.0, dtype=torch.float64)
    base[:, : len(moves)] = 0.0
    data = []
    for cell in GRID.starts:
        for number, move in enumerate(moves):
            after = GRID.move[cell, move]
            done = after == GRID.goal
            turns = (turn(GRID.cells.index(cell), [number], 0.0 if done else -1.0),)
            final = NO_IDS if done else np.array([GRID.cells.index(after)], np.int32)
            ending = TERMINATED if done else TRUNCATED
            data.append(Trajectory("umaze", {}, 0, turns, ending, "", final, len(final)))
    batch = collate(data)

    share = 1.0 / len(moves)
    ratio = np.ones((SIZE, len(moves)))
    for _ in range(300):  # the twin: the fixed point of targets and shared rests
        w = np.zeros_like(ratio)
        for cell in GRID.starts:
            for number, move in enumerate(moves):
                after = GRID.move[cell, move]
                best = (
                    0.0
                    if after == GRID.goal
                    else low * (1.0 - min(ratio[GRID.cells.index(after)].max(), 1.0))
                )
                reward = 0.0 if after == GRID.goal else -1.0
                w[GRID.cells.index(cell), number] = min(
                    max((reward + gamma * best - low) / -low, 0.0), 1.0
                )
        rest = (1.0 - w).sum(-1, keepdims=True) - (1.0 - w)
        ratio = (share * w + share * rest / (SIZE - 1)) / share

    algorithm = QSFT(gamma=gamma, lowest=low, support=0.1, polyak=0.2)
    net = LikelihoodNetwork(Table(base), algorithm.support).double()
    target = Target(net, algorithm.follows, Table(base))
    target.network.double()
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.05)
    for step in range(400):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1.0 - step / 400)
        step_of(algorithm, batch, net, target)
        optimiser.step()
        target.follow(net)
    with torch.no_grad():
        said = net.q_heads[0](torch.eye(SIZE).double())[0]
        found = ratios(said, base)[:, : len(moves)].numpy()
    starts = [GRID.cells.index(cell) for cell in GRID.starts]
    assert np.abs(found - ratio)[starts].max() < 0.01
    for cell in GRID.starts:
        greedy = moves[int(found[GRID.cells.index(cell)].argmax())]
        assert greedy in GRID.best_moves(cell, GRID.goal)


def test_readings_of_a_head() -> None:
    torch.manual_seed(0)
    base, logits = torch.randn(3, 5), torch.randn(3, 5)
    p, pi = logits.softmax(-1), base.softmax(-1)
    torch.testing.assert_close(ratios(logits, base), p / pi)
    supported = ratios(logits, base, 0.5)
    inside = pi >= 0.5 * pi.amax(-1, keepdim=True)
    torch.testing.assert_close(supported, torch.where(inside, p / pi, 0.0))
    torch.testing.assert_close(
        combine(base, [logits], 3.0, 1.0, "ratio"), base + 3.0 * (p / pi).clamp(max=1.0)
    )
    torch.testing.assert_close(combine(base, [logits], 3.0, 1.0, "probability"), base + 3.0 * p)
    same = combine(base, [base], 3.0, 1.0, "ratio").softmax(-1)
    torch.testing.assert_close(same, pi)  # untrained, it samples as the start policy does


def test_a_range_of_values_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"algorithm.lowest 0.0 is not below"):
        QSFT(lowest=0.0, highest=0.0)
