"""A model as an actor: the class that Ray runs, and what is done inside of its process."""

import inspect
import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil

__all__ = ["Identity", "Made", "Setting", "Shard", "actor_class", "construct", "identity", "measured", "take_down"]


class Identity(NamedTuple):
    """A process: its number, and when it began, because numbers are used again."""

    pid: int
    created: float


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of a model an actor is: its constructor gets this as `shard`."""

    index: int
    """From 0."""
    count: int
    """How many parts there are."""
    node: str
    """The node that it stands on."""
    bytes: int
    """What is booked for it there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a model's process is set up before the model is made."""

    gpu: int | None = None
    """NVML's number of the one GPU that it may see."""
    memory_limit: int | None = None
    """Bytes of address space beyond what the process has before the model is made."""


class Made:
    """Holds what a function made, where the model is no class."""

    def __init__(self, make: Callable[..., Any], /, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - the function's own
        """Call the function."""
        self.model = make(*arguments, **named)

    def call(self, method: str | None = None, /, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the model's own
        """Call a method of the model, or with `None` the model itself."""
        target = self.model if method is None else getattr(self.model, method)
        return target(*arguments, **named)


def actor_class(model: Callable[..., Any]) -> type:
    """Give the class whose actors are `model`: that class itself but for its constructor, which is called later.

    So what the constructor raises comes back as it is, and the process can be set up before.
    """
    base = model if inspect.isclass(model) else Made
    return type(base.__name__, (base,), {"__init__": _nothing, "__doc__": base.__doc__})


def construct(
    actor: Any,  # noqa: ANN401 - of any class
    model: Callable[..., Any],
    arguments: tuple[Any, ...],
    named: Mapping[str, Any],
    setting: Setting,
) -> None:
    """Make the model, in its process. Raises what its constructor raises."""
    if setting.gpu is not None:
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(setting.gpu)}
    if setting.memory_limit is not None:
        most = psutil.Process().memory_info().vms + setting.memory_limit
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    if inspect.isclass(model):
        model.__init__(actor, *arguments, **named)  # type: ignore[misc] # the constructor of the actor's own base
    else:
        Made.__init__(actor, model, *arguments, **named)


def identity(_actor: object = None) -> Identity:
    """Say which process this is."""
    return Identity(os.getpid(), psutil.Process().create_time())


def measured(actor: Any, measure: Callable[[Any], int]) -> int:  # noqa: ANN401 - of any class
    """Ask `measure` how much the model takes, in its process."""
    return measure(actor.model if isinstance(actor, Made) else actor)


def take_down(actor: Any, method: str) -> None:  # noqa: ANN401 - of any class
    """Call the method that takes the model down, in its process."""
    getattr(actor.model if isinstance(actor, Made) else actor, method)()


def _nothing(_self: object) -> None:
    """Wait for `construct`."""
