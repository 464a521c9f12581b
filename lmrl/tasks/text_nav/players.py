"""The scripted players of Text-Nav."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from lmrl.env import Player
from lmrl.tasks.text_nav.floor_plan import CONTAINERS, FRIDGE, GOAL, HANDS, name_of

KNOWS_THE_WAY = 0.26
"""How often the `mixture` player is the one that is good on the way from the food to the fridge.
Published: 0.25, which returns 0.24 on average here; the published data return 0.258. Measured over
30,000 episodes, 0.26 returns 0.258."""


def _best(env: Any, rng: random.Random) -> str:
    """Return a command of a shortest way to win."""
    state, home = env.state, env.house
    kitchen = home.room_of[FRIDGE]
    place = next(place for place, things in state.things.items() if GOAL in things)
    there = kitchen if place == HANDS else home.room_of.get(place, place)
    if state.room != there:
        way: str = rng.choice(home.ways(state.room, there))
        return way
    if place == HANDS:
        return f"insert {GOAL} into fridge" if FRIDGE in state.opened else "open fridge"
    if place == FRIDGE:
        return "close fridge"
    if place in CONTAINERS and place not in state.opened:
        return f"open {place}"
    return f"take {GOAL}" if place == there else f"take {GOAL} from {name_of(place)}"


def optimal(env: Any, rng: random.Random) -> Player:
    """Return a player that wins with as few commands as possible."""
    return lambda observation: f"{_best(env, rng)}\n"


def anything(env: Any, rng: random.Random) -> Player:
    """Return a player that gives any admissible command."""
    return lambda observation: f"{rng.choice(env.admissible())}\n"


def mixture(env: Any, rng: random.Random) -> Player:
    """Return a player that plays best in one half of the house and anything in the other."""
    # As published, so that no player is good but the data of all of them are.
    competent = env.house.near if rng.random() < KNOWS_THE_WAY else env.house.far

    def play(observation: str) -> str:
        best = env.state.room in competent
        return f"{_best(env, rng) if best else rng.choice(env.admissible())}\n"

    return play


PLAYERS: Mapping[str, Callable[[Any, random.Random], Player]] = {
    "optimal": optimal,
    "random": anything,
    "mixture": mixture,
}
"""Scripted players by name."""
