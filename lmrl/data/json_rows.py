"""Rows of JSON files from elsewhere: read as a stream, and checked field by field.

Errors name the file, the row (counted from 1) and the field. No file is held in memory as a whole,
and none is unpickled.
"""

import codecs
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ijson

from lmrl.errors import DataError

CHUNK = 1 << 18
"""Bytes that are read at once."""
LONGEST_ROW = 1 << 26
"""Maximum bytes of a row. A longer one means that the file is of another kind, or broken."""

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F]"
_HALF_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:" + _HIGH + rb"(?!" + _LOW + rb")|(?<!" + _HIGH + rb")" + _LOW + rb")"
)
"""An escaped half of a surrogate pair, which the parser would replace by a question mark."""
_ESCAPE = 12
"""Bytes of an escaped surrogate pair."""
_PICKLES = (".pkl", ".pickle", ".p", ".pt", ".pth")
_PACKED = {b"PK": "zip", b"\xfd7": "xz", b"BZ": "bzip2", b"\x28\xb5": "zstd"}
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Field:
    """A JSON value and its place in a file.

    Attributes:
        value: the value as Python's `json` gives it.
        where: file and row.
        path: path from the row to the value, for example `lines[2].text`; empty for the row.
    """

    value: Any
    where: str
    path: str = ""

    def wrong(self, what: str) -> DataError:
        """Return an error with the place of this field; `what` says what is wrong with it."""
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
            DataError: if this is not an object, or lacks the field.
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
            count: required number of entries; None for any.
            of: reason for that number, for the message.

        Raises:
            DataError: if this is not a list, or has another length.
        """
        if not isinstance(self.value, list):
            raise self._is_no("a list")
        if count is not None and len(self.value) != count:
            raise self.wrong(f"has {len(self.value)} entries, not {count}: {of}")
        return [Field(v, self.where, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def text(self) -> str:
        """Return a text.

        Raises:
            DataError: if this is not text, or holds half a surrogate pair, which no file can store.
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
            DataError: if this is not one.
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
            DataError: if this is not one.
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


class _Converted(io.RawIOBase):
    """A file whose bytes are made while it is read.

    Args:
        path: file, for messages.
        take: returns the next bytes, at most as many as its argument; empty at the end.
    """

    def __init__(self, path: Path, take: Callable[[int], bytes]) -> None:
        self.path, self.take = path, take

    def readable(self) -> bool:
        """Return that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return the number of bytes.

        Raises:
            DataError: if the file is broken.
        """
        try:
            data = self.take(len(buffer))
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            raise DataError(f"{self.path} is cut off or broken ({error})") from error
        buffer[: len(data)] = data
        return len(data)


