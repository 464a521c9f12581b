"""Checks before the viewer starts: its package, and a terminal."""

import os
import sys
from importlib.util import find_spec

from lmrl.errors import UsageError


def check() -> None:
    """Check that the viewer can be shown.

    Raises:
        UsageError: if its package is not installed, or there is no terminal.
    """
    if find_spec("textual") is None:
        raise UsageError("'lmrl view' needs textual: pip install 'lmrl[view]'")
    if not all(map(_is_terminal, (sys.stdin, sys.stdout, sys.stderr))):
        raise UsageError(
            "'lmrl view' needs a terminal for its input and output; 'lmrl report RUN' writes a "
            "page for a browser instead (over SSH: ssh -t MACHINE lmrl view RUN)"
        )
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        raise UsageError(
            f"'lmrl view' cannot draw in a terminal of type '{os.environ.get('TERM', '')}'; set "
            "TERM, for example to xterm-256color"
        )


def _is_terminal(stream: object) -> bool:
    return getattr(stream, "isatty", lambda: False)()
