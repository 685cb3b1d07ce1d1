"""The agent of a node: an actor that says what memory there is, measures processes, and sees them end."""

import asyncio
import contextlib
import re
import time
from typing import Any, TypedDict

import psutil
import ray

from ullage import machine
from ullage.errors import UllageError
from ullage.pooling.guard import Machine, Seen
from ullage.serving.ray.hosting import Identity

__all__ = ["Agent", "Facts", "facts_here", "still_there"]

LOOK_S = 0.05
"""How often the agent looks whether processes live."""
GPU = re.compile(r"gpu(\d+)")


class Facts(TypedDict):
    """What an agent says of its node."""

    host: int
    """Bytes that could be had of the node's memory, by the tightest limit above the agent."""
    gpus: dict[int, int]
    """Bytes of each GPU that its driver does not keep, by NVML's number."""


def facts_here() -> Facts:
    """Say what memory this node has. Runs before there is an agent, who holds Ray's tokens for what is given out."""
    devices = machine.gpus().devices
    gpus = {one.index: one.total - (one.reserved or 0) for one in devices if one.total is not None}
    return {"host": machine.memory().available, "gpus": gpus}


def still_there(processes: list[Identity], patience_s: float) -> list[Identity]:
    """End processes on this node that nobody is to use any more; gives those that are there after `patience_s`."""
    left = [Identity(*process) for process in processes]
    deadline = time.monotonic() + patience_s
    while (left := [one for one in left if not is_gone(one)]) and time.monotonic() < deadline:
        for one in left:
            with contextlib.suppress(psutil.Error):
                psutil.Process(one.pid).kill()
        time.sleep(LOOK_S)
    return left


class Agent:
    """One on each node. It holds Ray's tokens for the memory that the scheduler gives out there."""

    def __init__(self) -> None:
        """Watch nobody yet."""
        self._watched: set[Identity] = set()
        self._machine: Machine | None = None

    async def look(self, kinds: list[str]) -> dict[str, Seen]:
        """Look how much of each memory is in use, by whomever. What cannot be seen is left out."""
        if self._machine is None:
            self._machine = Machine()
        found: dict[str, Seen] = {}
        for kind in kinds:
            gpu = GPU.fullmatch(kind)
            with contextlib.suppress(UllageError, OSError):
                seen = self._machine(kind if gpu is None else f"gpu:{gpu[1]}")
                if seen is not None:
                    found[kind] = seen
        return found

    async def held(self, pid: int) -> int:
        """Give what a process and its descendants hold, shared pages counted once. Raises `UllageError`."""
        return machine.family(pid, full=True).held

    async def watch(self, process: Identity) -> bool:
        """See when a process ends; tells whether it is there now."""
        process = Identity(*process)
        if is_gone(process):
            return False
        self._watched.add(process)
        return True

    async def deaths(self, known: list[Identity]) -> list[Identity]:
        """Wait until processes that are watched are gone; gives them. `known` are watched from now on, too."""
        self._watched.update(Identity(*process) for process in known)
        while not (gone := [process for process in self._watched if is_gone(process)]):  # noqa: ASYNC110 - no event
            await asyncio.sleep(LOOK_S)
        self._watched.difference_update(gone)
        return gone

    async def end(self, handle: Any, process: Identity, patience_s: float) -> None:  # noqa: ANN401 - an actor's handle
        """End an actor's process and all that it started, and return once they are gone.

        Raises `TimeoutError` if one of them is there after `patience_s` seconds: what is stuck in the kernel cannot be
        killed.
        """
        family = [Identity(*process)]
        with contextlib.suppress(psutil.Error):
            if not is_gone(family[0]):
                children = psutil.Process(process[0]).children(recursive=True)
                family += [Identity(child.pid, child.create_time()) for child in children]
        ray.kill(handle, no_restart=True)
        deadline = time.monotonic() + patience_s
        kill_at = time.monotonic() + patience_s / 4
        while left := [one for one in family if not is_gone(one)]:
            now = time.monotonic()
            if now > deadline:
                text = f"process {left[0].pid} is still there {patience_s} s after it was killed"
                raise TimeoutError(text)
            if now > kill_at or family[0] not in left:  # children are nobody's but ours
                for one in left:
                    with contextlib.suppress(psutil.Error):
                        psutil.Process(one.pid).kill()
            await asyncio.sleep(LOOK_S / 10)
        self._watched.difference_update(family)


def is_gone(process: Identity) -> bool:
    """Whether a process holds no memory any more: ended, or another's number by now."""
    try:
        found = psutil.Process(process.pid)
        return found.create_time() != process.created or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
