"""What a node of the cluster has: package versions, our source, and access to a folder.

`cluster.startup.preflight` calls this file on every node, so that it imports little.
"""

import hashlib
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("ray", "torch", "vllm", "deepspeed", "transformers")
"""Packages that have to be the same on all nodes."""

SOURCE = ("lmrl", "learners", "actors", "cluster")
"""Our packages that actors import."""

PATIENCE = 5.0
"""Time in which a file that another node wrote has to appear, in seconds; network file systems
cache folders."""


class NodeFacts(NamedTuple):
    """What a node has.

    Attributes:
        versions: versions by the name of the package.
        folder_error: why the folder cannot be read or written; empty if it can, or is not asked.
    """

    versions: dict[str, str]
    folder_error: str


def node_facts(folder: str = "", nonce: str = "", reply: str = "") -> NodeFacts:
    """Return what this node has.

    Args:
        folder: folder that all nodes have to share; empty checks none.
        nonce: name of a file in it, which holds its own name.
        reply: name of the file that this node writes there.
    """
    return NodeFacts(_versions(), _folder_error(Path(folder), nonce, reply) if folder else "")


def _versions() -> dict[str, str]:
    """Return the versions of Python, of the packages and of our source.

    Builds of the same version for other devices, like `2.13.0+cpu`, count as the same.
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        found[package] = _version(package).partition("+")[0]
    return found | {"lmrl source": source_digest()}


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "not installed"


def source_digest() -> str:
    """Return a digest of the source of `SOURCE`; a copy without its repository has no commit."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in SOURCE:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _folder_error(folder: Path, nonce: str, reply: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if (folder / nonce).read_text() == nonce:
                break
            reason = "it has another file of that name"
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() > deadline:
            return f"cannot read a file there ({reason})"
        time.sleep(0.1)
    try:
        (folder / reply).write_text(reply)
    except OSError as error:
        return f"cannot write there ({error.strerror or error})"
    return ""
