"""How Text-Nav describes a room, and the same in other words."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from lmrl.tasks.assets import read_json
from lmrl.tasks.text_nav.floor_plan import CONTAINERS, HANDS, FloorPlan, name_of
from lmrl.tasks.text_nav.state import TextNavState
from lmrl.tasks.wording import ByRules


@cache
def phrases() -> Mapping[str, Sequence[str]]:
    """Return the phrases of a description, read once per process.

    One phrase of each list is drawn for each room and episode.
    """
    table: Mapping[str, Sequence[str]] = read_json("text_nav.json")
    return table


def a(name: str) -> str:
    """Return a name with its article, by the first letter alone: `an utensils`."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def series(parts: Sequence[str]) -> str:
    """Return parts as a phrase: `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]


def all_of(things: Iterable[str]) -> str:
    """Return things as a phrase with articles."""
    return series([a(thing) for thing in things])


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


def inventory(state: TextNavState) -> str:
    """Return what the player carries, as a sentence."""
    hands = state.things[HANDS]
    return f"You are carrying: {all_of(hands)}." if hands else "You are carrying nothing."


def describe(house: FloorPlan, state: TextNavState, full: bool, header: bool) -> str:
    """Return the description of the player's room without the newlines after it.

    Args:
        house: the house of the episode.
        state: the state of the episode; its `wording` decides which phrases are used.
        full: whether the room is named (the fully observed variant).
        header: whether the description begins with the room's name as a title.
    """
    room, things, table = state.room, state.things, phrases()
    # Four bits for each list of phrases, 32 for each room.
    digits = state.wording >> 32 * house.number[room]

    def drawn(kind: str, place: int) -> str:
        return table[kind][(digits >> 4 * place & 15) % len(table[kind])]

    text = f"-= {room.title()} =-\n" if header else ""
    if full:
        text += drawn("introductions", 0).format(room=a(room))
        text += drawn("kinds", 1) + drawn("looks", 2)
    between = "\n\n" if full else " "
    for piece in house.furniture[room]:
        name, here = name_of(piece), things[piece]
        if piece in CONTAINERS:
            opened = piece in state.opened
            sight = drawn("sights", 3).format(it=a(f"{'opened' if opened else 'closed'} {name}"))
            if opened:
                inside = f"The {name} contains {all_of(here)}." if here else drawn("nothing in", 4)
                sight = f"{sight} {inside}"
        else:
            on = drawn("on", 4).format(things=all_of(here)) if here else drawn("nothing on", 4)
            sight = f"{drawn('sights', 3).format(it=a(name))}{drawn('tables', 5)} {on}"
        text += f"{between}{sight}{drawn('remarks', 6)}"
    free, exits = drawn("free", 7), list(house.exits[room])
    if len(exits) > 1:
        text += f"\n\nThere are {free} exits to the {series(exits)}."
    else:
        single = table["single exits"][(digits >> 29 & 7) % 4]
        text += "\n\n" + single.format(free=free, to=exits[0])
    if floor := things.get(room):
        text += f"\n\nThere is {all_of(floor)} on the floor."
    return text
