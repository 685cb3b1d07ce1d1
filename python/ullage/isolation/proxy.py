"""What a lease of a model in a worker process gives: it looks like the model, and passes everything on."""

from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, NoReturn

from ullage.isolation import words
from ullage.isolation.worker import Worker

__all__ = ["AsyncCalls", "Method", "Proxy"]


class AsyncCalls:
    """The model's calls as coroutines: `await model.acall(x)`, `await model.acall.predict(x)`."""

    def __init__(self, worker: Worker) -> None:
        """Made by `Proxy`."""
        self._worker = worker

    async def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the model's own
        """Call the model itself."""
        return (await self._worker.acall(words.CALL, (None, arguments, named)))[1]

    def __getattr__(self, name: str) -> "partial[Coroutine[Any, Any, Any]]":
        """Give a method of the model as a coroutine function; nothing is asked before it is called."""
        _refuse_special(self, name)
        return partial(self._call, name)

    async def _call(self, name: str, /, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the model's own
        return (await self._worker.acall(words.CALL, (name, arguments, named)))[1]


class Method:
    """A method of a model in a worker process."""

    def __init__(self, worker: Worker, name: str) -> None:
        """Made by `Proxy`."""
        self._worker, self._name = worker, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the model's own
        """Call it there."""
        return self._worker.call(words.CALL, (self._name, arguments, named))[1]

    async def acall(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the model's own
        """Call it there without blocking the event loop."""
        return (await self._worker.acall(words.CALL, (self._name, arguments, named)))[1]

    def __repr__(self) -> str:
        """Say where it is."""
        return f"<method {self._name} of {self._worker.model} in process {self._worker.pid}>"


class Proxy:
    """A model in a worker process. Arguments and results travel as pickles, arrays beside them.

    Attributes are read and set there. Raised exceptions come back with the worker's traceback as a note;
    `WorkerDiedError` says that the process ended.
    """

    __slots__ = ("__weakref__", "_methods", "_worker", "acall")

    acall: AsyncCalls
    """The same calls as coroutines."""

    def __init__(self, worker: Worker) -> None:
        """Made by the pool."""
        object.__setattr__(self, "_worker", worker)
        object.__setattr__(self, "_methods", {})
        object.__setattr__(self, "acall", AsyncCalls(worker))

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the model's own
        """Call the model."""
        return self._worker.call(words.CALL, (None, arguments, named))[1]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the model's own
        """Read an attribute of the model; one that can be called comes as a `Method`."""
        _refuse_special(self, name)
        method = self._methods.get(name)
        if method is not None:
            return method
        kind, value = self._worker.call(words.GET, name)
        if kind == words.VALUE:
            return value
        method = Method(self._worker, name)
        if kind == words.OWN_METHOD:
            self._methods[name] = method
        return method

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute of the model."""
        self._worker.call(words.SET, (name, value))

    def __len__(self) -> int:
        """Ask the model for its length."""
        length: int = self._special("__len__")
        return length

    def __bool__(self) -> bool:
        """Be true, whatever the model's length: asking costs a round trip."""
        return True

    def __getitem__(self, key: object) -> Any:  # noqa: ANN401 - the model's own
        """Look something up in the model."""
        return self._special("__getitem__", key)

    def __setitem__(self, key: object, value: object) -> None:
        """Put something into the model."""
        self._special("__setitem__", key, value)

    def __contains__(self, key: object) -> bool:
        """Ask whether the model contains something."""
        is_there: bool = self._special("__contains__", key)
        return is_there

    def __iter__(self) -> Iterator[NoReturn]:
        """Raise `TypeError`: an iterator cannot leave its process."""
        raise TypeError(f"{self!r} cannot be iterated over from here; call a method that gives a list")

    def __reduce__(self) -> NoReturn:
        """Raise `TypeError`: the process belongs to the pool."""
        raise TypeError(f"{self!r} cannot be pickled or copied")

    def __repr__(self) -> str:
        """Say which process it is in."""
        return f"<{self._worker.model} in process {self._worker.pid}>"

    def _special(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - the model's own
        return self._worker.call(words.CALL, (name, arguments, {}))[1]


def _refuse_special(owner: object, name: str) -> None:
    """Keep protocols of Python from asking the worker whether it speaks them."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
