"""A user's mistake, told in one line."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """What was asked for cannot be done; the message is one line and says what is allowed."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Tell what `word` may have meant and what is allowed.

    >>> nearest("mmoee", ["mmoe", "omoe"])
    "did you mean 'mmoe'? Allowed: mmoe, omoe"
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Allowed: {', '.join(names)}"
