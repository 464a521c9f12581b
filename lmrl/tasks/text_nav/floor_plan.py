"""The house of Text-Nav: rooms, furniture, things, and the commands that are possible in it."""

import random
from collections import deque
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

DIRECTIONS = {"east": (0, 1), "north": (-1, 0), "south": (1, 0), "west": (0, -1)}
OPPOSITE = {"east": "west", "west": "east", "north": "south", "south": "north"}
PUBLISHED_ROOMS: dict[str, dict[str, str]] = {
    "bedroom": {"south": "bathroom", "west": "living room"},
    "living room": {"east": "bedroom", "south": "office", "west": "dining room"},
    "dining room": {"east": "living room", "west": "kitchen"},
    "kitchen": {"east": "dining room", "north": "garden", "west": "backyard"},
    "office": {"east": "bathroom", "north": "living room"},
    "bathroom": {"north": "bedroom", "west": "office"},
    "garden": {"south": "kitchen"},
    "backyard": {"east": "kitchen"},
}
"""Rooms with their exits."""
PUBLISHED_FURNITURE = {
    "table 1": "bedroom",
    "table 2": "living room",
    "table 3": "dining room",
    "chest": "office",
    "fridge": "kitchen",
}
"""Furniture with its room; a number only tells the tables apart."""
PUBLISHED_THINGS: dict[str, tuple[str, ...]] = {
    "table 1": ("bowl",),
    "table 2": ("stale food", "fresh food"),
    "table 3": ("coffee cup", "plate"),
    "chest": ("utensils",),
    "fridge": ("fruit",),
}
"""What is on or in the furniture at first."""
CONTAINERS = ("chest", "fridge")
FOODS = ("stale food", "fresh food", "fruit")
GOAL, FRIDGE = "stale food", "fridge"
HANDS = "hands"
LONGEST = 12


class Command(NamedTuple):
    """A command that can be executed: what to do, with which thing, and where."""

    verb: str
    thing: str
    place: str = ""


def name_of(furniture: str) -> str:
    """Return what furniture is called."""
    return furniture.rstrip(" 123")