def opened(path: Path) -> io.BufferedReader:
    """Open a file of JSON, which may be packed by gzip or be UTF-16, and give it as UTF-8.

    Raises:
        DataError: if it cannot be read, is a pickle, or is compressed in another way.
    """
    file = _unpacked(path)
    head = file.peek(2)[:2]
    if head not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return file
    text = io.TextIOWrapper(file, encoding="utf-16", newline="")
    # A character has at most four bytes.
    return io.BufferedReader(
        _Converted(path, lambda size: text.read(max(1, size // 4)).encode(errors="surrogatepass"))
    )


def _unpacked(path: Path) -> io.BufferedReader:
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
    if head != b"\x1f\x8b":
        return file
    unpacked = gzip.GzipFile(fileobj=file)
    return io.BufferedReader(_Converted(path, unpacked.read))


OnBad = Callable[[DataError], None]
"""Takes the error of a row that cannot be read, and raises it if the row may not be left out."""


def lines(path: Path, on_bad: OnBad | None = None) -> Iterator[Field]:
    """Yield the rows of a file with one JSON value a line; empty lines are skipped.

    Args:
        path: file to read.
        on_bad: takes the errors of lines that are not JSON; None raises them.

    Raises:
        DataError: if a line is not JSON, or too long to be a row.
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
                found = DataError(f"{where} is cut off or no JSON ({_reason(error)})")
                if on_bad is None:
                    raise found from error
                on_bad(found)
                continue
            if text.strip():
                yield Field(value, where)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, character {error.pos}"
    # The parser's messages may be bytes, and quote the file after the first line.
    text = (
        error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
    )
    return text.splitlines()[0].strip()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file in pieces, none of which ends within an escape sequence."""
    while chunk := file.read(CHUNK):
        while b"\\" in chunk[-_ESCAPE:] and len(chunk) <= LONGEST_ROW:
            more = file.read(CHUNK)
            if not more:
                break
            chunk += more
        yield chunk


class _RowBuilder:
    """Puts rows together from the events of a JSON parser.

    Attributes:
        rows: number of complete rows.
        value: the last complete row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.value: Any = None
        self.outer: list[str] = []
        self.builder: ijson.ObjectBuilder | None = None
        self.open = 0

    def broken(self, what: str) -> DataError:
        """Return the error that says what is wrong with the row that is being read."""
        return DataError(f"{self.path}: row {self.rows + 1} is cut off or no JSON ({what})")

    def add(self, event: str, value: Any) -> bool:
        """Take the next event and return whether it completes a row.

        Raises:
            DataError: if the file is neither an array nor an object of arrays.
        """
        if self.builder is None:
            if event in ("map_key", "end_array", "end_map"):
                if event != "map_key":
                    self.outer.pop()
                return False
            if self.outer[-1:] != ["start_array"]:
                if event == "start_array" or (event == "start_map" and not self.outer):
                    self.outer.append(event)
                    return False
                raise self.broken("no list of rows")
            self.builder = ijson.ObjectBuilder()
        self.builder.event(event, value)
        self.open += event.startswith("start_") - event.startswith("end_")
        if self.open:
            return False
        self.value, self.builder = self.builder.value, None
        self.rows += 1
        return True


def entries(path: Path) -> Iterator[Field]:
    """Yield the rows of a file with one JSON array, or with one object of arrays.

    Raises:
        DataError: if the file does not hold JSON of that kind.
    """
    builder = _RowBuilder(path)
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, use_float=True)

    def complete() -> Iterator[Field]:
        for event, value in events:
            if builder.add(event, value):
                yield Field(builder.value, f"{path}: row {builder.rows}")
        events.clear()

    with opened(path) as file:
        if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        unfinished = 0
        for chunk in _chunks(file):
            half = _HALF_PAIR.search(chunk) if b"\\u" in chunk else None
            error: Exception | None = None
            try:
                parser.send(chunk[: half.start()] if half else chunk)
            except (ijson.JSONError, ValueError) as found:
                error = found
            before = builder.rows
            # The rows before an error are complete, and their number is part of its message.
            yield from complete()
            unfinished = len(chunk) + (unfinished if builder.rows == before else 0)
            if error:
                raise builder.broken(_reason(error)) from error
            if half:
                raise builder.broken("half a surrogate pair")
            if unfinished > LONGEST_ROW:
                raise builder.broken(f"longer than {LONGEST_ROW >> 20} MiB")
        try:
            parser.close()
        except (ijson.JSONError, ValueError) as found:
            raise builder.broken(_reason(found)) from found
        yield from complete()


def rows(path: Path, on_bad: OnBad | None = None) -> Iterator[Field]:
    """Yield the rows, which are objects, of a file with one JSON array or with a row a line.

    Args:
        path: file to read.
        on_bad: takes the errors of lines that are not JSON; None raises them.

    Raises:
        DataError: if the file does not hold JSON of either kind.
    """
    with opened(path) as file:
        first = b""
        while not first:
            chunk = file.read(CHUNK)
            first = chunk.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
            if not chunk:
                break
    return entries(path) if first == b"[" else lines(path, on_bad)
