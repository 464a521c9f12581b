"""The environment of Text-Nav: commands, their effects, and the limit."""

import random
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.tasks.text_nav.commands import understand
from lmrl.tasks.text_nav.descriptions import REWORDED, all_of, describe, inventory
from lmrl.tasks.text_nav.floor_plan import (
    CONTAINERS,
    FRIDGE,
    GOAL,
    HANDS,
    Command,
    house,
    name_of,
)
from lmrl.tasks.text_nav.players import PLAYERS
from lmrl.tasks.text_nav.state import TextNavState

START_OPTIONS = ("room",)
OBJECTIVES = ("informative", "published")
OBSERVATIONS = ("full", "partial")
_PROMPT = "Would you like to RESTART, RESTORE a saved game, QUIT or UNDO the last command?\n> "


class TextNav(TextEnv):
    """Text-Nav of LMRL-Gym; the package's docstring has the rules.

    Args:
        observation: `full` or `partial`.
        max_steps: commands until the limit.
        objective: `informative`, or `published`; None follows `faithful`.
        show_room_header: whether descriptions begin with the room's name, as the game prints it.
        inventory_at_reset: whether the first observation of `full` has the inventory too.
        last_k: number of the newest texts that the policy sees. None is all, but 1 for `full`
            unless `faithful`. With `full` and 1 every observation describes the room.
        layout_seed: seed of another house; None is the published one.
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
        observation: Literal["full", "partial"] = "full",
        max_steps: Annotated[int, COUNT] = 15,
        objective: Literal["informative", "published"] | None = None,
        show_room_header: bool = False,
        inventory_at_reset: bool = False,
        last_k: Annotated[int | None, COUNT] = None,
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
        text = f"\n\n\n{self._task()}\n\n{self._described(state)}\n"
        if self.full and self.inventory_at_reset:
            text += f"\n\n{inventory(state)}\n"
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

    def _described(self, state: TextNavState) -> str:
        return describe(self.house, state, self.full, self.header)

    def _arrival(self, state: TextNavState) -> str:
        return f"\n{self._described(state)}\n\n" + ("" if state.things.get(state.room) else "\n")

    def step(self, action: str) -> Step:
        """Execute a command, or refuse a text that is not one."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the text-nav episode is over; call reset first")
        state.steps += 1
        commands = self._commands(state)
        command = commands.get(action.removesuffix("\n")) or understand(
            action, state, self.house, commands
        )
        reply = self._execute(command, state) if isinstance(command, Command) else command
        won = GOAL in state.things[FRIDGE] and FRIDGE not in state.opened
        lost = isinstance(command, Command) and command.verb == "eat" and command.thing == GOAL
        reward = 1.0 if won else 0.0
        if won or lost:
            reply += self._ending(won, state)
        elif self.alone and not reply.startswith("\n"):  # only a description begins with it
            reply = f"{reply.rstrip()}\n{self._arrival(state)}"
        if self.full:
            carried = inventory(state)
            if (won or lost) and self.faithful:
                # The published environment sends `inventory` even after the end of the game.
                carried = f"Please give one of the answers above.\n\n{_PROMPT.rstrip()}"
            reply = f"{reply}\n{carried}\n"
        text = self._with_commands(reply, state)
        facts: dict[str, Any] = {"room": state.room}
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
        """Carry out a command and return the game's reply."""
        verb, thing, place = command
        if verb == "look":
            return self._arrival(state)
        if verb == "inventory":
            return f"{inventory(state)}\n\n"
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

    players: Mapping[str, Callable[[Any, random.Random], Player]] = PLAYERS
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": REWORDED}
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "unseen-house-1": {"layout_seed": 1},
        "unseen-house-2": {"layout_seed": 2},
        "room-headers": {"show_room_header": True},
    }
