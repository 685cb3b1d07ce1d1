"""Ledgers as somebody would write them in Python: a tree under one lock, and a flat dictionary under one."""

import threading


class TreeAccount:
    """The same decision as ours under one lock, without labels, holders or time."""

    __slots__ = ("limit", "lock", "path", "peak", "used")

    def __init__(self, lock: threading.Lock, parent: "TreeAccount | None", limit: int) -> None:
        """Make an account below `parent`."""
        self.lock, self.limit, self.used, self.peak = lock, limit, 0, 0
        self.path: list[TreeAccount] = [self, *(parent.path if parent else [])]

    def reserve(self, size: int) -> "TreeReservation":
        """Book on every level or on none."""
        with self.lock:
            for level in self.path:
                if level.used + size > level.limit:
                    raise MemoryError(size)
            for level in self.path:
                used = level.used = level.used + size
                if used > level.peak:  # noqa: PLR1730 - faster than max()
                    level.peak = used
        return TreeReservation(self, size)


class TreeReservation:
    """Bytes of a `TreeAccount`."""

    __slots__ = ("account", "live", "size")

    def __init__(self, account: TreeAccount, size: int) -> None:
        """Hold `size` bytes."""
        self.account, self.size, self.live = account, size, True

    def release(self) -> None:
        """Give back, once."""
        with self.account.lock:
            if self.live:
                self.live = False
                for level in self.account.path:
                    level.used -= self.size


def tree_account(limit: int = 1 << 40, levels: int = 4) -> TreeAccount:
    """Give the lowest of as many accounts below one another."""
    lock = threading.Lock()
    lowest = TreeAccount(lock, None, limit)
    for _ in range(levels - 1):
        lowest = TreeAccount(lock, lowest, limit)
    return lowest


class FlatLedger:
    """One dictionary, one limit, one lock; whoever reserved must remember how much."""

    __slots__ = ("limit", "lock", "used", "used_by")

    def __init__(self, limit: int = 1 << 40) -> None:
        """Make a ledger without accounts."""
        self.limit, self.used, self.lock = limit, 0, threading.Lock()
        self.used_by: dict[str, int] = {}

    def reserve(self, name: str, size: int) -> None:
        """Book under a name."""
        with self.lock:
            if self.used + size > self.limit:
                raise MemoryError(size)
            self.used += size
            self.used_by[name] = self.used_by.get(name, 0) + size

    def release(self, name: str, size: int) -> None:
        """Give back under a name."""
        with self.lock:
            self.used -= size
            self.used_by[name] -= size
