"""Tabular policies that learn from the data of the mazes: what clones reach, and what values do."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from lmrl.env import TextEnv
from lmrl.scoring.score import normalised
from lmrl.tasks.maze import Maze
from lmrl.tasks.maze.grid import MOVES
from lmrl.trajectory import TERMINATED, Trajectory

Policy = Callable[[str, random.Random], str]
"""A policy from an observation that stands alone to an action."""


def best_tenth(data: Sequence[Trajectory]) -> list[Trajectory]:
    """Return the tenth of the episodes with the largest returns; of equal ones the first."""
    ordered = sorted(data, key=lambda episode: -episode.total_reward)
    return ordered[: max(1, len(data) // 10)]


def clone(data: Sequence[Trajectory], greedy: bool) -> Policy:
    """Return a policy that acts as the data do where they show an observation, else at random.

    Args:
        data: episodes.
        greedy: whether it takes the commonest action instead of one with the frequency of the data.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for episode in data:
        for turn in _executed(episode):
            counts[turn[0]][turn[1]] += 1
    moves = list(MOVES)

    def act(observation: str, rng: random.Random) -> str:
        known = counts.get(observation)
        if not known:
            return rng.choice(moves)
        if greedy:
            return max(known, key=known.__getitem__)
        return rng.choices(list(known), list(known.values()))[0]

    return act


def q_learned(data: Sequence[Trajectory], gamma: float = 0.95, sweeps: int = 200) -> Policy:
    """Return the greedy policy of Q-values that are iterated over the transitions of the data.

    Args:
        data: episodes.
        gamma: discount factor.
        sweeps: number of iterations over all transitions.
    """
    steps: dict[tuple[str, str], list[tuple[float, str | None]]] = defaultdict(list)
    for episode in data:
        turns = _executed(episode)
        for (seen, action, reward), following in zip(
            turns, [*(t[0] for t in turns[1:]), None], strict=True
        ):
            if following is None and episode.ending != TERMINATED:
                following = episode.final
            steps[seen, action].append((reward, following))
    q: dict[str, dict[str, float]] = defaultdict(dict)
    for seen, action in steps:
        q[seen][action] = 0.0
    for _ in range(sweeps):
        for (seen, action), found in steps.items():
            q[seen][action] = fmean(
                reward + gamma * max(q[after].values(), default=0.0) if after else reward
                for reward, after in found
            )
    moves = list(MOVES)

    def act(observation: str, rng: random.Random) -> str:
        known = q.get(observation)
        return max(known, key=known.__getitem__) if known else rng.choice(moves)

    return act


def _executed(episode: Trajectory) -> list[tuple[str, str, float]]:
    """Return observation, action and reward of the actions that were executed."""
    turns = [(turn.observation, turn.action, turn.reward) for turn in episode.turns]
    return turns if episode.info.get("executed", True) else turns[:-1]


def score(env: TextEnv, policy: Policy, episodes: int = 8) -> float:
    """Return the normalised score of a policy: the mean over all starts of the maze.

    Args:
        env: maze.
        policy: policy to score.
        episodes: number of episodes from each start.
    """
    assert isinstance(env, Maze)
    returns = []
    for start in env.grid.starts:
        for seed in range(episodes):
            rng = random.Random(f"{start}:{seed}")
            observation, _ = env.reset(seed=seed, options={"init_position": list(start)})
            total, ended = 0.0, False
            while not ended:
                step = env.step(policy(observation, rng))
                observation, total = step.text, total + step.reward
                ended = step.terminated or step.truncated
            returns.append(total)
    return normalised(fmean(returns), env.score_range)


def measure(env: TextEnv, data: Sequence[Trajectory]) -> Mapping[str, float]:
    """Return the normalised scores of tabular policies that learned from data.

    Args:
        env: maze.
        data: episodes of its data set.
    """
    policies = {
        "clone": clone(data, greedy=False),
        "greedy clone": clone(data, greedy=True),
        "clone of the best tenth": clone(best_tenth(data), greedy=False),
        "greedy clone of the best tenth": clone(best_tenth(data), greedy=True),
        "Q-learning": q_learned(data),
    }
    return {name: round(score(env, policy), 1) for name, policy in policies.items()}
