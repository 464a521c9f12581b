"""Text-Nav, fully and partially observed: put the stale food into the fridge, and close it.

Rules (arXiv 2311.18232, section 4 and appendix E; the published game was played to learn them):
- Eight rooms without doors, `PUBLISHED_ROOMS`; furniture is fixed: tables to put things on, a chest
  and a fridge to put things into, both closed at first. An episode starts in any room with empty
  hands.
- An action is a command and a newline. Each observation ends with the admissible ones; `look`,
  `inventory`, `examine ...`, articles, and shorter names work too (`open the fridge`, `take plate`,
  `west`). Anything else is answered with a refusal, changes nothing and costs a turn.
- Reward: 1 for the command after which the stale food is in the closed fridge, 0 otherwise.
  That wins and ends the episode; eating the stale food loses and ends it.
- Horizon: 15 commands (`max_steps`), all of them executed. The published environment has no limit
  of its own; 15 is that of its scripts.
- `text-nav-fo` names the room and lists what is carried; `text-nav-po` does neither.
- The wording of rooms is drawn at reset and holds for the episode.

This world is our own: it shares commands, rules, and protocol with the published game, which needs
TextWorld and an interpreter, but not its grammar. `layout_seed` builds other houses from the same
rooms and things, each of them won in at most `LONGEST` commands by the best play.

Repaired by default, as published with `faithful=True`:
- The limit is a truncation, so that learners bootstrap; in the published data it ends the episode
  like a terminal state.
- The fully observed variant is Markov: every observation describes the room and the policy sees
  that observation alone (`last_k=1`). Published, only a move describes the room and the policy sees
  the whole episode, as it does in the partially observed variant either way.
- The first observation says what to do (`objective="informative"`); published, only that the fridge
  is to be closed.
- The last reply counts the commands. Published, the fully observed variant gets its inventory by
  a hidden command, which that count includes, and which is refused after the end.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar, NamedTuple

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording, fresh_seed
from lmrl.errors import UsageError, unknown
from lmrl.tasks.wording import ByRules

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
START_OPTIONS = ("room",)
OBJECTIVES = ("informative", "published")
OBSERVATIONS = ("full", "partial")
KNOWS_THE_WAY = 0.26
"""How often the `mixture` player is the one that is good on the way from the food to the fridge.
Published: 0.25, which returns 0.24 on average here; the published data return 0.258. Measured over
30,000 episodes, 0.26 returns 0.258."""

# The wording of a room: each list is drawn from once a room and episode.
_INTRODUCTIONS = (
    "You are in {room}.",
    "Well, here we are in {room}.",
    "You've just shown up in {room}.",
    "You arrive in {room}.",
    "You're now in {room}.",
    "You find yourself in {room}.",
    "Guess what, you are in {room}!",
    "You have come into {room}.",
)
_KINDS = ("", "", " A typical kind of place.", " A standard kind of place.", " Quite ordinary.")
_LOOKS = ("", "", " You begin looking for stuff.", " You start to take note of what's in the room.")
_SIGHTS = (
    "You see {it}.",
    "You make out {it}.",
    "You can see {it}.",
    "You can make out {it}.",
    "Oh, great. Here's {it}.",
    "What's that over there? It looks like it's {it}.",
    "Hey, want to see {it}? Look over there, {it}.",
)
_TABLES = (
    "",
    " The table is ordinary.",
    " The table is normal.",
    " The table is typical.",
    " The table is standard.",
    " The table is usual.",
)
_ON = (
    "On the table you see {things}.",
    "On the table you can see {things}.",
    "On the table you make out {things}.",
    "You see {things} on the table.",
)
_NOTHING_ON = ("But there isn't a thing on it.", "The table appears to be empty.")
_NOTHING_IN = ("It is empty.", "Empty! What a letdown.")
_REMARKS = ("", "", "", " Classic TextWorld.", " The light flickers, but nothing else happens.")
_FREE = ("unblocked", "unguarded")
_SINGLE_EXITS = (
    "There is an {free} exit to the {to}.",
    "There is an exit to the {to}. Don't worry, it is {free}.",
    "You need an {free} exit? You should try going {to}.",
    "You don't like doors? Why not try going {to}, that entranceway is {free}.",
)

_ROOM = r"(an? [a-z ]+)"
_SEEN = "(see|can see|make out|can make out)"
# Sentences begin with capitals and commands do not, so that the admissible ones stay as they are.
REWORDED = ByRules(
    (r"Admissible commands:", "What you can type:"),
    (r"You are carrying nothing", "Your hands are empty"),
    (r"You are carrying:", "In your hands:"),
    (r"Your objective is to put (.*) into the fridge", r"See to it that \1 ends up in the fridge"),
    (r"Your task for today is to", "What you have to do is to"),
    (rf"Well, here we are in {_ROOM}\.", r"So this is \1, then."),
    (rf"Guess what, you are in {_ROOM}!", r"This, of all places, is \1!"),
    (rf"You are in {_ROOM}\.", r"This place is \1."),
    (rf"You're now in {_ROOM}\.", r"By now you have reached \1."),
    (rf"You've just shown up in {_ROOM}\.", r"A moment ago you came to \1."),
    (rf"You arrive in {_ROOM}\.", r"You have got to \1."),
    (rf"You find yourself in {_ROOM}\.", r"Around you is \1."),
    (rf"You have come into {_ROOM}\.", r"You have entered \1."),
    (r"You see (.*) on the table\.", r"The table has \1 on it."),
    (rf"On the table you {_SEEN} (.*?)\.", r"The table bears, as you \1, \2."),
    (rf"You {_SEEN} (an? [a-z ]+)\.", r"What you \1 is \2."),
    (r"But there isn't a thing on it\.", "It is bare."),
    (r"The table appears to be empty\.", "The table is bare."),
    (r"The (\w+) contains (.*?)\.", r"Inside the \1: \2."),
    (r"There are (\w+) exits to the (.*?)\.", r"You can leave towards \2, the ways are \1."),
    (r"There is an (\w+) exit to the (\w+)\.", r"You can leave towards \2 only, it is \1."),
    (r"There is (.*) on the floor\.", r"Somebody left \1 on the ground."),
    (r"You (open|close|eat|take|put|drop|pick up) the", r"All right, you \1 the"),
    (r"You can't see any such thing\.", "There is nothing like that here."),
    (r"That's not a verb I recognise\.", "Nobody understands that."),
    (r"You can't go that way\.", "There is no way there."),
)

_PROMPT = "Would you like to RESTART, RESTORE a saved game, QUIT or UNDO the last command?\n> "
_UNKNOWN_THING = "You can't see any such thing.\n"
_UNKNOWN_VERB = "That's not a verb I recognise.\n"

_ARTICLES = frozenset(("the", "a", "an"))
_VERBS = {
    **dict.fromkeys(("go", "walk", "run"), "go"),
    "open": "open",
    **dict.fromkeys(("close", "shut"), "close"),
    **dict.fromkeys(("take", "get", "pick"), "take"),
    **dict.fromkeys(("drop", "discard"), "drop"),
    **dict.fromkeys(("put", "place", "insert"), "put"),
    "eat": "eat",
    **dict.fromkeys(("look", "l"), "look"),
    **dict.fromkeys(("inventory", "inv", "i"), "inventory"),
    **dict.fromkeys(("examine", "x"), "examine"),
}
_SHORT_DIRECTIONS = {**{d[0]: d for d in DIRECTIONS}, **{d: d for d in DIRECTIONS}}
_PREPOSITIONS = {
    **dict.fromkeys(("from", "off"), "take"),
    **dict.fromkeys(("on", "onto"), "put"),
    **dict.fromkeys(("in", "into", "inside"), "insert"),
}
"""Words before the second thing of a command, with the command that they make."""


class Command(NamedTuple):
    """A command that can be executed: what to do, with which thing, and where."""

    verb: str
    thing: str
    place: str = ""


def name_of(furniture: str) -> str:
    """Return what furniture is called."""
    return furniture.rstrip(" 123")


def a(name: str) -> str:
    """Return a name with its article, by the first letter alone: `an utensils`."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def series(parts: Sequence[str]) -> str:
    """Return parts as a phrase: `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]


def all_of(things: Iterable[str]) -> str:
    """Return things as a phrase with articles."""
    return series([a(thing) for thing in things])


class House:
    """Rooms, furniture and where things are at first; nothing in it changes.

    Args:
        layout_seed: of the layout; None is the published house.
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

    def __reduce__(self) -> tuple[Callable[[int | None], "House"], tuple[int | None]]:
        return house, (self.layout_seed,)

    def __deepcopy__(self, memo: dict[int, Any]) -> "House":
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
            room: where the player is.
            opened: open containers.
            hands: what the player carries.
            floor: what lies in the room.
            contents: what the furniture of the room has, in the order of `furniture`.
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
def house(layout_seed: int | None) -> House:
    """Return a house, built once per process."""
    return House(layout_seed)


