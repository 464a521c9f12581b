"""What a command means that is not one of the admissible ones word for word."""

from collections.abc import Mapping

from lmrl.tasks.text_nav.floor_plan import (
    CONTAINERS,
    DIRECTIONS,
    FOODS,
    HANDS,
    Command,
    FloorPlan,
    name_of,
)
from lmrl.tasks.text_nav.state import TextNavState

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


def understand(
    action: str, state: TextNavState, house: FloorPlan, commands: Mapping[str, Command]
) -> Command | str:
    """Return the command that a text means, or the reply that refuses it.

    Args:
        action: the text.
        state: the state of the episode, which stays as it is.
        house: the house of the episode.
        commands: the admissible commands by their texts.

    Returns:
        An admissible command, `look` or `inventory`, or a refusal.
    """
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
        return Command(verb, "")
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
    if not words:
        return _UNKNOWN_THING
    meant = [
        command
        for command in commands.values()
        if command.verb == verb and _fits(command.thing, words) and _fits(command.place, second)
    ]
    if len(meant) > 1:
        return f"Which do you mean, the {' or the '.join(c.thing for c in meant)}?\n"
    return meant[0] if meant else _refusal(verb, words, second, state, house)


def _fits(name: str, given: list[str]) -> bool:
    return set(given) <= set(name_of(name).split())


def _refusal(
    verb: str, words: list[str], second: list[str], state: TextNavState, house: FloorPlan
) -> str:
    """Return why no admissible command fits the words."""
    things = state.things
    pieces = house.furniture[state.room]
    open_pieces = [p for p in pieces if p not in CONTAINERS or p in state.opened]
    places = [HANDS, state.room, *open_pieces]
    loose = [thing for place in places for thing in things.get(place, ())]
    seen = [name for name in (*loose, *pieces) if _fits(name, words)]
    if not seen or (second and not any(_fits(piece, second) for piece in pieces)):
        return _UNKNOWN_THING
    return _misuse(verb, seen[0], state, house)


def _misuse(verb: str, name: str, state: TextNavState, house: FloorPlan) -> str:
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
        if name in house.room_of:
            return "That's fixed in place.\n\n"
        return "But it isn't there now.\n\n"
    if verb == "eat" and name not in FOODS:
        return "That's plainly inedible.\n\n"
    if name not in state.things[HANDS]:
        return f"You need to take the {name_of(name)} first.\n\n"
    return "You can't put it there.\n\n"
