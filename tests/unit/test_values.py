"""Learning values: targets against slow twins, passes against one another, and small mazes against
their exact solution."""

import itertools
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from learners.algorithms.base import OldOutputs, TargetConfig, ValueGuidance
from learners.algorithms.bins import clipped_targets
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.offline.mc import MC
from learners.algorithms.online.ppo import PPO
from learners.algorithms.returns import lambda_returns, per_step, reward_to_go
from learners.batch import Batch
from learners.collate import collate
from learners.micro_batch import micro_batches
from learners.networks.guidance import guided_logits
from learners.networks.heads import Head
from learners.networks.hl_gauss import (
    BinnedValueHead,
    bin_edges,
    target_distribution,
)
from learners.networks.hl_gauss import cross_entropy as hl_cross_entropy
from learners.networks.outputs import Inputs
from learners.networks.target import Target, bootstrap_columns
from learners.networks.values import ValueNetwork, ValueOutputs
from lmrl.errors import UsageError
from lmrl.tasks.maze.grid import MOVES, grid
from lmrl.trajectory import NO_FLOATS, NO_IDS, TERMINATED, TRUNCATED, Trajectory, Turn

seeds = pytest.mark.parametrize("seed", range(5))


# -- targets --------------------------------------------------------------------------------------


def random_links(seed: int, count: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rewards, successors and turn ends of a few random episodes: N, then bootstraps."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.choice(np.arange(1, count - 1), 3, replace=False))
    follow = np.arange(1, count + 1)
    follow[[*ends, count - 1]] = [-1, count, -1, count + 1]
    turn_end = rng.random(count) < 0.4
    turn_end[[*ends, count - 1]] = True
    return rng.normal(size=count), follow, turn_end


def lambda_twin(
    n: int, value: Any, reward: Any, follow: Any, discount: Any, decay: Any, count: int
) -> float:
    """Return the λ-return of one entry by its definition: a weighted mean of n-step returns."""
    total, weight, scale, at, gathered = 0.0, 1.0, 1.0, n, 0.0
    while True:
        gathered += scale * reward[at]
        scale *= discount[at]
        after = follow[at]
        bootstrap = 0.0 if after < 0 else value[after]
        if after < 0 or after >= count:
            return total + weight * (gathered + scale * bootstrap)
        total += weight * (1.0 - decay[at]) * (gathered + scale * bootstrap)
        weight *= decay[at]
        at = after


@seeds
@pytest.mark.parametrize("lam", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("credit", ["token", "turn"])
def test_lambda_returns_are_weighted_means_of_n_step_returns(
    seed: int, lam: float, credit: Any
) -> None:
    reward, follow, turn_end = random_links(seed)
    count = len(reward)
    value = np.random.default_rng(seed + 99).normal(size=count + 2)
    discount, decay = per_step(0.9, turn_end, credit), per_step(lam, turn_end, credit)
    found = lambda_returns(value, reward, follow, discount, decay)
    twin = [lambda_twin(n, value, reward, follow, discount, decay, count) for n in range(count)]
    np.testing.assert_allclose(found, twin, rtol=1e-12, atol=1e-12)
    if lam == 1.0:
        np.testing.assert_allclose(
            found, reward_to_go(reward, follow, discount, value[count:]), rtol=1e-12
        )


def test_a_nucleus_keeps_what_the_start_policy_finds_likely() -> None:
    base = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    q = torch.tensor([[[0.0, 1.0, 9.0, 99.0]], [[1.0, 0.0, 99.0, 99.0]]])
    open_ = guided_logits(base, list(q), ValueGuidance(2, "mlp", 1.0, 2.0))
    torch.testing.assert_close(open_, base + 2.0 * torch.tensor([[0.0, 0.0, 9.0, 99.0]]))
    for mass, kept in ((0.4, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3), (0.99, 4)):
        inside = guided_logits(base, list(q), ValueGuidance(2, "mlp", 1.0, 2.0, mass)).isfinite()
        assert inside.tolist() == [[True] * kept + [False] * (4 - kept)], mass


# -- values as distributions ----------------------------------------------------------------------


def test_targets_of_bins_are_a_gaussians_mass() -> None:
    edges = bin_edges(-10.0, 0.0, 20)
    bin_width = float(edges[1] - edges[0])
    assert float(edges[0]) == pytest.approx(-10.0 - 3 * 0.75 * bin_width)
    assert float(edges[-1]) == pytest.approx(3 * 0.75 * bin_width)
    y = torch.tensor([-9.7, -5.0, -0.2, -77.0], dtype=torch.float64)
    found = target_distribution(y, edges)
    fine = torch.linspace(float(edges[0]), float(edges[-1]), 200_001, dtype=torch.float64)
    for row, centre in zip(found, [-9.7, -5.0, -0.2, -10.0], strict=True):
        density = torch.exp(-0.5 * ((fine - centre) / (0.75 * bin_width)) ** 2)
        mass = torch.stack(
            [density[(fine >= a) & (fine < b)].sum() for a, b in itertools.pairwise(edges)]
        )
        torch.testing.assert_close(row, mass / mass.sum(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bins", [8, 50, 101])
def test_bins_hold_every_value_between_the_bounds_and_the_bounds_themselves(bins: int) -> None:
    edges = bin_edges(-100.0, 0.0, bins).double()
    centres = (edges[1:] + edges[:-1]) / 2.0
    y = torch.tensor([-100.0, -99.0, -50.0, -0.5, 0.0], dtype=torch.float64)
    read = target_distribution(y, edges) @ centres
    torch.testing.assert_close(read, y, atol=0.01 * float(edges[1] - edges[0]), rtol=0)
    head = BinnedValueHead(3, 0.0, -100.0, 0.0, bins)
    first = head.value(head(torch.zeros(1, 3))).item()
    assert first == pytest.approx(0.0, abs=0.01 * float(edges[1] - edges[0]))
    outside = torch.tensor([-101.0, -100.0, 0.0, 0.1, float("inf")])
    assert int(clipped_targets(outside, (-100.0, 0.0))) == 3


@pytest.mark.parametrize("algorithm", [PPO, ILQL])
@pytest.mark.parametrize(
    ("bins", "bounds", "field"),
    [(50, None, "value_bounds"), (50, (0.0, -1.0), "value_bounds"), (5, (-1.0, 0.0), "value_bins")],
)
def test_bins_without_a_range_are_refused(
    algorithm: Any, bins: int, bounds: Any, field: str
) -> None:
    with pytest.raises(UsageError, match=f"algorithm.{field}"):
        algorithm(value_bins=bins, value_bounds=bounds)


def test_a_binned_critic_starts_at_its_value_and_learns_a_mean() -> None:
    torch.manual_seed(0)
    head = BinnedValueHead(3, -30.0, -100.0, 0.0, 50)
    states = torch.eye(3)[:2]
    torch.testing.assert_close(head.value(head(states)), torch.full((2,), -30.0), atol=0.2, rtol=0)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.1)
    edges = bin_edges(-100.0, 0.0, 50)
    y = torch.tensor([-80.0, -5.5])
    for _ in range(300):
        optimiser.zero_grad()
        hl_cross_entropy(head(states), y, edges).sum().backward()
        optimiser.step()
    torch.testing.assert_close(head.value(head(states)), y, atol=0.5, rtol=0)


# -- passes ---------------------------------------------------------------------------------------


class Trunk(nn.Module):
    """A causal trunk: a running sum of embeddings, squashed."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        return torch.tanh(self.embedding(tokens).cumsum(1))


def network(seed: int, vocabulary: int = 9, heads: int = 2, nll: bool = True) -> ValueNetwork:
    """Return a small value network with random weights."""
    torch.manual_seed(seed)
    made = ValueNetwork(
        Trunk(vocabulary, 6), heads, 6, vocabulary, -1.0, "mlp", 2.0, True, nll, chunk=5
    ).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def episode(rng: np.random.Generator, markov: bool) -> Trajectory:
    """Return a random episode with or without a history."""

    def ids() -> Any:
        return rng.integers(1, 9, rng.integers(1, 4)).astype(np.int32)

    turns = tuple(
        Turn(
            "", ids(), 1 if markov else 2 * i + 1, "", ids(), NO_FLOATS, NO_IDS, float(rng.normal())
        )
        for i in range(int(rng.integers(1, 6)))
    )
    turns = tuple(
        replace(
            t,
            logprobs=np.zeros(len(t.action_ids), np.float32),
            versions=np.zeros(len(t.action_ids), np.int32),
        )
        for t in turns
    )
    ending = TERMINATED if rng.random() < 0.5 else TRUNCATED
    span = 1 if markov else 2 * len(turns) + 1
    return Trajectory("made-up", {}, 0, turns, ending, "", ids(), span)


def gradients(
    algorithm: ILQL, batch: Batch, net: ValueNetwork, target: Target, budget: int
) -> tuple[float, list[Tensor]]:
    """Return loss and gradients of a batch in passes of `budget` tokens, as the learner does it."""
    passes = micro_batches(batch, budget=budget)
    none = np.zeros(batch.entries)
    old = OldOutputs(none[: batch.actions], none, none[: batch.actions], none[None][:0])
    if len(passes) > 1 or algorithm.evaluates(algorithm.start_state()):
        value, target_q = none.copy(), np.zeros((2, batch.entries))
        for micro in passes:
            inputs = Inputs.of(micro)
            slow = target.values(inputs, net)
            value[micro.entry] = (slow.v if target.with_v else net(inputs).v.detach()).numpy()
            target_q[:, micro.entry] = slow.q.numpy()
        old = replace(old, value=value, target_q=target_q)
    columns, *_ = algorithm.prepare(batch, old, None, algorithm.start_state())  # type: ignore[arg-type]
    total = 0.0
    net.zero_grad()
    for micro in passes:
        inputs = Inputs.of(micro)
        out, after = bootstrap_columns(batch, micro, inputs, net(inputs), old, target, net)
        acts = micro.entry[micro.entry < batch.actions]
        targets = {k: torch.as_tensor(np.asarray(c)[acts]).double() for k, c in columns.items()}
        terms = algorithm.loss(out, targets | {k: v.double() for k, v in after.items()}, 7.0)
        terms.loss.backward()
        total += terms.loss.item()
    return total, [p.grad.clone() for p in net.parameters() if p.grad is not None]


@seeds
@pytest.mark.parametrize("markov", [True, False])
@pytest.mark.parametrize(
    "changes", [{}, {"credit": "token"}, {"lam": 0.5}, {"cql_weight": 0.0}, {"target_v": False}]
)
def test_many_passes_give_the_gradient_of_one(
    seed: int, markov: bool, changes: dict[str, Any]
) -> None:
    rng = np.random.default_rng(seed)
    batch = collate([episode(rng, markov) for _ in range(6)])
    algorithm = ILQL(**changes)
    net, slow = network(seed), network(seed + 1)
    net.nll = algorithm.cql_weight > 0
    target = Target(net, algorithm.target_config)
    target.network = slow.requires_grad_(False)
    whole, one = gradients(algorithm, batch, net, target, 10**6)
    parts, many = gradients(algorithm, batch, net, target, 12)
    assert len(micro_batches(batch, budget=12)) > 1
    assert parts == pytest.approx(whole, rel=1e-5)  # values of other passes travel as float32
    for a, b in zip(one, many, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_target_follows_and_keeps_small_steps() -> None:
    net = network(0)
    target = Target(net, TargetConfig(0.25))
    before = [p.clone() for p in target.network.parameters()]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    target.follow(net)
    for old, new in zip(before, target.network.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
    hard = Target(net, TargetConfig(0.0, hard_every=2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    hard.follow(net)
    assert not torch.equal(hard.network.v_head.bias, net.v_head.bias)
    hard.follow(net)
    torch.testing.assert_close(hard.network.v_head.bias, net.v_head.bias)


def test_a_target_shares_what_is_frozen_unless_it_will_be_sharded() -> None:
    net = network(0)
    net.freeze_trunk()
    target = Target(net, TargetConfig(0.25))
    shared = {id(p) for p in net.parameters()} & {id(p) for p in target.network.parameters()}
    assert shared == {id(p) for p in net.trunk.parameters()}
    with torch.no_grad():
        net.v_head.bias.add_(1.0)
    expected = target.network.v_head.bias + 0.25
    target.follow(net)
    torch.testing.assert_close(target.network.v_head.bias, expected)
    state = target.state()
    assert not any(name.startswith("trunk.") for name in state["weights"])
    other = Target(net, TargetConfig(0.25), sharded=True)
    assert not {id(p) for p in net.parameters()} & {id(p) for p in other.network.parameters()}
    other.restore(state)
    torch.testing.assert_close(other.network.v_head.bias, expected)


def test_a_head_reads_single_columns_as_it_reads_all() -> None:
    torch.manual_seed(0)
    head = Head(4, 7, -3.0, "mlp", scale=2.0)
    states, tokens = torch.randn(5, 4), torch.tensor([0, 6, 3, 3, 1])
    assert torch.equal(head(states)[0], torch.full((5, 7), -3.0))  # every value starts the same
    with torch.no_grad():
        head.weight.normal_()
    everything = head(states)[0]
    torch.testing.assert_close(head(states, tokens)[0], everything[torch.arange(5), tokens])


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_cross_entropy_is_that_of_all_values_with_its_gradient(
    chunk: int, scale: float
) -> None:
    torch.manual_seed(0)
    head = Head(4, 7, -3.0, "mlp", scale).double()
    with torch.no_grad():
        head.weight.normal_()
    states = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    tokens, counts = torch.tensor([0, 6, 3, 3, 1]), torch.tensor([1.0, 0.0, 2.0, 5.0, 1.0])
    weights = torch.randn(5, dtype=torch.float64)
    leaves = [states, *head.parameters()]

    def gradient(taken: Tensor, nll: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad((weights * taken).sum() + 0.3 * nll, leaves))

    everything = head(states)[0]
    cost = nn.functional.cross_entropy(everything, tokens, reduction="none")
    expected = gradient(everything[torch.arange(5), tokens], (counts * cost).sum())
    taken, nll = head(states, tokens, counts, chunk)
    torch.testing.assert_close(nll, (counts * cost).sum())
    for found, right in zip(gradient(taken, nll), expected, strict=True):
        torch.testing.assert_close(found, right)


# -- a small maze, exactly ------------------------------------------------------------------------

GRID = grid("umaze")
GAMMA = 0.9
SAME, STOP = len(MOVES), len(MOVES) + 1
"""Tokens of an action beside its move: every action begins with one and ends with the other, as
`move left` does."""


class Table(nn.Module):
    """A trunk whose hidden state is the turn's observation and the newest token, one-hot: linear
    heads become tables."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.width = cells * (1 + 3 * len(MOVES))

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        cell, last = tokens[:, :1], tokens.shape[1] - 1
        # Place 0 is the observation, 1 the shared token, then the moves, then the moves' ends.
        move = tokens[:, min(2, last) :][:, :1] % len(MOVES)
        places = [torch.zeros_like(cell), torch.ones_like(cell), 2 + move, 2 + len(MOVES) + move]
        place = torch.cat(places, 1)[:, : tokens.shape[1]]
        return nn.functional.one_hot(cell * (1 + 3 * len(MOVES)) + place, self.width).double()


def turn_of(cell: Any, move: str, tokens: int) -> tuple[Turn, Any]:
    """Return a turn of one token (the move) or three (shared, move, end), and the cell after it."""
    after = GRID.move[cell, move]
    number = list(MOVES).index(move)
    action = np.array([number] if tokens == 1 else [SAME, number, STOP], np.int32)
    state = np.array([GRID.cells.index(cell)], np.int32)
    reward = 0.0 if after == GRID.goal else -1.0
    zero = np.zeros(len(action), np.int32)
    return Turn("", state, 1, "", action, zero.astype(np.float32), zero, reward), after


def walk(cell: Any, first: str, tokens: int) -> Trajectory:
    """Return the episode that begins with a move and goes on to the goal the shortest way."""
    turns: list[Turn] = []
    move = first
    while cell != GRID.goal:
        turn, cell = turn_of(cell, move, tokens)
        turns.append(turn)
        move = GRID.best_moves(cell, GRID.goal)[0] if cell != GRID.goal else ""
    final = np.array([GRID.cells.index(cell)], np.int32)
    return Trajectory("umaze", {}, 0, tuple(turns), TERMINATED, "", final, 1)


def step_of(cell: Any, move: str, tokens: int) -> Trajectory:
    """Return one transition; what follows is left to a bootstrap."""
    turn, after = turn_of(cell, move, tokens)
    final = np.array([GRID.cells.index(after)], np.int32)
    ending = TERMINATED if after == GRID.goal else TRUNCATED
    return Trajectory("umaze", {}, 0, (turn,), ending, "", final, 1)


def fixed_point(tau: float) -> dict[Any, float]:
    """Return the value of every cell if the data take each move once: the expectile of the values
    of its moves; 1 is the optimum."""
    values = dict.fromkeys(GRID.cells, 0.0)
    for _ in range(300):
        for cell in GRID.starts:
            moves = [one_step(values, cell, move) for move in MOVES]
            values[cell] = max(moves) if tau == 1.0 else expectile(moves, tau)
    return values


def one_step(values: dict[Any, float], cell: Any, move: str) -> float:
    after = GRID.move[cell, move]
    return 0.0 if after == GRID.goal else -1.0 + GAMMA * values[after]


def expectile(values: list[float], tau: float) -> float:
    """Return the number at which weighted distances to both sides are level, by bisection."""
    low, high = min(values), max(values)
    for _ in range(60):
        middle = (low + high) / 2
        pull = sum((tau if q >= middle else 1.0 - tau) * (q - middle) for q in values)
        low, high = (middle, high) if pull > 0 else (low, middle)
    return low


def learned(algorithm: Any, data: list[Trajectory], steps: int = 1500) -> ValueNetwork:
    """Return tables that an algorithm learns from all of the data in every step."""
    # Numbers that bootstrap from one another overshoot at the rate that suits the others.
    rate = 0.02 if isinstance(algorithm, ILQL) and not algorithm.value_bins else 0.05
    batch = collate(data)
    trunk = Table(len(GRID.cells))
    heads = 1 if isinstance(algorithm, MC) else 2
    bins = 0 if isinstance(algorithm, MC) else algorithm.value_bins
    bounds = algorithm.value_bounds if bins else (-1.0, 1.0)
    net = ValueNetwork(
        trunk,
        heads,
        trunk.width,
        STOP + 1,
        -5.0,  # near the lowest value: a high expectile comes down from above very slowly
        "linear",
        1.0,
        heads == 2,
        nll=False,
        bins=bins,
        bounds=bounds,
    ).double()
    target = Target(net, algorithm.target_config) if algorithm.target_config else None
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    (micro,) = micro_batches(batch)
    inputs = Inputs.of(micro)
    none, state = np.zeros(batch.entries), algorithm.start_state()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1.0 - step / steps)
        out = net(inputs)
        target_q = none[None][:0]
        if algorithm.evaluates(state):
            assert target is not None
            target_q = target.values(inputs, net).q.numpy()
        old = OldOutputs(
            none[: batch.actions], out.v.detach().numpy(), none[: batch.actions], target_q
        )
        columns, _, state = algorithm.prepare(batch, old, None, state)
        targets = {k: torch.as_tensor(np.asarray(c)).double() for k, c in columns.items()}
        if target is not None:
            out, after = bootstrap_columns(batch, micro, inputs, out, old, target, net)
            targets |= {k: v.double() for k, v in after.items()}
        terms = algorithm.loss(out, targets, float(batch.actions))
        optimiser.zero_grad()
        terms.loss.backward()
        optimiser.step()
        if target is not None:
            target.follow(net)
    return net


@torch.no_grad()
def q_of(net: ValueNetwork, tokens: int) -> np.ndarray:
    """Return the smaller Q of every start cell and move, at the token that decides `[S, moves]`."""
    rows = [[GRID.cells.index(cell), *([SAME] if tokens == 3 else [])] for cell in GRID.starts]
    states = cast(Table, net.trunk).trunk(torch.tensor(rows))[:, -1]
    q = torch.stack([head(states)[0] for head in net.q_heads]).amin(0)
    return q[:, : len(MOVES)].numpy()


SMALL = ILQL(gamma=GAMMA, tau=0.8, cql_weight=0.0, polyak=0.5, head="linear")


@pytest.mark.parametrize(
    ("algorithm", "tokens"),
    [
        (SMALL, 1),
        (SMALL, 3),
        (replace(SMALL, tau=0.5), 3),
        (replace(SMALL, lam=0.5), 3),
        (replace(SMALL, mc_updates=20), 3),
        (replace(SMALL, value_bins=41, value_bounds=(-10.0, 0.5)), 3),
        (MC(gamma=GAMMA, cql_weight=0.0, head="linear"), 3),
    ],
    ids=["one token", "ilql", "mean", "td-lambda", "returns first", "hl-gauss", "mc"],
)
def test_the_values_of_a_small_maze_are_those_of_its_fixed_point(
    algorithm: Any, tokens: int
) -> None:
    """Also where all actions begin and end alike, so that only one token of three decides: with
    one bootstrap a turn the expectile would do nothing there, and the mean would come out."""
    mc = isinstance(algorithm, MC)
    make_one = walk if mc else step_of
    net = learned(algorithm, [make_one(c, m, tokens) for c in GRID.starts for m in MOVES])
    values = fixed_point(1.0 if mc else algorithm.tau)
    expected = np.array([[one_step(values, cell, move) for move in MOVES] for cell in GRID.starts])
    found = q_of(net, tokens)
    np.testing.assert_allclose(found, expected, atol=0.15)
    for cell, row in zip(GRID.starts, found, strict=True):
        assert list(MOVES)[int(row.argmax())] in GRID.best_moves(cell, GRID.goal)


def test_first_updates_regress_to_the_returns_of_the_data() -> None:
    """Each token of a turn to the same return, then to the value of the next token."""
    algorithm = replace(SMALL, mc_updates=2)
    batch = collate([walk(GRID.starts[0], "move up\n", 3)])
    old = OldOutputs(*[np.full(batch.actions, -9.0)] * 3, np.zeros((2, batch.actions)))
    state = algorithm.start_state()
    discount = per_step(GAMMA, batch.turn_end, "turn")
    returns = reward_to_go(batch.reward, batch.next, discount)
    for _ in range(2):
        assert algorithm.evaluates(state)
        columns, _, state = algorithm.prepare(batch, old, None, state)  # type: ignore[arg-type]
        np.testing.assert_allclose(columns["y"], returns)
    assert not algorithm.evaluates(state)
    columns, *_ = algorithm.prepare(batch, old, None, state)  # type: ignore[arg-type]
    assert set(columns) == {"reward", "discount"}


def test_targets_stay_within_the_range_of_returns() -> None:
    """A network that says +9 where no return exceeds 0 is not believed."""
    batch = collate([step_of(GRID.starts[0], "move up\n", 3)])
    bounded = replace(SMALL, value_bounds=(-10.0, 0.0))
    out = ValueOutputs(torch.zeros(2, 3), torch.zeros(2), torch.zeros(3))
    columns, *_ = bounded.prepare(batch, OldOutputs(*[np.zeros(3)] * 3, np.zeros((0, 3))), None, {})  # type: ignore[arg-type]
    targets = {k: torch.as_tensor(np.asarray(c)) for k, c in columns.items()}
    after = {"v_next": torch.tensor([9.0, -99.0, 9.0]), "target_q": torch.zeros(2, 3)}
    terms = bounded.loss(out, targets | after, 1.0)
    assert terms.sums["y"].item() == 0.0 - 10.0 + 0.0
    with pytest.raises(UsageError, match=r"value_bounds 0, -1: give the lower one first"):
        ILQL(value_bounds=(0.0, -1.0))


def test_a_following_state_that_is_missing_is_an_error() -> None:
    """A cut episode goes on in a segment of its own; a pass without it cannot say its value."""
    batch = collate([step_of(GRID.starts[0], "move up\n", 3)])
    assert batch.segment_turns.tolist() == [1, 0]
    trunk = Table(len(GRID.cells))
    net = ValueNetwork(
        trunk, 2, trunk.width, STOP + 1, -3.0, "linear", 1.0, with_v=True, nll=False
    ).double()
    target = Target(net, SMALL.target_config)
    old = OldOutputs(*[np.zeros(3)] * 3, np.zeros((0, 3)))

    def passed(segments: np.ndarray) -> dict[str, Tensor]:
        (micro,) = micro_batches(batch, segments)
        inputs = Inputs.of(micro)
        return bootstrap_columns(batch, micro, inputs, net(inputs), old, target, net)[1]

    assert passed(np.array([0, 1]))["v_next"].tolist() == [-3.0, -3.0, -3.0]
    with pytest.raises(LookupError, match="1 following states are not in the pass"):
        passed(np.array([0]))


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("credit", ["turn", "token"])
def test_the_rest_of_a_cut_episode_is_its_mean_turn_for_ever(tokens: int, credit: Any) -> None:
    """Against the same episode with ten thousand more turns."""

    def played(turns: int, ending: str) -> Trajectory:
        one = step_of(GRID.starts[0], "move up\n", tokens)
        turn = replace(one.turns[0], reward=-1.0)
        return replace(one, turns=(turn,) * turns, ending=ending)

    algorithm = MC(gamma=0.99, credit=credit, endless=True)
    cut, long = (collate([played(n, e)]) for n, e in ((4, TRUNCATED), (4000, TERMINATED)))
    none = OldOutputs(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    found, expected = (algorithm.prepare(b, none, None, {})[0]["returns"] for b in (cut, long))  # type: ignore[arg-type]
    np.testing.assert_allclose(found[: 4 * tokens], expected[: 4 * tokens], rtol=1e-6)


def test_an_endless_rest_needs_a_discount() -> None:
    with pytest.raises(UsageError, match=r"endless with algorithm.gamma 1 makes the return"):
        MC(gamma=1.0, endless=True)
