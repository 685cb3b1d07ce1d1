"""Models for worker processes: a module of their own, because the workers import it."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

MB = 1_000_000


class OddError(Exception):
    """An exception that cannot be made anew from its text."""

    def __init__(self, one: int, two: int) -> None:
        """Take two."""
        super().__init__(f"{one} and {two}")


class Weights:
    """A model with real memory."""

    def __init__(self, megabytes: int = 0, name: str = "weights") -> None:
        """Touch every page."""
        self.weights = np.ones(megabytes * MB, np.uint8)
        self.name = name
        self.scale = 1
        self.more: list[npt.NDArray[np.uint8]] = []
        self.gate = threading.Event()
        self.cancelled: list[str] = []

    def __call__(self, number: int, *, plus: int = 0) -> int:
        """Compute something."""
        return number * self.scale + plus

    def __len__(self) -> int:
        """Give the size."""
        return len(self.weights)

    def __getitem__(self, index: int) -> int:
        """Give one weight."""
        return int(self.weights[index])

    def pid(self) -> int:
        """Tell where it runs."""
        return os.getpid()

    def echo(self, value: Any) -> Any:
        """Give back what was given."""
        return value

    def double(self, array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Work in place, which needs an array that may be written to."""
        array *= 2
        return array

    def grow(self, megabytes: int) -> None:
        """Take more memory for good."""
        self.more.append(np.ones(megabytes * MB, np.uint8))

    def pass_through(self, megabytes: int) -> None:
        """Take memory and give it back."""
        np.ones(megabytes * MB, np.uint8)

    def wait(self) -> str:
        """Wait until another call opens the gate."""
        assert self.gate.wait(20)
        return "through"

    def open(self) -> None:
        """Let the others through."""
        self.gate.set()

    def fail(self, kind: str) -> None:
        """Raise something."""
        raise {
            "value": ValueError("no good"),
            "odd": OddError(1, 2),
            "exit": SystemExit(3),
            "timeout": TimeoutError("the model's own"),
            "local": type("LocalError", (Exception,), {})("only here"),
        }[kind]

    def secret(self) -> Any:
        """Give what cannot be sent."""
        return threading.Lock()

    def die(self, number: int) -> None:
        """End the process in the middle of a call."""
        os.kill(os.getpid(), number)
        time.sleep(20)

    def leave(self) -> None:
        """End the process without a signal."""
        os._exit(7)

    def descendant(self) -> int:
        """Start a process; give its number."""
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid

    async def soon(self, value: int) -> int:
        """Compute in an event loop."""
        await asyncio.sleep(0.001)
        return value

    async def never(self) -> None:
        """Wait for ever, and remember having been cancelled."""
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.cancelled.append("never")
            raise


def load(megabytes: int = 0, name: str = "weights") -> Weights:
    return Weights(megabytes, name)


async def load_async(name: str) -> Weights:
    await asyncio.sleep(0.001)
    return Weights(0, name)


def load_too_much() -> Weights:
    return Weights(1_000)


def load_never() -> None:
    time.sleep(600)


def load_and_fail() -> None:
    raise OSError("the disk is gone")


def load_and_die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def load_function() -> Any:
    return len


def size_of(model: Weights) -> int:
    return len(model) + 17


def note_in(path: str, model: Weights) -> None:
    """Unload, and leave a trace of it."""
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - a worker starts faster without pathlib
        file.write(model.name)


def unload_badly(_model: Weights) -> None:
    raise OSError("the device hangs")


def unload_never(_model: Weights) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
