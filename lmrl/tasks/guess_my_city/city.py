"""One city, and how names look in a question."""

import re
import unicodedata
from dataclasses import dataclass


def plain(text: str) -> str:
    """Return a text in lower case without accents."""
    split = unicodedata.normalize("NFKD", text)
    return "".join(c for c in split if not unicodedata.combining(c)).lower()


def words_of(name: str) -> str:
    """Return a name as it looks in a question cut into words."""
    return " ".join(re.findall("[a-z]+", plain(name)))


@dataclass(frozen=True)
class City:
    """A row of the table, with what holds of its country.

    Attributes:
        name: its name in the published table.
        country: its country there.
        thousands: number of inhabitants in thousands.
        flags: what is true of it: `capital`, `coast`, `lake`, `high`, `river`, its age (`ancient`,
            `old`, `young`) and its ocean (`pacific`, `atlantic`, `indian`).
        climate: its climate.
        known_for: what it is known for, a category that it shares with many cities.
        aliases: other names.
        part: the part of its continent in which it lies.
    """

    name: str
    country: str
    thousands: float
    flags: frozenset[str]
    climate: str
    known_for: str
    aliases: tuple[str, ...]
    continent: str
    region: str
    language: str
    food: str
    currency: str
    religion: str
    sport: str
    script: str
    part: str

    @property
    def published(self) -> str:
        """The published string of the city."""
        return f"{self.name},{self.country}".lower()

    @property
    def initial(self) -> str:
        """The first letter of its name."""
        return self.name[0]

    @property
    def southern(self) -> bool:
        """Whether it lies south of the equator."""
        south = ("Brazil", "Peru", "Chile", "Australia", "Argentina", "Ecuador", "Congo")
        return self.country in south or (self.country == "Indonesia" and self.name != "Medan")
