"""What a strategy says, checked by strangers to it."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ullage import _core
from ullage.benchmark.instance import Instance, PackingInstance
from ullage.errors import ViolationError

__all__ = ["Answer", "answer_of", "checked"]


@dataclass(frozen=True)
class Answer:
    """Where everything goes, and what is proven of it."""

    places: Sequence[int | None] | None
    """The bin of each item, called by any number; of an arena the offset of each buffer.

    `None` where nothing was found in time; an item that is `None` or negative has no place, which no valid answer has.
    """
    lower_bound: int | None = None
    """No answer uses fewer bins, or less height; `None` where the strategy proves nothing."""


def answer_of(said: object) -> Answer:
    """Read what a strategy returned: an `Answer`, a pair of places and bound, places alone, or `None` for no answer.

    Raises `TypeError` with what was expected for anything else.
    """
    if isinstance(said, Answer):
        return Answer(_places(said.places), _bound(said.lower_bound))
    if isinstance(said, tuple) and len(said) == 2 and not isinstance(said[0], int):  # noqa: PLR2004 - a pair
        return Answer(_places(said[0]), _bound(said[1]))
    return Answer(_places(said), None)


def _places(said: object) -> list[int | None] | None:
    if said is None:
        return None
    if isinstance(said, (str, bytes, dict, set)) or not isinstance(said, Iterable):
        raise TypeError(f"a strategy returns a place for each item, not {type(said).__name__}")
    return [_place(place, index) for index, place in enumerate(said)]


def _place(place: Any, index: int) -> int | None:  # noqa: ANN401 - whatever was returned
    if place is None:
        return None
    try:
        number = operator.index(place)
    except TypeError:
        raise TypeError(f"the place of item {index} is {place!r:.60}, not a whole number") from None
    return number if number >= 0 else None


def _bound(bound: Any) -> int | None:  # noqa: ANN401 - whatever was returned
    try:
        return None if bound is None else operator.index(bound)
    except TypeError:
        raise TypeError(f"the lower bound is {bound!r:.60}, not a whole number") from None


def checked(instance: Instance, places: Sequence[int | None]) -> int:
    """Give the bins or the height that an answer takes; raises `ViolationError` with the first violated fact."""
    if isinstance(instance, PackingInstance):
        kinds = [(list(demand), count) for demand, count in instance.kinds]
        parts = (list(instance.resources), list(instance.capacities), kinds)
        return _core.check_assignment(parts, list(places))
    missing = next((index for index, place in enumerate(places) if place is None), None)
    if missing is not None:
        raise ViolationError(f"buffer {missing} has no offset", fact=f"buffer {missing} has no offset")
    return _core.check_offsets(
        instance.sizes,
        instance.starts,
        instance.ends,
        instance.alignments,
        [place for place in places if place is not None],
    )
