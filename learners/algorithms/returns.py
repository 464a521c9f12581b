"""Returns, generalised advantage estimates, whitening and KL controllers, on flat action tokens.

All functions take the flat columns of `learners.batch`. `follow` (`next` in a `Batch`) is the index
of the entry that follows an action token in its episode: another action, a bootstrap entry at index
N or above, or -1 where the episode terminated. Environment tokens have no entries.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Values = Float[np.ndarray, "N"]
Entries = Float[np.ndarray, "E"]
Indices = Int[np.ndarray, "N"]
Credit = Literal["token", "turn"]


def per_step(rate: float, turn_end: Bool[np.ndarray, "N"], credit: Credit) -> Values:
    """Return a discount for the step from each action token to its successor `[N]`.

    Args:
        rate: discount of one step.
        turn_end: whether an action token is the last one of its turn `[N]`.
        credit: `token` applies `rate` at every action token, as the published benchmark does.
            `turn` applies it at the last token of a turn and 1 inside, so that a long utterance is
            not discounted more than a short one.
    """
    if credit == "token":
        return np.full(len(turn_end), rate)
    return np.where(turn_end, rate, 1.0)


def off_policy_decay(rate: float, turn_end: Bool[np.ndarray, "N"], credit: Credit) -> Values:
    """Return λ of the step from each action token to the next, for targets with a maximum `[N]`.

    Args:
        rate: λ of one step.
        turn_end: whether an action token is the last one of its turn `[N]`.
        credit: `token` applies `rate` at every action token. `turn` applies it at the last token of
            a turn and 0 inside. With 1 inside, as in `per_step`, every token of a turn would
            regress to the return of the data's continuation. The value of the first token would
            then be the mean over the data's actions, and no maximum would be left.
    """
    return np.where(turn_end | (credit == "token"), rate, 0.0)


def reward_to_go(
    reward: Values,
    follow: Indices,
    discount: Values,
    bootstrap: Float[np.ndarray, "K"] | None = None,
) -> Values:
    """Return discounted returns Gₙ = rₙ + γₙ G_next(n) `[N]`, in reward units.

    Args:
        reward: reward of each action token `[N]`.
        follow: index of the following entry `[N]`; -1 where the episode terminated.
        discount: γ of the step to the following entry `[N]`.
        bootstrap: values of the bootstrap entries `[K]`; None counts them as 0.
    """
    count = len(reward)
    tail = np.zeros(0) if bootstrap is None else bootstrap
    total = np.zeros(count + max(len(tail), int(follow.max(initial=-1)) + 1 - count, 0) + 1)
    total[count : count + len(tail)] = tail
    # Index -1 is the last element, which stays 0: the value after a terminal state.
    for n in range(count - 1, -1, -1):
        total[n] = reward[n] + discount[n] * total[follow[n]]
    return total[:count]


def lambda_returns(
    value: Entries,
    reward: Values,
    follow: Indices,
    discount: Values,
    decay: Values,
) -> Values:
    """Return TD(λ) targets yₙ = rₙ + γₙ [(1 − λₙ) V_next + λₙ y_next] `[N]`.

    (Sutton & Barto 2018, equation 12.18, on flat entries.) Where an episode was truncated, y_next
    is the value of its bootstrap entry. λ = 0 is the one-step target, λ = 1 the discounted return.

    Args:
        value: values of actions and bootstrap entries `[N + K]`, in reward units.
        reward: reward of each action token `[N]`.
        follow: index of the following entry `[N]`; -1 where the episode terminated.
        discount: γ of the step to the following entry `[N]`.
        decay: λ of that step `[N]`.
    """
    count = len(reward)
    padded = np.append(value, 0.0)  # index -1: the value after a terminal state
    target = padded.copy()
    for n in range(count - 1, -1, -1):
        after = follow[n]
        mixed = (1.0 - decay[n]) * padded[after] + decay[n] * target[after]
        target[n] = reward[n] + discount[n] * mixed
    return target[:count]


def gae(
    value: Entries,
    reward: Values,
    follow: Indices,
    discount: Values,
    decay: Values,
) -> tuple[Values, Values]:
    """Return advantages and value targets `[N]`, `[N]`.

    δₙ = rₙ + γₙ V_next − Vₙ,  Aₙ = δₙ + γₙ λₙ A_next,  target = Aₙ + Vₙ
    (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    Args:
        value: values of actions and bootstrap entries `[N + K]`, in reward units.
        reward: reward of each action token `[N]`.
        follow: index of the following entry `[N]`; -1 where the episode terminated.
        discount: γ of the step to the following entry `[N]`.
        decay: λ of that step `[N]`.
    """
    count = len(reward)
    padded = np.append(value, 0.0)  # index -1: the value after a terminal state
    delta = reward + discount * padded[follow] - value[:count]
    advantage = np.zeros(len(value) + 1)
    rate = discount * decay
    for n in range(count - 1, -1, -1):
        advantage[n] = delta[n] + rate[n] * advantage[follow[n]]
    return advantage[:count], advantage[:count] + value[:count]


def bi_level_gae(
    value: Entries,
    reward: Values,
    follow: Indices,
    turn_end: Bool[np.ndarray, "N"],
    between: tuple[float, float],
    inside: tuple[float, float],
) -> tuple[Values, Values]:
    """Return advantages over two levels, and value targets `[N]`, `[N]`.

    Between turns, over the states e before the last token of each turn (arXiv:2510.16907, turn
    level): δ = r_e + (rewards of the next turn before its last token) + γ V_e' − V_e and
    A_e = δ + γ λ A_e'. After the last turn of a truncated episode, V_e' is the value of its
    bootstrap entry.

    Inside a turn, before its last token (the same, token level): δₙ = rₙ + γ V_{n+1} − Vₙ and
    Aₙ = δₙ + γ λ A_{n+1}. The recursion begins at the turn's A_e. The targets are A + V.

    Args:
        value: values of actions and bootstrap entries `[N + K]`, in reward units.
        reward: reward of each action token `[N]`.
        follow: index of the following entry `[N]`; -1 where the episode terminated.
        turn_end: whether an action token is the last one of its turn `[N]`.
        between: γ and λ between turns.
        inside: γ and λ between the tokens of a turn.
    """
    count = len(reward)
    padded = np.append(value, 0.0)  # index -1: the value after a terminal state
    advantage = np.zeros(len(padded))
    end = np.arange(len(padded))  # last token of the turn that begins at an entry, or the entry
    owed = np.zeros(len(padded))  # rewards of the turn of an entry, from it to before its last
    end[-1] = -1
    for n in range(count - 1, -1, -1):
        after = follow[n]
        if turn_end[n]:
            (gamma, lam), arrived = between, end[after]
            earned = reward[n] + owed[after]
        else:
            (gamma, lam), arrived = inside, after
            earned = reward[n]
            end[n], owed[n] = end[after], reward[n] + owed[after]
        delta = earned + gamma * padded[arrived] - padded[n]
        advantage[n] = delta + gamma * lam * advantage[arrived]
    return advantage[:count], advantage[:count] + value[:count]


def whiten(
    values: Values, mean: float | None = None, var: float | None = None, shift_mean: bool = True
) -> Values:
    """Return (x − mean) / √(var + 1e-8) `[N]`, with the mean added back if not `shift_mean`.

    Args:
        values: numbers to whiten `[N]`.
        mean: mean over the values of all ranks; None is the mean of `values`.
        var: population variance over the values of all ranks; None is the variance of `values`.
        shift_mean: whether the mean is removed.
    """
    mean = float(values.mean()) if mean is None else mean
    var = float(values.var()) if var is None else var
    white = (values - mean) / np.sqrt(var + 1e-8)
    return white if shift_mean else white + mean


def adapted_kl(coefficient: float, kl: float, target: float, horizon: float, count: float) -> float:
    """Return the KL coefficient of the next round (Ziegler et al. 2019, arXiv:1909.08593, 2.2).

    Args:
        coefficient: KL coefficient of this round.
        kl: KL divergence measured in this round, in nats per action token.
        target: wanted KL divergence, in nats per action token.
        horizon: time scale of the change, in units of `count`.
        count: size of this round; the published benchmark passes its batch size here.

    Returns:
        The coefficient unchanged if `kl` is not finite.
    """
    if not np.isfinite(kl):
        return coefficient
    error = float(np.clip(kl / target - 1.0, -0.2, 0.2))
    return coefficient * (1.0 + error * count / horizon)
