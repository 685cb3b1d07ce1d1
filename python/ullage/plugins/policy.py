"""Eviction policies in Python: a class with a method `worth`, asked by the very core that decides for ours."""

import inspect
from collections.abc import Callable, Collection
from typing import Protocol, TypeAlias

from ullage._core import Candidate, policy_names
from ullage.errors import ArgumentError
from ullage.plugins.discovery import find, names

__all__ = ["BUILT_IN", "FORETOLD", "AnyPolicy", "EvictionPolicy", "Weighs", "choose", "made"]

FORETOLD = ("informed", "clairvoyant")
"""Names of the policies that know what is to come: for replays only."""
BUILT_IN = frozenset({*policy_names(), *FORETOLD})
"""The names that are ours."""


class Weighs(Protocol):
    """What every eviction policy does."""

    def worth(self, candidate: Candidate, now: float, /) -> float:
        """Say what keeping `candidate` is worth at `now`, in seconds; the least worth goes first."""


class EvictionPolicy:
    """An eviction policy of your own: says which model goes first when memory is needed.

    Only `worth` must be there; the others tell what happens, and do nothing unless you write them. A policy need not
    derive from this class. Times are seconds since the pool or the trace began, and never run backwards. A policy is
    not told who holds leases or is pinned, for such models are no candidates, nor how much memory there is.

    The pool calls these methods inside its own lock: they must not call the pool, and should take microseconds. An
    object serves one pool or one replay; where the class is given, each gets an object of its own.
    """

    name: str
    """What it is called in errors and results; the name of the class unless given."""

    def on_register(self, name: str, bytes: int, load_s: float, /) -> None:  # noqa: A002 - the quantity's name
        """Take in that a model joins, cold: its bytes in memory, and what a load costs in seconds."""

    def on_request(self, name: str, now: float, /) -> None:
        """Take in that somebody asks for a model, resident or not."""

    def on_release(self, name: str, now: float, /) -> None:
        """Take in that a use of a model ended."""

    def on_load(self, name: str, now: float, /) -> None:
        """Take in that a model is resident from now on."""

    def on_evict(self, name: str, now: float, /) -> None:
        """Take in that a model is resident no longer."""

    def on_cost(self, name: str, load_s: float, /) -> None:
        """Take in what a load of a model was seen to cost, in seconds."""

    def worth(self, candidate: Candidate, now: float, /) -> float:
        """Say what keeping `candidate` is worth at `now`; the least worth goes, among equals the least recently used.

        Only comparisons count, so any unit will do. What is no number, and any exception, is a `PolicyError`: a replay
        ends with it; a pool writes it down, warns once, and lets the least recently used go this time.
        """
        raise NotImplementedError(f"{type(self).__name__} has no worth of its own for {candidate.name} at {now}")


AnyPolicy: TypeAlias = str | Weighs | Callable[[], Weighs]
"""A name, an object with a method `worth`, or a class or function that makes one."""


def choose(policy: AnyPolicy, built_in: Collection[str]) -> str | Weighs:
    """Give the name if it is ours, else the policy.

    Raises `ArgumentError` for a name that nobody has and for what is no policy, `PluginError` for an entry point that
    cannot be imported.
    """
    if not isinstance(policy, str):
        return made(policy)
    if policy in built_in:
        return policy
    found = find("policy", policy)
    if found is None:
        raise _refused(f"{policy[:60]!r} is not one of: {', '.join([*sorted(built_in), *names('policy')])}")
    plugin, loaded = found
    try:
        return made(loaded)
    except ArgumentError as error:
        raise plugin.refused(error.reason) from error


def made(policy: object) -> Weighs:
    """Give the policy, or make one by the class or function that is given. Raises `ArgumentError`."""
    if isinstance(policy, type) or (callable(policy) and not hasattr(policy, "worth")):
        called = getattr(policy, "__name__", type(policy).__name__)
        try:
            policy = policy()
        except Exception as error:
            raise _refused(f"{called} makes no policy: {type(error).__name__}: {error}") from error
    for hook in ("worth", *(name for name in vars(EvictionPolicy) if name.startswith("on_"))):
        method = getattr(policy, hook, None)
        if inspect.iscoroutinefunction(method):
            raise _refused(f"{type(policy).__name__}.{hook} is a coroutine function; nobody could wait for it")
    if not callable(getattr(policy, "worth", None)):
        raise _refused(f"{type(policy).__name__} has no method worth(candidate, now), which every policy has")
    return policy  # type: ignore[return-value] # as far as can be seen


def label(policy: object) -> str:
    """Give what a policy is called in results."""
    given = policy if isinstance(policy, str) else getattr(policy, "name", None)
    if isinstance(given, str) and given:
        return given
    return str(getattr(policy, "__name__", type(policy).__name__))


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(f"policy: {reason}", name="policy", reason=reason)
