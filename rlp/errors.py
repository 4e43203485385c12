"""The exception for what a user can mend: commands print it as one line, exit code 2."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What was given cannot be used; the message says what, where and what to do."""


class DataWarning(UserWarning):
    """Data was read, but not as a matter of course: what was assumed, cut or left out."""


class RunWarning(UserWarning):
    """A run goes on, but not as it should: what became invalid, or too large, and where."""


def nearest(word: str, options: Iterable[str]) -> str:
    """Returns ` (did you mean X?)` for the option closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
