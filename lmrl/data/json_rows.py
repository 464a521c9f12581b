"""Rows of JSON files that others wrote: read as a stream, and checked field by field.

Whatever is wrong is told with the file, the row (counted from 1) and the field. No file is ever
held in memory as a whole, and none is ever unpickled.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lmrl.errors import DataError

CHUNK = 1 << 20
"""Characters that are read at once."""
LONGEST_ROW = 1 << 26
"""Characters of a row. What is longer is no row but a file of another kind, or a broken one."""

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_MARGIN = 32
"""An error so near to the end of what has been read may only mean that the rest is missing."""
_PICKLES = (".pkl", ".pickle", ".p", ".pt", ".pth")
_PACKED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"\xfd7": "xz", b"BZ": "bzip2", b"\x28\xb5": "zstd"}
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Field:
    """A JSON value that knows where it came from.

    Attributes:
        value: as `json` read it.
        where: file and row.
        path: the way from the row to the value, for example `lines[2].text`; empty for the row.
    """

    value: Any
    where: str
    path: str = ""

    def wrong(self, what: str) -> DataError:
        """Return the error that says what is wrong with this field."""
        return DataError(f"{self.where}, field {self.path or '(the row itself)'}: {what}")

    def _is_no(self, wanted: str) -> DataError:
        kind = _KINDS.get(type(self.value), "a number")
        plain = isinstance(self.value, str | int | float) and not isinstance(self.value, bool)
        shown = f" ({repr(self.value)[:40]})" if plain else ""
        return self.wrong(f"is {kind}{shown}, not {wanted}")

    def __contains__(self, key: str) -> bool:
        """Whether this is an object that has a field which is not null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> "Field":
        """Return a field of an object.

        Raises:
            DataError: if this is no object, or it lacks the field.
        """
        if not isinstance(self.value, dict):
            raise self._is_no("an object")
        field = Field(self.value.get(key), self.where, f"{self.path}.{key}" if self.path else key)
        if key not in self.value:
            raise field.wrong("is missing")
        return field

    def items(self, count: int | None = None, of: str = "") -> list["Field"]:
        """Return the entries of a list.

        Args:
            count: how many there have to be; None is any number.
            of: what makes them so many, for the message.

        Raises:
            DataError: if this is no list, or not so long.
        """
        if not isinstance(self.value, list):
            raise self._is_no("a list")
        if count is not None and len(self.value) != count:
            raise self.wrong(f"has {len(self.value)} entries, not {count}: {of}")
        return [Field(v, self.where, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def text(self) -> str:
        """Return a text.

        Raises:
            DataError: if this is none, or holds half a surrogate pair, which no file can store.
        """
        if not isinstance(self.value, str):
            raise self._is_no("text")
        try:
            self.value.encode()
        except UnicodeEncodeError as error:
            raise self.wrong(f"has a broken character at {error.start}") from error
        return self.value

    def number(self) -> float:
        """Return a finite number.

        Raises:
            DataError: if this is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._is_no("a number")
        try:
            value = float(self.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.wrong("is no finite number")
        return value

    def whole(self) -> int:
        """Return a whole number.

        Raises:
            DataError: if this is none.
        """
        value = self.number()
        if value != int(value):
            raise self._is_no("a whole number")
        return int(value)

    def flag(self) -> bool:
        """Return yes or no, which some files write as 1 and 0.

        Raises:
            DataError: if this is neither.
        """
        if not isinstance(self.value, bool | int | float) or self.value not in (0, 1):
            raise self._is_no("true or false")
        return bool(self.value)


def opened(path: Path) -> IO[bytes]:
    """Open a file of JSON.

    Raises:
        DataError: if it cannot be read, is a pickle, or is packed.
    """
    try:
        file = path.open("rb")
        head = file.read(2)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    packed = _PACKED.get(head)
    pickled = path.suffix in _PICKLES or (head[:1] == b"\x80" and head[1:] in b"\x02\x03\x04\x05")
    if pickled or packed:
        file.close()
        if pickled:
            raise DataError(
                f"{path} is a pickle, and reading one runs whatever program is in it; if you trust "
                'it, convert it: python -c "import json, pickle, sys; [print(json.dumps(row)) for '
                f"row in pickle.load(open(sys.argv[1], 'rb'))]\" {path.name} > {path.stem}.jsonl"
            )
        raise DataError(f"{path} is packed ({packed}); unpack it first")
    file.seek(0)
    return file


def lines(path: Path) -> Iterator[Field]:
    """Yield the rows of a file with one JSON value a line; empty lines are passed over.

    Raises:
        DataError: if a line is no JSON, or too long to be a row.
    """
    with opened(path) as file:
        for number in range(1, 2**63):
            where = f"{path}: row {number}"
            raw = file.readline(LONGEST_ROW + 1)
            if not raw:
                return
            if len(raw) > LONGEST_ROW:
                raise DataError(f"{where} is longer than {LONGEST_ROW >> 20} MiB: no row a line?")
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                value = json.loads(text) if text.strip() else None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where} is cut off or no JSON ({_reason(error)})") from error
            if text.strip():
                yield Field(value, where)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, character {error.pos}"
    return str(error).replace("\n", " ")


class _Text:
    """The characters of a JSON file that have not been read yet."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.rows = 0
        self.buffer, self.at = "", 0
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def broken(self, what: str) -> DataError:
        """Return the error that says what is wrong with the row that is being read."""
        return DataError(f"{self.path}: row {self.rows + 1} is cut off or no JSON ({what})")

    def more(self) -> bool:
        """Read on: as much again as is waiting, so that a long value costs linear time."""
        raw = self.file.read(max(CHUNK, len(self.buffer) - self.at))
        try:
            text = self.decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise self.broken(f"no UTF-8: {error.reason}") from error
        self.buffer, self.at = self.buffer[self.at :] + text, 0
        return bool(raw)

    def peek(self) -> str:
        """Return the next character that is no space; nothing at the end of the file."""
        while True:
            found = _SPACE.match(self.buffer, self.at)
            assert found is not None
            self.at = found.end()
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self.more():
                return ""

    def take(self, wanted: str) -> str:
        """Read the next character, which has to be one of those wanted."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.broken(f"{found or 'the end of the file'!r} where one of {wanted} belongs")
        self.at += 1
        return found

    def value(self) -> Any:
        """Read a value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.buffer, self.at)
            except (ValueError, RecursionError) as error:
                self._incomplete(error)
                continue
            self.at = end
            return value

    def _incomplete(self, error: Exception) -> None:
        """Read on if that may mend a value that could not be read.

        Raises:
            DataError: if nothing can.
        """
        early = (
            isinstance(error, json.JSONDecodeError)
            and not error.msg.startswith("Unterminated")
            and error.pos < len(self.buffer) - _MARGIN
        )
        hopeless = early or not isinstance(error, json.JSONDecodeError)
        if hopeless or len(self.buffer) - self.at > LONGEST_ROW or not self.more():
            raise self.broken(_reason(error)) from error

    def array(self) -> Iterator[Field]:
        """Yield the entries of an array, each a row."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            value = self.value()
            self.rows += 1
            yield Field(value, f"{self.path}: row {self.rows}")
            if self.take(",]") == "]":
                return

    def end(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            raise self.broken("more text after the end of the JSON value")


def entries(path: Path) -> Iterator[Field]:
    """Yield the rows of a file with one JSON array, or with one object of arrays.

    Raises:
        DataError: if the file is no JSON of that kind.
    """
    with opened(path) as file:
        text = _Text(path, file)
        if text.peek() != "{":
            yield from text.array()
            text.end()
            return
        text.take("{")
        more = text.peek() != "}"
        if not more:
            text.take("}")
        while more:
            if not isinstance(text.value(), str):
                raise text.broken("a group without a name")
            text.take(":")
            yield from text.array()
            more = text.take(",}") == ","
        text.end()


def rows(path: Path) -> Iterator[Field]:
    """Yield the rows, which are objects, of a file with one JSON array or with a row a line.

    Raises:
        DataError: if the file is neither.
    """
    with opened(path) as file:
        first = _Text(path, file).peek()
    return entries(path) if first == "[" else lines(path)
