"""Rows of a file that cannot be read: how many an import may leave out, and which it did."""

from collections.abc import Callable, Iterable, Iterator

from lmrl.data.json_rows import Field
from lmrl.errors import DataError, UsageError
from lmrl.trajectory import Trajectory

SHOWN = 20
"""Largest number of skipped rows that a command lists."""


class BadRows:
    """Counts rows, and leaves out those that cannot be read while they are few enough.

    Args:
        most: largest number of rows to leave out.
        share: largest share of the rows to leave out, beside `most`.

    Attributes:
        rows: number of rows so far.
        skipped: why each row that was left out cannot be read, with its place.
    """

    def __init__(self, most: int = 0, share: float = 0.0) -> None:
        self.most, self.share = most, share
        self.rows = 0
        self.skipped: list[str] = []

    @classmethod
    def parse(cls, text: str) -> "BadRows":
        """Return the limit that a text means: a number of rows, or a share like `5%`.

        Raises:
            UsageError: for any other text.
        """
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100
                if not 0 <= share <= 1:
                    raise ValueError
                return cls(share=share)
            if int(text) < 0:
                raise ValueError
            return cls(int(text))
        except ValueError:
            raise UsageError(
                f"--skip-bad is {text!r}; give a number of rows or a share, like 10 or 5%"
            ) from None

    def skip(self, error: DataError) -> None:
        """Leave out a row.

        Args:
            error: why it cannot be read.

        Raises:
            DataError: the same if no further row may be left out.
        """
        self.skipped.append(str(error))
        # Of a share nothing can be said before the end.
        if not self.share and len(self.skipped) > self.most:
            if not self.most:
                raise error
            raise DataError(f"more than {self.most} rows cannot be read, the last one: {error}")

    def each(
        self, found: Iterable[Field], build: Callable[[Field], Trajectory]
    ) -> Iterator[Trajectory]:
        """Yield an episode for every row that can be read.

        Args:
            found: rows of a file.
            build: returns the episode of a row, or raises `DataError`.

        Raises:
            DataError: for a row that may not be left out.
        """
        for row in found:
            self.rows += 1
            try:
                made = build(row)
            except DataError as error:
                self.skip(error)
            else:
                yield made

    def check(self) -> None:
        """Check the share of rows that were left out, after the last one.

        Raises:
            DataError: if it is larger than allowed.
        """
        if self.share and len(self.skipped) > self.share * max(1, self.rows):
            raise DataError(
                f"{len(self.skipped)} of {self.rows} rows cannot be read, more than "
                f"{100 * self.share:g} %; the first one: {self.skipped[0]}"
            )
