"""Memory dumps of Chrome's memory-infra (`ph: "v"`): how much each allocator of a process holds, every so often.

Allocators form a tree by name, `malloc/allocated_objects`, and each size includes those below. One allocator may own
what another has allocated (`skia` what `malloc` has); such bytes count with their owner alone.
"""

from collections import defaultdict
from typing import Any

from ullage.tracking.recorder import MOST_BYTES

__all__ = ["REST", "sizes"]

REST = "(the rest)"
"""What an allocator holds beside its parts."""

SHARED = "global"
"""Root of buffers shared by processes, which their owners count."""
DEEPEST = 32


def sizes(allocators: dict[str, Any], edges: Any) -> dict[tuple[str, str], int]:  # noqa: ANN401 - from the file
    """Give the bytes by allocator and part: the first and the second name of the path."""
    known = {name: _size(allocators[name]) for name in allocators}
    owned = _owned(allocators, edges, known)
    found: dict[tuple[str, str], int] = {}
    wholes: dict[str, int] = {}
    parts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    seen: set[str] = set()
    for name in sorted(known, key=lambda name: name.count("/")):
        size = known[name]
        if size is None:
            continue
        if name.count("/") > DEEPEST:
            raise ValueError(f"an allocator more than {DEEPEST} levels deep")
        size = max(size - owned.get(name, 0), 0)
        root, _, below = name.partition("/")
        if not below:
            wholes[root] = size
        elif not _covered(name, seen):
            parts[root][below.partition("/")[0]] += size
            seen.add(name)
    for root in wholes.keys() | parts.keys():
        if root != SHARED:
            inside = sum(parts[root].values())
            found |= {(root, part): size for part, size in parts[root].items()}
            found[root, REST] = max(wholes.get(root, inside) - inside, 0)
    return found


def _covered(name: str, seen: set[str]) -> bool:
    """Tell whether an allocator above, but below the root, has a size that includes this one's."""
    names = name.split("/")
    return any("/".join(names[:depth]) in seen for depth in range(2, len(names)))


def _owned(allocators: dict[str, Any], edges: Any, known: dict[str, int | None]) -> dict[str, int]:  # noqa: ANN401
    """Give the bytes of each allocator, and of all above it, that others own."""
    names = {node.get("guid"): name for name, node in allocators.items() if isinstance(node.get("guid"), str)}
    found: dict[str, int] = defaultdict(int)
    taken: dict[str, int] = defaultdict(int)
    for edge in edges if isinstance(edges, list) else ():
        source, target = names.get(edge.get("source")), names.get(edge.get("target"))
        if source is None or target is None or edge.get("type") != "ownership":
            continue
        left = (known[target] or 0) - taken[target]
        size = min(known[source] or 0, left)
        taken[target] += size
        parts = target.split("/")
        if source.partition("/")[0] != parts[0]:
            for depth in range(1, min(len(parts), DEEPEST) + 1):
                found["/".join(parts[:depth])] += size
    return found


def _size(node: Any) -> int | None:  # noqa: ANN401 - from the file
    """Read the size of an allocator, in hexadecimal; not every one has any."""
    attribute = node.get("attrs", {}).get("size")
    if attribute is None or attribute.get("units") != "bytes":
        return None
    size = int(attribute["value"], 16)
    if not 0 <= size <= MOST_BYTES:
        raise ValueError("a size beyond all bounds")
    return size