@dataclass
class TextNavState:
    """What changes during an episode.

    Attributes:
        room: where the player is.
        things: what is in the player's hands, on or in furniture, and on the floor of a room, what
            was moved last coming first.
        opened: open containers.
        steps: commands so far.
        wording: the random number that the wording of rooms is read off.
        running: whether the episode goes on.
    """

    room: str
    things: dict[str, tuple[str, ...]]
    opened: frozenset[str]
    steps: int
    wording: int
    running: bool


class TextNav(TextEnv):
    """Text-Nav of LMRL-Gym; the module's docstring has the rules.

    Args:
        observation: `full` or `partial`.
        max_steps: commands until the limit.
        objective: `informative`, or `published`; None follows `faithful`.
        show_room_header: whether descriptions begin with the room's name, as the game prints it.
        inventory_at_reset: whether the first observation of `full` has the inventory too.
        last_k: how many of the newest texts the policy sees. None is all, but 1 for `full` unless
            `faithful`. With `full` and 1 every observation describes the room.
        layout_seed: of another house than the published one.
        faithful: behave as the published code does, quirks included.
    """

    reward_range = (0.0, 1.0)
    score_range = ScoreRange(worst=0.0, data=0.26, best=1.0)
    instructions = (
        "You are in a house and move through its rooms by commands. Find the stale food, carry it "
        "to the fridge, open the fridge, put the stale food into it, and close the fridge. Never "
        "eat the stale food: that loses. You have only a few commands, 15 as a rule. Each message "
        "describes what you see and ends with the commands that are possible now. An action is "
        "one of those commands, word for word, for example: go east."
    )

    def __init__(
        self,
        observation: str = "full",
        max_steps: int = 15,
        objective: str | None = None,
        show_room_header: bool = False,
        inventory_at_reset: bool = False,
        last_k: int | None = None,
        layout_seed: int | None = None,
        faithful: bool = False,
    ) -> None:
        if observation not in OBSERVATIONS:
            raise unknown("text-nav observation", observation, OBSERVATIONS)
        if objective is not None and objective not in OBJECTIVES:
            raise unknown("text-nav objective", objective, OBJECTIVES)
        for name, value, least in (
            ("max_steps", max_steps, 1),
            ("last_k", 1 if last_k is None else last_k, 1),
            ("layout_seed", 0 if layout_seed is None else layout_seed, 0),
        ):
            if type(value) is not int or value < least:
                raise UsageError(
                    f"text-nav option {name} is {value!r}; give an integer of {least} or more"
                )
        self.house = house(layout_seed)
        self.full = observation == "full"
        self.max_turns = max_steps
        self.objective = objective or ("published" if faithful else "informative")
        self.header = show_room_header
        self.inventory_at_reset = inventory_at_reset
        self.window = 1 if last_k is None and self.full and not faithful else last_k
        self.alone = self.full and self.window == 1
        self.faithful = faithful
        self.state: TextNavState | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start in a random room, or in `options["room"]`.

        Raises:
            UsageError: for an unknown option or room.
        """
        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("text-nav start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        rng = random.Random(seed)
        room = rng.choice(self.house.rooms)
        if "room" in options:
            room = options["room"]
            if room not in self.house.number:
                raise unknown("room", str(room), self.house.rooms)
        things = {**self.house.things, HANDS: ()}
        self.state = state = TextNavState(room, things, frozenset(), 0, rng.getrandbits(256), True)
        text = f"\n\n\n{self._task()}\n\n{self._describe(state)}\n"
        if self.full and self.inventory_at_reset:
            text += f"\n\n{self._inventory(state)}\n"
        return self._with_commands(text, state), {"seed": seed, "room": room}

    def _task(self) -> str:
        home = self.house
        kitchen = home.room_of[FRIDGE]
        if self.objective == "published":
            return (
                "You are now playing a profound round of TextWorld! Your task for today is to "
                f"close the fridge in the {kitchen}."
            )
        piece = home.holder
        link = "in" if piece in CONTAINERS else "on"
        return (
            f"Your objective is to put the {GOAL} {link} the {name_of(piece)} in the "
            f"{home.room_of[piece]} into the fridge in the {kitchen}."
        )

    def _commands(self, state: TextNavState) -> dict[str, Command]:
        home, room, things = self.house, state.room, state.things
        return home.commands(
            room,
            state.opened,
            things[HANDS],
            things.get(room, ()),
            tuple([things[piece] for piece in home.furniture[room]]),
        )

    def admissible(self) -> list[str]:
        """Return the admissible commands of the running episode, sorted."""
        assert self.state is not None
        return list(self._commands(self.state))

    def _with_commands(self, text: str, state: TextNavState) -> str:
        return f"{text}\nAdmissible commands: {', '.join(self._commands(state))}\n"

    def _inventory(self, state: TextNavState) -> str:
        hands = state.things[HANDS]
        return f"You are carrying: {all_of(hands)}." if hands else "You are carrying nothing."

    def _describe(self, state: TextNavState) -> str:
        """Return the description of the room without the newlines after it."""
        home, room, things = self.house, state.room, state.things
        # Four bits for each list of phrases, 32 for each room.
        digits = state.wording >> 32 * home.number[room]

        def drawn(phrases: Sequence[str], place: int) -> str:
            return phrases[(digits >> 4 * place & 15) % len(phrases)]

        text = f"-= {room.title()} =-\n" if self.header else ""
        if self.full:
            text += drawn(_INTRODUCTIONS, 0).format(room=a(room))
            text += drawn(_KINDS, 1) + drawn(_LOOKS, 2)
        between = "\n\n" if self.full else " "
        for piece in home.furniture[room]:
            name, here = name_of(piece), things[piece]
            if piece in CONTAINERS:
                opened = piece in state.opened
                sight = drawn(_SIGHTS, 3).format(it=a(f"{'opened' if opened else 'closed'} {name}"))
                if opened:
                    inside = (
                        f"The {name} contains {all_of(here)}." if here else drawn(_NOTHING_IN, 4)
                    )
                    sight = f"{sight} {inside}"
            else:
                on = drawn(_ON, 4).format(things=all_of(here)) if here else drawn(_NOTHING_ON, 4)
                sight = f"{drawn(_SIGHTS, 3).format(it=a(name))}{drawn(_TABLES, 5)} {on}"
            text += f"{between}{sight}{drawn(_REMARKS, 6)}"
        free, exits = drawn(_FREE, 7), list(home.exits[room])
        if len(exits) > 1:
            text += f"\n\nThere are {free} exits to the {series(exits)}."
        else:
            single = _SINGLE_EXITS[(digits >> 29 & 7) % 4]
            text += "\n\n" + single.format(free=free, to=exits[0])
        if floor := things.get(room):
            text += f"\n\nThere is {all_of(floor)} on the floor."
        return text

    def _arrival(self, state: TextNavState) -> str:
        return f"\n{self._describe(state)}\n\n" + ("" if state.things.get(state.room) else "\n")

    def step(self, action: str) -> Step:
        """Execute a command, or refuse what is none."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the text-nav episode is over; call reset first")
        state.steps += 1
        commands = self._commands(state)
        command = commands.get(action.removesuffix("\n")) or self._parse(action, state, commands)
        reply = self._execute(command, state) if isinstance(command, Command) else command
        won = GOAL in state.things[FRIDGE] and FRIDGE not in state.opened
        lost = isinstance(command, Command) and command.verb == "eat" and command.thing == GOAL
        reward = 1.0 if won else 0.0
        if won or lost:
            reply += self._ending(won, state)
        elif self.alone and not reply.startswith("\n"):  # only a description begins with it
            reply = f"{reply.rstrip()}\n{self._arrival(state)}"
        if self.full:
            carried = self._inventory(state)
            if (won or lost) and self.faithful:
                # The published environment sends `inventory` even after the end of the game.
                carried = f"Please give one of the answers above.\n\n{_PROMPT.rstrip()}"
            reply = f"{reply}\n{carried}\n"
        text = self._with_commands(reply, state)
        facts = {"room": state.room}
        if won or lost or (self.faithful and state.steps == self.max_turns):
            state.running = False
            return Step.ended(text, reward, success=won, **facts)
        if state.steps == self.max_turns:
            state.running = False
            return Step.cut(text, reward, success=False, **facts)
        return Step.going(text, reward, **facts)

    def _ending(self, won: bool, state: TextNavState) -> str:
        turns = state.steps
        if self.faithful:
            # The hidden `inventory` commands are turns too, and so is the start.
            turns = 2 * turns if self.full else turns + 1
        score = "\nYour score has just gone up by one point.\n\n\n " if won else "\n"
        banner = "*** The End ***" if won else "*** You lost! ***"
        return (
            f"{score}{' ' * 30}{banner}\n\nYou scored {int(won)} out of a possible 1, in {turns} "
            f"turns.\n\n\n{_PROMPT}"
        )

    def _execute(self, command: Command, state: TextNavState) -> str:
        """Change the state by an admissible command, and return the game's reply."""
        verb, thing, place = command
        things = state.things

        def move(source: str, target: str | None) -> None:
            things[source] = tuple([other for other in things[source] if other != thing])
            if target is not None:
                things[target] = (thing, *things.get(target, ()))

        if verb == "go":
            state.room = self.house.exits[state.room][thing]
            return self._arrival(state)
        if verb == "open":
            state.opened |= {thing}
            inside = f", revealing {all_of(things[thing])}" if things[thing] else ""
            return f"You open the {thing}{inside}.\n\n"
        if verb == "close":
            state.opened -= {thing}
            return f"You close the {thing}.\n\n"
        if verb == "take":
            move(place, HANDS)
            if place == state.room:
                return f"You pick up the {thing} from the ground.\n\n\n"
            return f"You take the {thing} from the {name_of(place)}.\n\n\n"
        if verb == "drop":
            move(HANDS, state.room)
            return f"You drop the {thing} on the ground.\n\n"
        if verb == "eat":
            move(HANDS, None)
            return f"You eat the {thing}. Not bad.\n\n"
        move(HANDS, place)
        return f"You put the {thing} {'on' if verb == 'put' else 'into'} the {name_of(place)}.\n\n"

    def _parse(
        self, action: str, state: TextNavState, commands: dict[str, Command]
    ) -> Command | str:
        """Return the command that somebody means by a text, or the reply that refuses it."""
        words = [word for word in action[:200].lower().split() if word not in _ARTICLES]
        if not words:
            return "I beg your pardon?\n"
        if len(words) == 1 and words[0] in _SHORT_DIRECTIONS:
            words = ["go", *words]
        verb = _VERBS.get(words.pop(0), "")
        if verb == "go":
            direction = _SHORT_DIRECTIONS.get(" ".join(words), "")
            if not direction:
                return _UNKNOWN_THING
            return commands.get(f"go {direction}", "You can't go that way.\n\n")
        if verb in ("look", "inventory") and not words:
            return self._arrival(state) if verb == "look" else f"{self._inventory(state)}\n\n"
        if verb == "look" and words[0] == "at":
            verb, words = "examine", words[1:]
        if not verb or verb in ("look", "inventory"):
            return _UNKNOWN_VERB
        if verb in ("take", "put") and words and words[0] == ("up" if verb == "take" else "down"):
            verb, words = ("take" if verb == "take" else "drop"), words[1:]
        second: list[str] = []
        for number, word in enumerate(words):
            if verb in ("take", "put") and word in _PREPOSITIONS:
                if (verb == "take") != (_PREPOSITIONS[word] == "take"):
                    return _UNKNOWN_THING
                verb = _PREPOSITIONS[word]
                words, second = words[:number], words[number + 1 :]
                break
        return self._resolve(verb, words, second, state, commands)

    def _resolve(
        self,
        verb: str,
        words: list[str],
        second: list[str],
        state: TextNavState,
        commands: dict[str, Command],
    ) -> Command | str:
        """Return the one admissible command that fits the words, or a refusal."""

        def fits(name: str, given: list[str]) -> bool:
            return set(given) <= set(name_of(name).split())

        if not words:
            return _UNKNOWN_THING
        meant = [
            command
            for command in commands.values()
            if command.verb == verb and fits(command.thing, words) and fits(command.place, second)
        ]
        if len(meant) > 1:
            return f"Which do you mean, the {' or the '.join(c.thing for c in meant)}?\n"
        if meant:
            return meant[0]
        home, things = self.house, state.things
        pieces = home.furniture[state.room]
        open_pieces = [p for p in pieces if p not in CONTAINERS or p in state.opened]
        places = [HANDS, state.room, *open_pieces]
        loose = [thing for place in places for thing in things.get(place, ())]
        seen = [name for name in (*loose, *pieces) if fits(name, words)]
        if not seen or (second and not any(fits(piece, second) for piece in pieces)):
            return _UNKNOWN_THING
        return self._refuse(verb, seen[0], state)

    def _refuse(self, verb: str, name: str, state: TextNavState) -> str:
        """Return why a known thing cannot be used like this."""
        if verb == "examine":
            return f"There is nothing special about the {name_of(name)}.\n\n"
        if verb in ("open", "close"):
            if name not in CONTAINERS:
                return f"That's not something you can {verb}.\n\n"
            return f"That's already {'open' if verb == 'open' else 'closed'}.\n\n"
        if verb == "take":
            if name in state.things[HANDS]:
                return "You already have that.\n\n"
            if name in self.house.room_of:
                return "That's fixed in place.\n\n"
            return "But it isn't there now.\n\n"
        if verb == "eat" and name not in FOODS:
            return "That's plainly inedible.\n\n"
        if name not in state.things[HANDS]:
            return f"You need to take the {name_of(name)} first.\n\n"
        return "You can't put it there.\n\n"

    def _best(self, rng: random.Random) -> str:
        """Return a command of a shortest way to win."""
        state, home = self.state, self.house
        assert state is not None
        kitchen = home.room_of[FRIDGE]
        place = next(place for place, things in state.things.items() if GOAL in things)
        there = kitchen if place == HANDS else home.room_of.get(place, place)
        if state.room != there:
            return rng.choice(home.ways(state.room, there))
        if place == HANDS:
            return f"insert {GOAL} into fridge" if FRIDGE in state.opened else "open fridge"
        if place == FRIDGE:
            return "close fridge"
        if place in CONTAINERS and place not in state.opened:
            return f"open {place}"
        return f"take {GOAL}" if place == there else f"take {GOAL} from {name_of(place)}"

    def _optimal(self, rng: random.Random) -> Player:
        return lambda observation: f"{self._best(rng)}\n"

    def _random(self, rng: random.Random) -> Player:
        return lambda observation: f"{rng.choice(self.admissible())}\n"

    def _mixture(self, rng: random.Random) -> Player:
        # As published: best play in one half of the house and any play in the other, so that no
        # player is good but the data of all of them are.
        competent = self.house.near if rng.random() < KNOWS_THE_WAY else self.house.far

        def play(observation: str) -> str:
            assert self.state is not None
            best = self.state.room in competent
            return f"{self._best(rng) if best else rng.choice(self.admissible())}\n"

        return play

    players: ClassVar[Mapping[str, Callable[[Any, random.Random], Player]]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
    }
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": REWORDED}
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "unseen-house-1": {"layout_seed": 1},
        "unseen-house-2": {"layout_seed": 2},
        "room-headers": {"show_room_header": True},
    }
