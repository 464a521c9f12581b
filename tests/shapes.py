"""The check of annotated shapes, for `jaxtyping`'s import hook."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

# As for the type checker, an int is a float.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that checks its shapes; one without shapes is returned as it is."""
    hints = getattr(function, "__annotations__", {})
    return check(function) if "jaxtyping" in repr(hints) else function
