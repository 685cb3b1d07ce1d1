"""The guard: looks at what the machine reports, and has the pool give memory back before somebody is killed for it.

A thread of its own looks four times a second while a pool wants it. What the ledger would still give out but the
machine does not have, because others on it have grown, is booked for them (`others on this machine`) until they shrink.
"""

import contextlib
import re
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ullage._core import Account, Gauge, Reservation
from ullage.errors import ArgumentError, BudgetExceeded, UllageError
from ullage.machine.gpu import gpus
from ullage.machine.host import memory
from ullage.machine.pressure import pressure
from ullage.machine.probe import Probe
from ullage.machine.watch import Watch

if TYPE_CHECKING:
    from ullage.pooling.driver import Driver

__all__ = ["LOOK_S", "OTHERS", "Guard", "Read", "Seen"]

LOOK_S = 0.25
"""How often it looks."""
SETTINGS_S = 10.0
"""How often it looks for a `memory.high` that was set."""
OTHERS = "others on this machine"
"""The label under which is booked what others took."""
GPU = re.compile(r"gpu:?(\d+)(?:/.*)?")
STALLS = "/proc/pressure/memory"


class Seen(NamedTuple):
    """What is seen of a memory domain, in bytes."""

    limit: int
    """What may be used in all."""
    used: int
    """What is used, by whomever."""
    stalled: float | None = None
    """Percentage of the latest ten seconds in which some task waited for memory."""


Read: TypeAlias = Callable[[str], Seen | tuple[int, int] | None]
"""Looks at a domain, given its name; `None` where it cannot."""


class Machine:
    """Reads the host by its kernel's files and GPUs by NVML."""

    def __init__(self) -> None:
        """Open the files."""
        self._watch = Watch()
        self._high: int | None = None
        self._high_at = 0.0
        self._has_stalls = True

    def __call__(self, domain: str) -> Seen | None:
        """Look at a domain: `gpu:0` and the like are GPUs by NVML's number, everything else is the host."""
        found = GPU.fullmatch(domain)
        return self._host() if found is None else _gpu(int(found[1]))

    def _host(self) -> Seen:
        now = time.monotonic()
        if now >= self._high_at:
            self._high, self._high_at = memory().high, now + SETTINGS_S
        reading = self._watch.read()
        limit, available = reading.limit, reading.available
        if self._high is not None and self._high < limit:  # there the kernel begins to throttle
            available = max(available - (limit - self._high), 0)
            limit = self._high
        return Seen(limit, max(limit - available, 0), self._stalled())

    def _stalled(self) -> float | None:
        if not self._has_stalls:
            return None
        found = pressure(Probe("/"), STALLS)
        self._has_stalls = found is not None
        return None if found is None else found.some.avg10

    def close(self) -> None:
        """Give the files back."""
        self._watch.close()


def _gpu(index: int) -> Seen | None:
    for device in gpus().devices:
        if device.index == index and device.total is not None and device.used is not None:
            return Seen(device.total - (device.reserved or 0), device.used)
    return None


