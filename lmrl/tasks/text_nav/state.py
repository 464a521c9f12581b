"""What changes during an episode of Text-Nav."""

from dataclasses import dataclass


@dataclass
class TextNavState:
    """What changes during an episode.

    Attributes:
        room: room of the player.
        things: place -> things there; a place is the player's hands, a piece of furniture, or the
            floor of a room. What was moved last comes first.
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
