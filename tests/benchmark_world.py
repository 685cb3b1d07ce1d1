"""Strategies for the harness, right and wrong in every way, each of which runs in a process of the harness."""

import ctypes
import os
import subprocess
import sys
import time
from typing import Any

from ullage.benchmark import Answer


def one_each(instance: Any, _time_limit: float) -> list[int]:
    return list(range(instance.count))


def first_fit(instance: Any, _time_limit: float) -> list[int]:
    """Put each item into the first bin where it fits, whatever the resources."""
    rooms: list[list[int]] = []
    places = []
    for demand in instance.items:
        fits = (i for i, room in enumerate(rooms) if all(need <= has for need, has in zip(demand, room, strict=True)))
        place = next(fits, len(rooms))
        if place == len(rooms):
            rooms.append(list(instance.capacities))
        rooms[place] = [has - need for has, need in zip(rooms[place], demand, strict=True)]
        places.append(place)
    return places


def stacked(instance: Any, _time_limit: float) -> list[int]:
    """Lay buffers one on the other."""
    if instance.kind != "arena":
        raise NotImplementedError("only arenas")
    offsets, top = [], 0
    for size, alignment in zip(instance.sizes, instance.alignments, strict=True):
        offsets.append(-(-top // alignment) * alignment)
        top = offsets[-1] + size
    return offsets


def all_in_one(instance: Any, _time_limit: float) -> list[int]:
    return [0] * instance.count


def one_short(instance: Any, _time_limit: float) -> list[int]:
    return list(range(instance.count - 1))


def gives_up(_instance: Any, _time_limit: float) -> tuple[None, int]:
    return None, 1


def one_missing(instance: Any, _time_limit: float) -> list[int | None]:
    return [None, *range(1, instance.count)]


def boasts(instance: Any, _time_limit: float) -> Answer:
    """Claim that one bin an item is best."""
    return Answer(list(range(instance.count)), lower_bound=instance.count)


def contradicts_itself(instance: Any, _time_limit: float) -> tuple[list[int], int]:
    return list(range(instance.count)), instance.count + 1


def halves(instance: Any, _time_limit: float) -> list[float]:
    return [0.5] * instance.count


def says_hello(_instance: Any, _time_limit: float) -> str:
    return "hello"


def raises(_instance: Any, _time_limit: float) -> list[int]:
    raise RuntimeError("no idea")


def leaves(_instance: Any, _time_limit: float) -> list[int]:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(3)


def crashes(_instance: Any, _time_limit: float) -> list[int]:
    ctypes.string_at(0)
    return []


def hangs(_instance: Any, _time_limit: float) -> list[int]:
    """Wait in a child, too, which must not outlive it."""
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(600) # of {os.getppid()}"])  # noqa: S603
    time.sleep(600)
    return []


def swells(_instance: Any, _time_limit: float) -> list[int]:
    held = []
    while True:
        held.append(bytearray(b"x") * (32 << 20))


def prints(instance: Any, _time_limit: float) -> list[int]:
    sys.stdout.write("\n" * 1000 + '{"places": [0]}\n')
    return list(range(instance.count))


NOT_CALLABLE = 5
