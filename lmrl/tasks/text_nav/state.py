"""What changes during an episode of Text-Nav."""

from dataclasses import dataclass


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
