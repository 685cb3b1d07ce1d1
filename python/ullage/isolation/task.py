"""What a worker process is to do, in a form that travels."""

import importlib
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ullage.errors import ArgumentError

__all__ = ["Task", "function_of"]

REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
MAIN = "__main__"


def function_of(argument: str, given: object) -> Callable[..., Any]:
    """Give a function as it is, or one that imports `"module:function"` when called.

    Raises `ArgumentError` naming `argument` for what is neither.
    """
    if isinstance(given, str):
        if REFERENCE.fullmatch(given) is None:
            raise _refused(argument, f"{given[:80]!r} is not of the form 'module:function'")
        return partial(_call, given)
    if not callable(given):
        raise _refused(argument, f"{type(given).__name__} can not be called")
    return given


def _call(reference: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
    module, _, path = reference.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found(*arguments, **named)


@dataclass(frozen=True, slots=True)
class Task:
    """A model's functions as they travel to its worker."""

    load: bytes
    unload: bytes | None
    measure: bytes | None
    memory_limit: int | None
    """Bytes of address space that the worker may take beyond those it has when it starts."""
    needs_main: bool
    """Whether one of the functions stands in the program's main module, which the worker then has to import."""
    preload: tuple[str, ...] = ()
    """Modules that the worker is to find imported."""

    @classmethod
    def of(
        cls,
        load: Callable[..., Any],
        unload: Callable[..., Any] | None,
        measure: Callable[..., Any] | None,
        memory_limit: int | None,
        preload: tuple[str, ...] = (),
    ) -> "Task":
        """Make the functions ready; raises `ArgumentError` for one that cannot travel."""
        functions = {"load": load, "unload": unload, "measure": measure}
        pickled = {name: _pickle(name, function) for name, function in functions.items() if function is not None}
        needs_main = any(MAIN.encode() in text for text in pickled.values())
        return cls(pickled["load"], pickled.get("unload"), pickled.get("measure"), memory_limit, needs_main, preload)

    def preparation(self) -> dict[str, Any] | None:
        """Give what the worker needs to import the main module, as `multiprocessing` tells its own."""
        if not self.needs_main or MAIN not in sys.modules:
            return None
        from multiprocessing import spawn  # noqa: PLC0415 - seldom wanted, and no worker needs it at its start

        data = spawn.get_preparation_data("ullage-worker")
        return {name: value for name, value in data.items() if name.startswith("init_main")}


def _pickle(argument: str, function: object) -> bytes:
    try:
        return pickle.dumps(function)
    except Exception as error:
        reason = f"it cannot be sent to a process ({error}); give a function of a module, or 'module:function'"
        raise _refused(argument, reason) from error


def _refused(argument: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{argument}: {reason}", name=argument, reason=reason)
