"""Which Ray a run joins: the one that RAY_ADDRESS names, after a check that it is there."""

import os
import re
import socket
import subprocess
import sys

from lmrl.errors import UsageError

CONNECT = 4.0
"""Seconds for a connection to a cluster's address."""

ANSWER = 9.0
"""Seconds for the head node's first answer."""


def ray_address() -> str:
    """Return the address for `ray.init`: `local`, or that of the cluster that RAY_ADDRESS names.

    Within a submitted job Ray sets RAY_ADDRESS to the job's own cluster.

    Raises:
        UsageError: for an address that is not of a head node, or where no head node answers.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "local"):
        return "local"
    if address == "auto":
        raise UsageError(
            "RAY_ADDRESS is auto, which joins any Ray of this machine, also another user's; set it "
            "to HOST:PORT of the head node, or unset it for a Ray of the run's own"
        )
    if "://" in address:
        raise UsageError(
            f"RAY_ADDRESS is {address}, which 'ray job submit' understands and a run does not; "
            "submit the run as a job, set HOST:PORT of the head node, or unset it for a Ray of the "
            "run's own"
        )
    match = re.fullmatch(r"\[?([^\]]+)\]?:(\d{1,5})", address)
    if match is None or int(match[2]) > 65535:
        raise UsageError(
            f"RAY_ADDRESS is {address}, which is not HOST:PORT of a head node; set it to that, or "
            "unset it for a Ray of the run's own"
        )
    reason = _connect(match[1], int(match[2])) or _status(address)
    if reason:
        raise UsageError(
            f"no Ray head node answers at RAY_ADDRESS {address} ({reason}); start it, correct the "
            "address, or unset it for a Ray of the run's own"
        )
    return address


def _connect(host: str, port: int) -> str:
    """Return why no connection can be made; empty if one can."""
    try:
        socket.create_connection((host, port), timeout=CONNECT).close()
    except OSError as error:
        return error.strerror or str(error) or "no connection"
    return ""


def _status(address: str) -> str:
    """Return why the head node gives no status; empty if it does.

    Ray asks for minutes in the calling process, and cannot be interrupted there.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        return f"it gave no status within {ANSWER:g} s"
    said = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
    return "" if asked.returncode == 0 else said[-1]
