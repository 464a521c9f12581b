"""A copy of a run directory at a URI: in object storage (S3, GCS) or any file system of fsspec.

A run works in its directory. After each checkpoint, files that are new or longer are copied, and
then the manifest, which lists every file of that checkpoint with its size and digest. So a copy is
whole or is not in the manifest. `fetch` makes a run directory from it, with which the run goes on.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import fs as pafs

from lmrl.errors import DataError, UsageError
from lmrl.files import atomic_file, atomic_link
from lmrl.runs.log import RunLog
from lmrl.runs.names import CHECKPOINTS, CONFIG, LOG, REPORT, STATUS, TENSORBOARD

log = logging.getLogger(__name__)

MANIFEST = "mirror.json"
"""The list of files of the last checkpoint that was copied whole."""

FORMAT = 1
"""Version of the manifest."""

IDENTITY = ".lmrl-mirror"
"""File of a run directory with the name of its run in the copy; another run is refused there."""

CHUNK = 2**22
"""Number of bytes that are read at one time."""

LEFT_OUT = (STATUS, LOG, REPORT, TENSORBOARD, "wandb", "trackio")
"""Files and folders of a run that are not copied: no run needs them to go on."""


class Entry(NamedTuple):
    """A file of a run.

    Attributes:
        size: number of bytes.
        digest: SHA-256 of these bytes, in hexadecimal digits.
    """

    size: int
    digest: str


class Manifest(NamedTuple):
    """What a copy has.

    Attributes:
        run: name of the run, which is random; empty if there is no copy yet.
        files: entries by path within the run directory.
        links: targets of the links among the checkpoints, by path.
    """

    run: str
    files: dict[str, Entry]
    links: dict[str, str]


def file_system(uri: str) -> tuple[Any, str]:
    """Return the file system of a URI, and the path in it.

    Raises:
        UsageError: if nothing installed knows its scheme, or it names no folder.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator:
        raise UsageError(f"{uri} is not a URI; give one like s3://BUCKET/PATH")
    try:
        found, path = pafs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid as error:
        try:
            import fsspec

            other, path = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as reason:
            raise UsageError(
                f"{uri} cannot be used ({reason or error}); install the package that gives fsspec "
                f"the scheme {scheme}, or use s3://, gs:// or file://"
            ) from error
        found = pafs.PyFileSystem(pafs.FSSpecHandler(other))
    if not path.strip("/"):
        raise UsageError(f"{uri} names no folder; give one like {scheme}://BUCKET/PATH")
    return found, path


