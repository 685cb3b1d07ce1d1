"""What outlives the scheduler's process: which models are registered, and whose memory may be in use.

It lies in the key-value store of Ray's head, which has no public interface: where that has changed, a scheduler that is
started again knows nothing of before.
"""

import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import ray

from ullage.serving.ray.hosting import Identity
from ullage.serving.ray.spec import Spec

__all__ = ["Left", "Records"]

SPACE = "ullage"

log = logging.getLogger(__name__)


class Left(NamedTuple):
    """A process of a model that was there when something was last said of it."""

    model: str
    node_id: str
    process: Identity
    domains: dict[str, int]
    """Bytes booked for it, by memory domain."""


class Records:
    """The records of one cluster. Nothing here raises: a model shall be lent though nobody can write that down."""

    def __init__(self, cluster: str) -> None:
        """Keep them under the name `cluster`, which no other has."""
        self._prefix = f"{cluster}\0"
        self._numbers = itertools.count()
        self._keys: dict[str, str] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._keys.clear()
        _tried("del", self._prefix, del_by_prefix=True)

    def keep(self, spec: Spec) -> None:
        """Write down that a model is registered so, whatever was written of it before."""
        key = self._keys.setdefault(spec.name, f"{self._prefix}model\0{next(self._numbers):012}")
        try:
            content = ray.cloudpickle.dumps(spec)
        except Exception:  # it came here, and cannot leave again
            log.warning("model %s will be unknown if the scheduler has to be started again", spec.name, exc_info=True)
            return
        _tried("put", key, content)

    def specs(self) -> list[Spec]:
        """Give the models that were registered, in that order."""
        found: list[Spec] = []
        for key, content in self._all("model"):
            try:
                spec = ray.cloudpickle.loads(content)
            except Exception:  # its class is not to be had here any more
                log.exception("a model that was registered cannot be read")
                continue
            self._keys[spec.name] = key
            found.append(spec)
        if found:
            self._numbers = itertools.count(1 + int(max(self._keys.values()).rpartition("\0")[2]))
        return found

    def began(self, left: Left) -> None:
        """Write down that a process is there."""
        _tried("put", self._process(left.node_id, left.process), json.dumps(left).encode())

    def ended(self, node_id: str, process: Identity) -> None:
        """Write down that a process was seen to be gone."""
        _tried("del", self._process(node_id, process))

    def left(self) -> list[Left]:
        """Give the processes that were there."""
        rows = [json.loads(content) for _, content in self._all("process")]
        return [Left(model, node_id, Identity(*process), domains) for model, node_id, process, domains in rows]

    def _process(self, node_id: str, process: Identity) -> str:
        return f"{self._prefix}process\0{node_id} {process.pid} {process.created!r}"

    def _all(self, kind: str) -> Iterator[tuple[str, bytes]]:
        for key in sorted(_tried("list", f"{self._prefix}{kind}\0") or []):
            content = _tried("get", key)
            if content is not None:
                yield key.decode(), content


def _tried(verb: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - of Ray's
    """Ask Ray's store; `None` where it does not answer."""
    try:
        from ray.experimental import internal_kv  # noqa: PLC0415 - private: it may be gone some day

        return getattr(internal_kv, f"_internal_kv_{verb}")(*arguments, **named, namespace=SPACE)
    except Exception:
        log.warning("what a scheduler has to know after a restart is not kept", exc_info=True)
        return None
