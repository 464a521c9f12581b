"""Predictions of the model: scaling to thousands of samplers, and the best division."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.scaling.model import System, simulate
from benchmarks.scaling.times import Times


def weak(times: Times, one: System, samplers: Sequence[int]) -> list[dict[str, Any]]:
    """Return weak scaling: the episodes of an update, and the ranks, grow with the samplers.

    Args:
        times: service times.
        one: sizes for one sampler.
        samplers: numbers of samplers, the smallest first.
    """
    return _rows(
        times,
        [
            replace(one, samplers=n, ranks=one.ranks * n, episodes=one.episodes * n)
            for n in samplers
        ],
    )


def strong(times: Times, one: System, samplers: Sequence[int]) -> list[dict[str, Any]]:
    """Return strong scaling: the episodes of an update stay those of the largest size.

    Args:
        times: service times.
        one: sizes for one sampler.
        samplers: numbers of samplers, the smallest first.
    """
    episodes = one.episodes * max(samplers)
    return _rows(
        times, [replace(one, samplers=n, ranks=one.ranks * n, episodes=episodes) for n in samplers]
    )


def _rows(times: Times, systems: Sequence[System]) -> list[dict[str, Any]]:
    """Return the outcome of each system, with its efficiency relative to the first one."""
    rows: list[dict[str, Any]] = []
    for system in systems:
        outcome = simulate(times, system)
        rate = outcome.turns_per_s / system.samplers
        rows.append(
            {
                "samplers": system.samplers,
                "ranks": system.ranks,
                "episodes": system.episodes,
                "turns_per_s": outcome.turns_per_s,
                "efficiency": rate / (rows[0]["turns_per_s"] / rows[0]["samplers"])
                if rows
                else 1.0,
                "saturated": outcome.saturated,
                "busy": outcome.busy,
                "dropped": outcome.dropped,
                "push_share": outcome.pushed / outcome.seconds,
                "wait_share": outcome.waited / outcome.seconds,
            }
        )
    return rows


def best_division(times: Times, system: System, units: int) -> list[dict[str, Any]]:
    """Return the speed of a cluster for several divisions into samplers and learner ranks.

    Args:
        times: service times.
        system: sizes; its samplers and ranks are replaced.
        units: number of samplers and ranks together.
    """
    rows = []
    ranks = 1
    while ranks < units:
        outcome = simulate(times, replace(system, samplers=units - ranks, ranks=ranks))
        rows.append(
            {
                "samplers": units - ranks,
                "ranks": ranks,
                "turns_per_s": outcome.turns_per_s,
                "saturated": outcome.saturated,
            }
        )
        ranks *= 2
    return sorted(rows, key=lambda row: -float(row["turns_per_s"]))