class Mirror:
    """The copy of a run directory at a URI.

    Args:
        folder: run directory.
        uri: URI of a folder for this run alone.

    Raises:
        UsageError: if the URI cannot be used.
    """

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri = folder, uri
        self.fs, self.path = file_system(uri)
        self.known: Manifest | None = None
        # Size, time and entry of each file that was copied.
        self.copied: dict[str, tuple[int, int, Entry]] = {}
        self.made: set[str] = set()

    def check(self) -> None:
        """Refuse a URI that cannot be written, or that has another run.

        Raises:
            UsageError: if so.
        """
        try:
            self.fs.create_dir(self.path, recursive=True)
            there = self._manifest()
        except OSError as error:
            raise UsageError(f"mirror {self.uri} cannot be used: {error}") from error
        if there.run and there.run != self._identity():
            raise UsageError(
                f"mirror {self.uri} has another run; go on with that one (lmrl mirror {self.uri} "
                "DIR, then lmrl train --resume DIR), or choose another URI"
            )

    def _identity(self) -> str:
        """Return the name of the run in its copy; empty if it was never copied."""
        path = self.folder / IDENTITY
        return path.read_text().strip() if path.exists() else ""

    def _manifest(self) -> Manifest:
        text = self._read(self._place(MANIFEST))
        return Manifest("", {}, {}) if text is None else _parse(text, self.uri)

    @property
    def files(self) -> int:
        """Number of files of the copy that this process has written."""
        return len(self.known.files) if self.known else 0

    def sync(self) -> bool:
        """Copy what is new, and then the manifest; return whether that succeeded.

        A failure is logged, and the next call tries again: a run does not end because its copy is
        late.
        """
        try:
            self._sync()
        except OSError as error:
            log.warning("the run could not be copied to %s: %s", self.uri, error)
            return False
        return True

    def _sync(self) -> None:
        if self.known is None:
            self.known = self._manifest()
        run = self._identity()
        if not run:
            run = secrets.token_hex(8)
            (self.folder / IDENTITY).write_text(f"{run}\n")
        files, links = {}, {}
        for name, path in _files(self.folder):
            if path.is_symlink():
                links[name] = os.readlink(path)
                continue
            stat = path.stat()
            before = self.copied.get(name)
            if before is None or before[:2] != (stat.st_size, stat.st_mtime_ns):
                before = (stat.st_size, stat.st_mtime_ns, self._copy(name, path))
                self.copied[name] = before
            files[name] = before[2]
        manifest = {"format": FORMAT, "run": run, "files": files, "links": links}
        # Under another name first, since a file system may show a file that is half written.
        with self._open(MANIFEST + ".new") as out:
            out.write(json.dumps(manifest, indent=1).encode())
        self.fs.move(self._place(MANIFEST + ".new"), self._place(MANIFEST))
        old, self.known = self.known, Manifest(run, files, links)
        for name in old.files.keys() - files.keys():
            self.fs.delete_file(self._place(name))

    def _copy(self, name: str, path: Path) -> Entry:
        """Copy a file, unless the copy has it already, and return its entry."""
        assert self.known is not None
        before = self.known.files.get(name)
        if before is not None and before == _entry(path):
            return before
        size, digest = 0, hashlib.sha256()
        with path.open("rb") as file, self._open(name) as out:
            while chunk := file.read(CHUNK):
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        return Entry(size, digest.hexdigest())

    def _open(self, name: str) -> Any:
        place = self._place(name)
        parent = str(PurePosixPath(place).parent)
        if parent not in self.made:
            self.fs.create_dir(parent, recursive=True)
            self.made.add(parent)
        return self.fs.open_output_stream(place)

    def _place(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def _read(self, place: str) -> bytes | None:
        """Return the bytes of a file; None if it does not exist."""
        if self.fs.get_file_info(place).type == pafs.FileType.NotFound:
            return None
        with self.fs.open_input_stream(place) as file:
            return bytes(file.read())

    def fetch(self) -> int:
        """Make the run directory from the copy, and return the number of its files.

        The configuration comes last, so that a directory that is not whole is not a run yet; the
        same call then goes on.

        Raises:
            DataError: if there is no copy, or a file of it is not the one in the manifest.
            UsageError: if the directory has other files, or a run.
        """
        manifest = self._manifest()
        if not manifest.run:
            raise DataError(f"{self.uri} has no copy of a run: it has no {MANIFEST}")
        run = RunLog(self.folder)
        with run.locked():
            if run.holds_run:
                raise UsageError(f"{self.folder} holds a run already; choose another directory")
            (self.folder / IDENTITY).write_text(f"{manifest.run}\n")
            for name in sorted(manifest.files, key=lambda name: (name == CONFIG, name)):
                self._fetch(name, manifest.files[name])
            for name, target in manifest.links.items():
                atomic_link(self.folder / name, target)
        return len(manifest.files)

    def _fetch(self, name: str, entry: Entry) -> None:
        target = self.folder / name
        if target.exists() and _entry(target) == entry:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, left = hashlib.sha256(), entry.size
        with atomic_file(target) as part, part.open("wb") as file:
            with self.fs.open_input_stream(self._place(name)) as source:
                # A file of lines may have got longer after the manifest was written.
                while left and (chunk := source.read(min(CHUNK, left))):
                    file.write(chunk)
                    digest.update(chunk)
                    left -= len(chunk)
            if left or digest.hexdigest() != entry.digest:
                raise DataError(f"{name} in {self.uri} is not the file that its manifest names")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the path within a run directory, and the place, of each file and link to copy.

    Names with a dot are marks, files that are being written, and runs that were set aside.
    """
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in LEFT_OUT:
            continue
        if path.is_file() or path.is_symlink():
            yield path.name, path
        else:
            yield from ((f"{path.name}/{name}", inner) for name, inner in _files(path))


def _entry(path: Path) -> Entry:
    with path.open("rb") as file:
        return Entry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _parse(text: bytes, uri: str) -> Manifest:
    """Return the manifest in some bytes.

    Raises:
        DataError: if it is malformed, or a path in it leaves the run directory.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, and {FORMAT} is known")
        run = str(content["run"])
        entries = content["files"].items()
        files = {name: Entry(int(size), str(digest)) for name, (size, digest) in entries}
        links = {str(name): str(target) for name, target in content["links"].items()}
        for name in [*files, *links]:
            parts = PurePosixPath(name).parts
            if not parts or any(part.startswith(("/", ".")) for part in parts):
                raise ValueError(f"it names {name}")
        for name, target in links.items():
            if PurePosixPath(name).parts[-2:-1] != (CHECKPOINTS,) or "/" in target:
                raise ValueError(f"it links {name} to {target}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{MANIFEST} in {uri} is not the manifest of a run: {error}") from error
    return Manifest(run, files, links)
