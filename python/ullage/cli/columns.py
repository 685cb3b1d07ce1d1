"""How wide the columns of a table are, and where a text breaks: at blanks, else behind a mark, else in a word."""

import re
from collections.abc import Callable, Sequence

from rich.cells import cell_len, chop_cells

__all__ = ["GAP", "fitted", "wrapped"]

GAP = 2
"""Blanks between two columns."""

BREAKS = re.compile(r"(?:[^/\\_:;,.+-]|(?<=\d)[.](?=\d))*[/\\_:;,.+-]*")
"""A word's pieces: it may break behind such a mark, as paths and names of tensors and schemes do."""


def fitted(columns: Sequence[Sequence[str]], rigid: Sequence[bool], width: int) -> list[int] | None:
    """Give each column a width so that all fit `width`; `None` where nothing has to give, or nothing helps.

    `columns` are the texts of each, its name among them. A `rigid` one is as wide as its widest text. The others share
    what is left: first each gets its longest word, or where there is no room for that its longest piece, and what then
    remains goes to those that would still break.
    """
    widest = [max(map(cell_len, texts), default=0) for texts in columns]
    room = width - GAP * (len(columns) - 1)
    if sum(widest) <= room:
        return None
    left = room - sum(wide for wide, is_rigid in zip(widest, rigid, strict=True) if is_rigid)
    supple = [index for index, is_rigid in enumerate(rigid) if not is_rigid]
    words = {index: _longest(columns[index], _words) for index in supple}
    pieces = {index: _longest(columns[index], _pieces) for index in supple}
    for least, most in ((words, widest), (pieces, words)):
        spare = left - sum(least[index] for index in supple)
        if supple and spare >= 0:
            shares = dict(least)
            while spare > 0 and (needy := [index for index in supple if shares[index] < most[index]]):
                # The narrowest of those in need first, so that one long text does not starve the others.
                shares[min(needy, key=shares.__getitem__)] += 1
                spare -= 1
            return [shares.get(index, wide) for index, wide in enumerate(widest)]
    return None


def wrapped(text: str, width: int) -> str:
    """Break a text into lines of at most `width` cells."""
    lines = [""]
    for word in _words(text):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width:
            lines[-1] = joined
        elif cell_len(word) <= width:
            lines.append(word)
        else:
            lines += [""] * bool(lines[-1])
            for piece in _pieces(word):
                if cell_len(lines[-1] + piece) <= width:
                    lines[-1] += piece
                else:
                    lines += chop_cells(piece, max(width, 1))
    return "\n".join(lines).lstrip("\n")


def _words(text: str) -> list[str]:
    return text.split()


def _pieces(text: str) -> list[str]:
    return [piece for word in text.split() for piece in BREAKS.findall(word) if piece]


def _longest(texts: Sequence[str], split: Callable[[str], list[str]]) -> int:
    return max((cell_len(part) for text in texts for part in split(text)), default=0)
