"""What others add: eviction policies, packing strategies, compression schemes and runtimes, by entry points.

A package of anybody's names an object under one of four groups, and it is then known by its name wherever ours are:

    [project.entry-points."ullage.policies"]
    newest = "mine:Newest"

Nothing is looked for before a name is asked for that is none of ours, and ours are never broken or replaced.
"""

from typing import TYPE_CHECKING

from ullage._core import Candidate
from ullage.plugins.discovery import GROUPS, Kind, Plugin, installed

if TYPE_CHECKING:
    from ullage.plugins.policy import EvictionPolicy
    from ullage.plugins.runtime import RuntimePolicy
    from ullage.plugins.scheme import CompressionScheme

__all__ = [
    "GROUPS",
    "Candidate",
    "CompressionScheme",
    "EvictionPolicy",
    "Kind",
    "Plugin",
    "RuntimePolicy",
    "installed",
]

_LAZY = {"CompressionScheme": "scheme", "EvictionPolicy": "policy", "RuntimePolicy": "runtime"}


def __getattr__(name: str) -> object:
    """Import a lazy name: who wants one kind need not have the others."""
    if name not in _LAZY:
        raise AttributeError(f"module 'ullage.plugins' has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - as above

    value: object = getattr(importlib.import_module(f"ullage.plugins.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
