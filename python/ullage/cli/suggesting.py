"""What an unknown name was meant to be: the nearest of those that there are."""

import difflib
import re
from collections.abc import Iterable

__all__ = ["meant", "near"]

CUTOFF = 0.6
LISTED = re.compile(
    r"""(?P<quote>["'])(?P<given>[^"']{1,60})(?P=quote) is (?:none of|not one of:?) (?P<known>[^;]+)$"""
)
"""A sentence that names what was given and lists what there is."""
HEAD = re.compile(r"[\w.+-]+")


def near(given: str, known: Iterable[str]) -> str:
    """Give the end of a sentence about an unknown name: nothing where no known one resembles it."""
    by_fold = {_fold(name): name for name in known}
    found = difflib.get_close_matches(_fold(given), by_fold, n=1, cutoff=CUTOFF)
    return f"; did you mean {by_fold[found[0]]}?" if found else ""


def meant(message: str) -> str:
    """Add the nearest name to a sentence that lists the known ones, such as policies, strategies and runtimes."""
    found = LISTED.search(message)
    if found is None or "did you mean" in message:
        return message
    given = found["given"]
    heads = [head[0] for part in re.split(r", | and | or |: ", found["known"]) if (head := HEAD.match(part))]
    start = HEAD.match(given)
    if start is None or start[0] in heads:
        return message  # the name is known; what follows it is at fault, and said
    return message + near(start[0], heads)


def _fold(name: str) -> str:
    return re.sub(r"[\s_.-]", "", name.casefold())
