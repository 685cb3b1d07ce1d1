"""A cluster as a source of snapshots for `ullage top`."""

import logging

import ray

from ullage.errors import PoolClosedError, UnreadableError
from ullage.report.fields import Fields
from ullage.serving.ray.cluster import Cluster
from ullage.top.snapshot import Snapshot

__all__ = ["Running"]

LAST = 100


class Running:
    """A cluster that runs, by its name and Ray's address: `ray:`, `ray:NAME`, `ray:NAME@ADDRESS`."""

    is_live = True

    def __init__(self, where: str) -> None:
        """Join Ray, unless this process has. Raises `UnreadableError` where there is none."""
        self._where = where
        name, _, address = where.removeprefix("ray:").partition("@")
        try:
            if not ray.is_initialized():
                ray.init(
                    address=address or "auto",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                )
            self._cluster = Cluster.connect(name or "ullage")
        except (ConnectionError, PoolClosedError, RuntimeError, ValueError) as error:
            raise UnreadableError(f"{where}: {error}", path=where) from error

    def __call__(self) -> Snapshot | None:
        """Ask. Raises `UnreadableError` where nobody answers."""
        try:
            found = self._cluster.snapshot(LAST)
        except PoolClosedError as error:
            raise UnreadableError(f"{self._where}: {error}", path=self._where) from error
        return Snapshot.of(Fields(found, "snapshot: "))
