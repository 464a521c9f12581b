"""The address of the Ray that a run joins: that of RAY_ADDRESS, after a check that it responds."""

import os
import re
import socket
import subprocess
import sys

from lmrl.errors import UsageError

CONNECT = 4.0
"""Time limit of a connection to a cluster's address, in seconds."""

ANSWER = 9.0
"""Time limit of the head node's first response, in seconds."""


def ray_address() -> str:
    """Return the address for `ray.init`: `local`, or that of the cluster that RAY_ADDRESS names.

    Within a submitted job Ray sets RAY_ADDRESS to the job's own cluster.

    Raises:
        UsageError: if the address is not that of a head node, or no head node responds there.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "local"):
        return "local"
    if address == "auto":
        raise UsageError(
            "RAY_ADDRESS is auto, which joins any Ray of this machine, also another user's; set it "
            "to HOST:PORT of the head node, or unset it to start a private Ray"
        )
    if "://" in address:
        raise UsageError(
            f"RAY_ADDRESS is {address}, which 'ray job submit' understands and a run does not; "
            "submit the run as a job, set HOST:PORT of the head node, or unset it to start a "
            "private Ray"
        )
    match = re.fullmatch(r"\[?([^\]]+)\]?:(\d{1,5})", address)
    if match is None or int(match[2]) > 65535:
        raise UsageError(
            f"RAY_ADDRESS is {address}, which is not HOST:PORT of a head node; set it to that, or "
            "unset it to start a private Ray"
        )
    reason = _connect(match[1], int(match[2])) or _status(address)
    if reason:
        raise UsageError(
            f"no Ray head node answers at RAY_ADDRESS {address} ({reason}); start it, correct the "
            "address, or unset it to start a private Ray"
        )
    return address


def _connect(host: str, port: int) -> str:
    """Return the reason why a connection fails; empty if it succeeds."""
    try:
        socket.create_connection((host, port), timeout=CONNECT).close()
    except OSError as error:
        return error.strerror or str(error) or "no connection"
    return ""


def _status(address: str) -> str:
    """Return the reason why the head node gives no status; empty if it gives one.

    A process of its own asks for the status: Ray would try for minutes in the calling process, and
    cannot be interrupted there.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        return f"it gave no status within {ANSWER:g} s"
    lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
    return "" if asked.returncode == 0 else lines[-1]
