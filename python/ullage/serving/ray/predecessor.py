"""What a scheduler's process left behind that died: seen to be gone before its memory is given out again."""

import asyncio
import logging
from typing import Any

import ray
from ray.exceptions import RayError

from ullage.serving.ray.hosting import Identity
from ullage.serving.ray.membership import alive, on
from ullage.serving.ray.node import still_there
from ullage.serving.ray.records import Left, Records

__all__ = ["cleared"]

GONE_S = 30.0
"""How long what was loaded may take to be gone. Ray ends an actor soon after the process that had made it."""

log = logging.getLogger(__name__)


async def cleared(records: Records) -> tuple[list[Left], list[Left]]:
    """End the processes on record; gives all of them, and those that are there still."""
    before = await asyncio.to_thread(records.left)
    nodes = {row["NodeID"] for row in await alive()}
    stuck = [one for found in await asyncio.gather(*(_stuck(node, before) for node in nodes)) for one in found]
    for left in before:
        if left not in stuck:
            await asyncio.to_thread(records.ended, left.node_id, left.process)
    return before, stuck


async def _stuck(node_id: str, before: list[Left]) -> list[Left]:
    """End the processes on a node; gives those that are there still."""
    here = [left for left in before if left.node_id == node_id]
    if not here:
        return []
    ask: Any = ray.remote(still_there).options(num_cpus=0, **on(node_id))
    try:
        there = {Identity(*one) for one in await ask.remote([left.process for left in here], GONE_S)}
    except RayError:  # it dies, and takes them with it
        log.warning("node %s does not say what is left on it", node_id, exc_info=True)
        return []
    return [left for left in here if left.process in there]
