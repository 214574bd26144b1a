"""Checks of names and values that a reader gives, each with an error that says what was meant."""

import difflib


def closest(name: str, known) -> str:
    """' (did you mean ...?)' where something known is close to `name`, else ''."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