class Guard:
    """Watches the domains of one pool."""

    def __init__(
        self, driver: "Driver", marks: tuple[float, float] | None, read: Read | None, every_s: float = LOOK_S
    ) -> None:
        """Look at once, and from then on in a thread. Raises `ArgumentError` for marks that are none."""
        self._stop = threading.Event()
        self._domains: list[_Domain] = []
        self._soft, self._hard = (0.90, 0.95) if marks is None else marks
        self._domains = [
            _Domain(name, account, Gauge(self._soft, self._hard)) for name, account in driver.domains.items()
        ]
        self._machine = machine = Machine() if read is None else None
        self._read: Read | None = read if machine is None else machine
        self._lock = threading.Lock()
        self.look(driver)
        arguments = (weakref.ref(driver), weakref.ref(self), self._stop, every_s)
        self._thread = threading.Thread(target=_run, args=arguments, name="ullage-pool-guard", daemon=True)
        self._thread.start()

    def __del__(self) -> None:
        """Give back what is booked for others, where the pool was dropped without being closed."""
        self._stop.set()
        for domain in self._domains:
            domain.give_to_others(0)

    def look(self, driver: "Driver") -> None:
        """Look once at every domain and tell the scheduler what follows."""
        with self._lock:
            if self._stop.is_set():
                return
            coming = driver.coming()
            for domain in self._domains:
                self._look_at(driver, domain, coming.get(domain.name, 0))

    def _look_at(self, driver: "Driver", domain: "_Domain", coming: int) -> None:
        if self._read is None:
            return
        try:
            seen = self._read(domain.name)
        except (UllageError, OSError):
            seen = None
        if seen is None:
            return
        domain.seen = found = Seen(*seen)
        now = time.monotonic() - driver.started
        level, shed, taken = domain.gauge.read(
            now,
            limit=found.limit,
            used=found.used,
            stalled=found.stalled,
            offered=domain.offered(),
            coming=coming,
        )
        domain.give_to_others(taken)
        if shed or level != domain.level:
            domain.level = level
            driver.press(domain.name, level, shed)

    def watch(self, name: str, account: Account) -> None:
        """Look at one more domain."""
        with self._lock:
            self._domains = [*self._domains, _Domain(name, account, Gauge(self._soft, self._hard))]

    def forget(self, name: str) -> None:
        """Look at a domain no more, and give back what is booked there for others."""
        with self._lock:
            for domain in self._domains:
                if domain.name == name:
                    domain.give_to_others(0)
            self._domains = [domain for domain in self._domains if domain.name != name]

    def readings(self) -> dict[str, dict[str, Any]]:
        """Give what was seen last, by domain."""
        return {
            domain.name: {"level": domain.level, "others": domain.taken, **domain.seen._asdict()}
            for domain in self._domains
            if domain.seen is not None
        }

    def stop(self) -> None:
        """Look no more, and give back what is booked for others."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            for domain in self._domains:
                domain.give_to_others(0)
            if self._machine is not None:
                self._machine.close()


class _Domain:
    """One memory domain, and what is booked on it for others."""

    def __init__(self, name: str, account: Account, gauge: Gauge) -> None:
        self.name = name
        self.gauge = gauge
        self.level = "none"
        self.seen: Seen | None = None
        self._account = account
        self._others: Reservation | None = None

    @property
    def taken(self) -> int:
        return 0 if self._others is None else self._others.bytes

    def offered(self) -> int | None:
        """Give what the ledger would give out, were nothing booked for others."""
        available = self._account.available
        return None if available is None else available + self.taken

    def give_to_others(self, size: int) -> None:
        """Book `size` for others, or as much of it as is free: the pool's models are there first."""
        if size == self.taken:
            return
        if size == 0:
            others, self._others = self._others, None
            if others is not None:
                others.release()
            return
        with contextlib.suppress(BudgetExceeded):
            if self._others is None:
                self._others = self._account.reserve(size, label=OTHERS)
            else:
                self._others.resize(size)


def checked(marks: tuple[float, float] | None) -> tuple[float, float] | None:
    """Give the marks if they are two numbers. Raises `ArgumentError`."""
    if marks is None:
        return None
    given: object = marks
    if not isinstance(given, tuple) or len(given) != 2 or not all(isinstance(one, (int, float)) for one in given):  # noqa: PLR2004 - soft and hard
        raise ArgumentError(
            f"watermarks: {marks!r} is no pair of shares", name="watermarks", reason="no pair of shares"
        )
    return marks


def _run(
    driver_ref: "weakref.ref[Driver]", guard_ref: "weakref.ref[Guard]", stop: threading.Event, every_s: float
) -> None:
    """Look until told to stop, or until the driver is no more."""
    while not stop.wait(every_s):
        driver, guard = driver_ref(), guard_ref()
        if driver is None or guard is None:
            return
        guard.look(driver)
        del driver, guard  # nothing may hold them while this thread sleeps