class FloorPlan:
    """Rooms, furniture and where things are at first; nothing in it changes.

    Args:
        layout_seed: seed of the layout; None is the published house.
    """

    def __init__(self, layout_seed: int | None) -> None:
        self.layout_seed = layout_seed
        self.exits = PUBLISHED_ROOMS
        self.room_of = PUBLISHED_FURNITURE
        self.things = PUBLISHED_THINGS
        if layout_seed is not None:
            rng = random.Random(layout_seed)
            self._build(rng)
            while max(map(self.fewest, self.exits)) > LONGEST:
                self._build(rng)
        self.rooms = list(self.exits)
        self.number = {room: number for number, room in enumerate(self.rooms)}
        self.furniture = {
            room: tuple(f for f, where in self.room_of.items() if where == room)
            for room in self.rooms
        }
        to_food = self.distances(self.room_of[self.holder])
        to_fridge = self.distances(self.room_of[FRIDGE])
        # The published halves: the way from the food to the fridge with what is nearest to it, and
        # the rest.
        ordered = sorted(self.rooms, key=lambda room: to_food[room] + to_fridge[room])
        self.near, self.far = frozenset(ordered[:4]), frozenset(ordered[4:])
        self.ways = cache(self._ways)
        self.commands = lru_cache(1 << 14)(self._commands)

    def __reduce__(self) -> tuple[Callable[[int | None], "FloorPlan"], tuple[int | None]]:
        return house, (self.layout_seed,)

    def __deepcopy__(self, memo: dict[int, Any]) -> "FloorPlan":
        return self

    def _build(self, rng: random.Random) -> None:
        """Draw a house: rooms side by side on a grid, furniture in them, things on or in that."""
        rooms = list(PUBLISHED_ROOMS)
        rng.shuffle(rooms)
        at = {(0, 0): rooms[0]}
        exits: dict[str, dict[str, str]] = {room: {} for room in rooms}
        for room in rooms[1:]:
            while True:
                (row, column), old = rng.choice(list(at.items()))
                direction, (down, right) = rng.choice(list(DIRECTIONS.items()))
                if (cell := (row + down, column + right)) not in at:
                    break
            at[cell] = room
            exits[old][direction] = room
            exits[room][OPPOSITE[direction]] = old
        for (row, column), room in at.items():
            for direction in ("east", "south"):
                down, right = DIRECTIONS[direction]
                near = at.get((row + down, column + right))
                if near is not None and rng.random() < 0.5:
                    exits[room][direction] = near
                    exits[near][OPPOSITE[direction]] = room
        self.exits = {room: dict(sorted(exits[room].items())) for room in PUBLISHED_ROOMS}
        pieces = list(PUBLISHED_FURNITURE)
        self.room_of = dict(zip(pieces, rng.sample(rooms, len(pieces)), strict=True))
        things: dict[str, list[str]] = {piece: [] for piece in pieces}
        for thing in (thing for things in PUBLISHED_THINGS.values() for thing in things):
            things[rng.choice([p for p in pieces if (thing, p) != (GOAL, FRIDGE)])].append(thing)
        self.things = {piece: tuple(here) for piece, here in things.items()}

    @property
    def holder(self) -> str:
        """The furniture that has the stale food at first."""
        return next(piece for piece, things in self.things.items() if GOAL in things)

    def distances(self, goal: str) -> dict[str, int]:
        """Return the moves that every room is away from `goal`."""
        distance = {goal: 0}
        queue = deque([goal])
        while queue:
            room = queue.popleft()
            for near in self.exits[room].values():
                if near not in distance:
                    distance[near] = distance[room] + 1
                    queue.append(near)
        return distance

    def fewest(self, start: str) -> int:
        """Return how many commands win from a start."""
        food, fridge = self.room_of[self.holder], self.room_of[FRIDGE]
        take = 2 if self.holder in CONTAINERS else 1
        return self.distances(food)[start] + take + self.distances(fridge)[food] + 3

    def _ways(self, room: str, goal: str) -> tuple[str, ...]:
        """Return the moves that bring `room` nearer to `goal`."""
        distance = self.distances(goal)
        return tuple(
            f"go {to}" for to, near in self.exits[room].items() if distance[near] < distance[room]
        )

    def _commands(
        self,
        room: str,
        opened: frozenset[str],
        hands: tuple[str, ...],
        floor: tuple[str, ...],
        contents: tuple[tuple[str, ...], ...],
    ) -> dict[str, Command]:
        """Return the admissible commands by their texts, sorted.

        Args:
            room: room of the player.
            opened: open containers.
            hands: things that the player carries.
            floor: things on the floor of the room.
            contents: things of each piece of furniture of the room, in the order of `furniture`.
        """
        found = {f"go {to}": Command("go", to) for to in self.exits[room]}
        for thing in floor:
            found[f"take {thing}"] = Command("take", thing, room)
        for thing in hands:
            found[f"drop {thing}"] = Command("drop", thing)
            if thing in FOODS:
                found[f"eat {thing}"] = Command("eat", thing)
        for piece, things in zip(self.furniture[room], contents, strict=True):
            name, link = name_of(piece), "put {} on {}"
            if piece in CONTAINERS:
                link = "insert {} into {}"
                if piece not in opened:
                    found[f"open {name}"] = Command("open", piece)
                    continue
                found[f"close {name}"] = Command("close", piece)
            for thing in things:
                found[f"take {thing} from {name}"] = Command("take", thing, piece)
            for thing in hands:
                found[link.format(thing, name)] = Command(link.split()[0], thing, piece)
        return dict(sorted(found.items()))


@cache
def house(layout_seed: int | None) -> FloorPlan:
    """Return a house, built once per process."""
    return FloorPlan(layout_seed)
