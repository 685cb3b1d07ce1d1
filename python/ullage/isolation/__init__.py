"""Models in worker processes: a process can be killed, its end can be seen, and what it holds can be measured.

`Pool.register(..., isolation="process")` is the way in; what stands here is what it is made of.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ullage.isolation.proxy import AsyncCalls, Method, Proxy

__all__ = ["AsyncCalls", "Method", "Proxy"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a name when it is asked for: a worker needs none of them, and starts the faster."""
    if name not in __all__:
        raise AttributeError(f"module 'ullage.isolation' has no attribute {name!r}")
    return getattr(importlib.import_module("ullage.isolation.proxy"), name)
