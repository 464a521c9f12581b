"""The player that makes the published kind of data: walks that stay inside one sub-maze.

Published (arXiv 2311.18232, section 4 and appendix E): 15 % of the actions are a solver's and 85 %
random, and an episode stays inside one of three sub-mazes, so that no episode shows a whole optimal
way to the goal. A policy that is better than the data has to put ways together.
"""

import random
from collections.abc import Mapping
from typing import Any

from lmrl.env import Player
from lmrl.tasks.maze.grid import MOVES, Cell, Grid

OPTIMAL_SHARE = 0.15
"""Share of the actions that are optimal moves; the others are random."""
LIMIT = 20
"""Moves of an episode of the data: with them its mean return is the published one, -19.7."""


def submazes(grid: Grid, goal: Cell) -> list[frozenset[Cell]]:
    """Return the sub-mazes of a maze, the one with the goal first.

    That one ends at the crossing that is nearest to the goal. What is left without it falls into
    the others, and each of them has the crossing too: there ways can be put together. A maze
    without a crossing is one sub-maze.

    Args:
        grid: the maze.
        goal: its goal.
    """
    distance = grid.distances(goal)

    def near(cell: Cell) -> set[Cell]:
        return {grid.move[cell, move] for move in MOVES} - {cell}

    crossings = [cell for cell in distance if len(near(cell)) >= 3 and cell != goal]
    if not crossings:
        return [frozenset(distance)]
    crossing = min(crossings, key=distance.__getitem__)
    first = {cell for cell in distance if distance[cell] <= distance[crossing]}
    found = [frozenset(first)]
    left = set(distance) - first
    while left:
        part, border = set[Cell](), {min(left)}
        while border:
            part |= border
            border = {n for cell in border for n in near(cell)} & left - part
        left -= part
        found.append(frozenset(part | {crossing}))
    return found


def walker(env: Any, rng: random.Random) -> Player:
    """Return a player that walks inside the sub-maze of its start.

    An action is an optimal move with probability `OPTIMAL_SHARE`, else a random one of those that
    stay inside. The move that would complete an optimal way from the start to the goal is replaced
    by one that is not optimal: no episode shows such a way.
    """
    grid: Grid = env.grid
    start, goal = env.state.position, env.state.goal
    parts = submazes(grid, goal)
    inside = next(part for part in parts if start in part)
    shortest = True

    def play(observation: str) -> str:
        nonlocal shortest
        cell = env.state.position
        best = grid.best_moves(cell, goal)
        allowed = [move for move in MOVES if grid.move[cell, move] in inside]
        good = [move for move in best if move in allowed]
        move = rng.choice(good if good and rng.random() < OPTIMAL_SHARE else allowed)
        if shortest and move in best and grid.move[cell, move] == goal:
            move = rng.choice([other for other in allowed if other not in best])
        shortest = shortest and move in best
        return move

    return play


def shows_whole_way(grid: Grid, goal: Cell, start: Cell, actions: list[str]) -> bool:
    """Return whether actions are a complete optimal way from a start to the goal.

    Args:
        grid: the maze.
        goal: its goal.
        start: cell of the first action.
        actions: legal moves.
    """
    cell = start
    for action in actions:
        cell = grid.move[cell, action]
    return cell == goal and len(actions) == grid.distances(goal)[start]


DATA_STARTS: Mapping[str, Mapping[str, Any]] = {"mixture": {"max_steps": LIMIT}}
"""Start options with which players make data."""
