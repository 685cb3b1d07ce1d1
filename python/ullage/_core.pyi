"""The compiled half of `ullage`."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self, SupportsIndex, final

import numpy as np
import numpy.typing as npt

from ullage._types import ByteCount
from ullage.errors import BudgetExceeded, Held, Holder, PolicyError, WaitTimeoutError
from ullage.machine import Reconciliation
from ullage.plugins.policy import Weighs
from ullage.solving import Progress
from ullage.store import WriteProgress
from ullage.timeline import Timeline

__all__ = [
    "DEBUG_BUILD",
    "VERSION",
    "Account",
    "AccountSnapshot",
    "Brain",
    "Buffer",
    "Candidate",
    "Chain",
    "Compression",
    "Estimates",
    "Footprint",
    "Gauge",
    "Interval",
    "Layout",
    "Ledger",
    "LowerBound",
    "Model",
    "NumpyTracking",
    "Optimum",
    "PackedBytes",
    "Pending",
    "PlacedDevice",
    "Placement",
    "Plan",
    "PlannedBin",
    "PressureGuard",
    "Profile",
    "Remedy",
    "Reservation",
    "ReservationBatch",
    "Scope",
    "SharedAccount",
    "SharedAccountSnapshot",
    "SharedLedger",
    "SharedProcess",
    "SharedReservation",
    "SharedWaiter",
    "Simulation",
    "Split",
    "SplitPlace",
    "Store",
    "StoredMatrix",
    "StoredWeight",
    "Tensor",
    "Trace",
    "Verdict",
    "Watch",
    "add_runtime",
    "calibrate_machine",
    "check_assignment",
    "check_offsets",
    "check_out",
    "compress_layers",
    "compress_model",
    "decode_matrix",
    "encode_weight",
    "estimate",
    "execute_layers",
    "format_bytes",
    "judge",
    "kernel_isas",
    "layers_of",
    "lower_bound",
    "memory_times",
    "multiply_matrix",
    "open_model",
    "optimize_layers",
    "pack",
    "pack_bytes",
    "parse_arena_csv",
    "parse_azure_trace",
    "parse_bytes",
    "parse_openb_trace",
    "parse_packing_instance",
    "place_items",
    "plan_arena",
    "policy_names",
    "read_arena_instance",
    "read_packing_instance",
    "repack_items",
    "runtime_policies",
    "scheme_bytes",
    "scheme_text",
    "simulate_layers",
    "split_pipeline",
    "split_rack",
    "split_tiers",
    "stored_weight",
    "validate",
    "verify_machine",
    "write_compressed",
]

VERSION: Final[str]
"""The package's version."""

DEBUG_BUILD: Final[bool]
"""Whether this is a debug build, whose timings mean nothing."""

def parse_bytes(value: ByteCount) -> int:
    """Read a byte count: an int, an integral float, or a text such as `"24GiB"` or `"1.5 GB"`.

    A fraction of a byte in a text is rounded up. Raises `QuantityError` for anything that is not a count of
    0 to 2^64 - 1 bytes.
    """

def format_bytes(value: ByteCount, *, binary: bool = False) -> str:
    """Show a byte count with two decimals: `"4.20 GB"`, or `"3.91 GiB"` with `binary=True`.

    Takes what `parse_bytes` takes and raises what it raises.
    """

@final
class Buffer:
    """Read-only memory of the core, seen through the buffer protocol."""

@final
class Ledger:
    """A tree of accounts with limits. Every handle may be used from any thread.

    At every instant no account is over its limit, an account's use is the sum of its own reservations and its
    children's use, and a request is refused only if it did not fit at that instant.
    """

    def __new__(
        cls,
        limit: ByteCount | None = None,
        *,
        timeline: int = 65536,
        origins: Literal["off", "sampled", "all"] = "sampled",
        frames: int = 1,
    ) -> Self:
        """Make an empty tree whose root may hold `limit` bytes; any number without a limit.

        `timeline` events are remembered, 32 bytes each, none with 0. `origins` says which reservations are asked
        where they were made: all, none, or as many as cost next to nothing (all below some 10,000 a second);
        `frames` of the program are kept of each. Raises `ArgumentError` for anything else.
        """

    @staticmethod
    def shared(name: str, limit: ByteCount | None = None) -> SharedLedger:
        """Open the ledger that processes of this user share under `name`, or make it; `limit` is the root's.

        The first process that names a limit sets it; it may be named again, not contradicted, while another process
        has the ledger open. A name has up to 100 letters, digits, dots, dashes and underscores; one that begins with
        `/` is the path of the file itself. Raises `SharedLedgerError` for a file that is damaged, no ledger, not this
        user's alone, a symbolic link, or made in another process namespace, and `ArgumentError` for another limit.
        """

    @property
    def root(self) -> Account:
        """The account above all others, `/`."""

    @property
    def used(self) -> int:
        """Bytes booked in the whole tree."""

    @property
    def charged(self) -> int:
        """`used`, and credit that leaves have bought and not given out."""

    @property
    def peak(self) -> int:
        """The largest value `charged` ever had."""

    @property
    def limit(self) -> int | None:
        """The root's limit in bytes; `None` without one."""

    @property
    def available(self) -> int | None:
        """Bytes that still fit under the root's limit; `None` without one."""

    def account(
        self,
        path: str,
        limit: ByteCount | None = None,
        *,
        kind: Literal["exact", "credit"] = "exact",
        quantum: ByteCount | None = None,
    ) -> Account:
        """Give the account at `path`, such as `"gpu0/resnet"`; it and its parents are made where missing.

        A new account gets `limit`; an existing one keeps its own. A `credit` account is a leaf that buys `quantum`
        bytes at once from the accounts above (without one a 256th of the tightest limit, 64 KiB to 8 MiB; at most
        1 GiB) and gives them out without a lock. Raises `AccountPathError` for a path with an empty, overlong or
        unprintable segment or more than 32 levels, and `ArgumentError` if the account exists with another limit or
        of another kind than the one given, and below a credit account.
        """

    def reserve_many(
        self,
        accounts: str | Account | Sequence[str | Account] | npt.NDArray[np.integer[Any]],
        sizes: Sequence[ByteCount] | npt.NDArray[np.integer[Any]],
        label: str = "",
        *,
        mode: Literal["all", "mask"] = "all",
    ) -> ReservationBatch:
        """Book each size on its account in one decision: all or none, or with `mode="mask"` each that still fits.

        `accounts` is one for all sizes or one each, as accounts, paths (made where missing) or an array of
        `Account.id`. Raises `BudgetExceeded` of the first account that all together would fill, and `ArgumentError`
        for lengths that differ, negative sizes, unknown ids and accounts of another ledger.
        """

    def release_many(self, handles: npt.NDArray[np.void]) -> None:
        """Give back the reservations of all `handles` of batches, or none.

        Raises `HandleError` that names the first handle that was released already, belongs to another ledger or was
        never given.
        """

    def snapshot(self) -> list[AccountSnapshot]:
        """Give every account at one instant, parents before children, siblings by path."""

    def timeline(self) -> Timeline:
        """Give the events that the ledger remembers, as a structured array over its memory."""

    def scope(self) -> Scope:
        """Make a scope of the root, to be entered by `with`."""

    def holders(self, most: int = 5) -> list[Holder]:
        """Give the `most` largest holdings, by account and label."""

    def close(self) -> list[Held]:
        """Take all callbacks off and give what is still held; warns of it with `ResourceWarning`."""

    def __enter__(self) -> Self:
        """Give the ledger itself."""

    def __exit__(self, _kind: object = None, _value: object = None, _traceback: object = None) -> None:
        """Close."""

    @classmethod
    def of_machine(cls, reserve: ByteCount | None = None, *, gpus: bool = True) -> Self:
        """Make a ledger of this machine's memories: `host`, and `gpu0` and so on by NVML, each with its limit.

        The root has none, since the memories are separate. `reserve` bytes of the host stay free; by default what
        others hold now, at least a sixteenth (4 GiB at most). `ullage.machine.domains_of` tells where each number
        comes from. Raises `ArgumentError` for a reserve beyond the memory.
        """

    def reconcile(self, measured: Mapping[str, ByteCount] | None = None) -> Reconciliation:
        """Set what is booked beside what is really held: `host`, GPUs, and every account that `measured` names.

        Without an account of those names the root is measured. It warns and never gates. Raises `ArgumentError` for a
        name of no account.
        """

@final
class Account:
    """One account of a ledger."""

    @property
    def path(self) -> str:
        """Path below the root, such as `"gpu0/resnet"`; the root is `"/"`."""

    @property
    def id(self) -> int:
        """Index of the account in its ledger, as in the timeline."""

    @property
    def kind(self) -> Literal["exact", "credit"]:
        """How it books."""

    @property
    def used(self) -> int:
        """Bytes booked on this account and below."""

    @property
    def charged(self) -> int:
        """`used`, and credit that leaves at or below have bought and not given out: what stands against the limit."""

    @property
    def peak(self) -> int:
        """The largest value `charged` ever had; of a credit account the largest `used`."""

    @property
    def limit(self) -> int | None:
        """The account's own limit in bytes; `None` without one."""

    @property
    def available(self) -> int | None:
        """Bytes that could be reserved now, the least headroom up to the root; `None` where no limit stands."""

    def set_limit(self, limit: ByteCount | None) -> None:
        """Set the limit. Lowering it below what is booked is allowed: nothing new fits until it has drained."""

    def holders(self, most: int = 5) -> list[Holder]:
        """Give the `most` largest holdings on this account and below, by account and label, largest first."""

    def peak_holders(self, most: int = 5) -> list[Holder] | None:
        """Give who held what when the account stood at its peak, largest first.

        Exact, also when the events of that time have left the timeline. `None` without a timeline, and on a credit
        account.
        """

    def reservations(self, most: int = 100, *, order: Literal["largest", "oldest"] = "largest") -> list[Held]:
        """Give live reservations on this account and below, one by one.

        The time it takes grows with all that are live in the ledger. What was drawn from credit without a label is
        not among them.
        """

    def reserve(self, bytes: ByteCount, label: str = "", *, wait: float | None = None) -> Reservation:  # noqa: A002 - the quantity's name
        """Book `bytes` on this account and every account above it, or on none.

        Before a refusal idle credit is taken back, then the callbacks of `on_pressure` are asked. With `wait`, the
        request then waits in the queue for that many seconds. The queue is first come, first served: what fits may
        pass a larger request in front of it eight times; from then on what becomes free is kept for that one.
        Raises `BudgetExceeded` with the numbers of the first account on the way up whose limit would be passed, and
        `WaitTimeoutError`, which is one, when the wait was in vain.
        """

    def reserve_async(
        self,
        bytes: ByteCount,  # noqa: A002 - the quantity's name
        label: str = "",
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, Reservation]:
        """Book `bytes`, waiting in the queue without blocking the event loop.

        Without a `timeout` in seconds it waits for ever. A task that is cancelled leaves its place, and what it was
        granted meanwhile is given back. Raises as `reserve`.
        """

    def queue(self, bytes: ByteCount, label: str = "") -> Pending:  # noqa: A002 - the quantity's name
        """Take a place in the queue; raises `BudgetExceeded` where a limit is smaller than `bytes`."""

    def reserve_many(
        self, sizes: Sequence[ByteCount] | npt.NDArray[np.integer[Any]], label: str = ""
    ) -> ReservationBatch:
        """Book every one of `sizes` on this account, or none."""

    def on_pressure(self, callback: Callable[[int], object]) -> PressureGuard:
        """Ask `callback` to free memory of this account before any request is refused, here or above.

        It is called with the bytes that are missing, in the thread of the request and under no lock; several
        threads may call it at once. It may release, resize and reserve; a reservation inside of it that does not fit
        is refused at once, without callbacks. What it raises is reported as unraisable, but for an interrupt, which
        ends the request. It stays until `remove`, or until the ledger is closed.
        """

    def scope(self) -> Scope:
        """Make a scope of this account, to be entered by `with`."""

    def track_numpy(self, label: str = "numpy") -> NumpyTracking:
        """Give a tracker: arrays that NumPy makes inside its `with` block are charged here until they die."""

@final
class NumpyTracking:
    """Charges the arrays that NumPy makes inside its `with` block to an account, from their making to their death.

    An array is charged what NumPy asks for: its size, or one byte if it has none. One that does not fit raises the
    `MemoryError` that NumPy has for it; where that leaves the block, its `__cause__` is the `BudgetExceeded` with the
    numbers. Nothing is waited for and no callback runs. An array may die anywhere: after the block, in another
    thread, after the account's last handle.

    The block belongs to the current thread and context, as a context variable does: a task begun inside it stays
    inside, a new thread is outside unless it runs in a copy of the context. Within a block of another account, the
    inner one alone is charged. A tracker may be entered again, within itself and in several threads at once.
    """

    @property
    def account(self) -> str:
        """Path of the account."""

    @property
    def label(self) -> str:
        """What the account's holders and refusals call these arrays."""

    @property
    def bytes(self) -> int:
        """Bytes charged now."""

    @property
    def blocks(self) -> int:
        """Live blocks of memory: one for each array with memory of its own."""

    @property
    def refusals(self) -> int:
        """How many allocations were refused."""

    @property
    def last_refusal(self) -> BudgetExceeded | None:
        """The numbers of the last refusal, in whatever thread it was; `None` before the first."""

    @property
    def damaged(self) -> int:
        """How often a block was found with the bytes before it overwritten. Such a block stays charged for ever."""

    def __enter__(self) -> Self:
        """Charge the arrays of this context from here on.

        Raises `ProtocolError` on a memory handler that lacks a function, and for the 1001st block within blocks.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> None:
        """Put back what was there before the innermost block of this tracker.

        Raises `ProtocolError`, and changes nothing, where this tracker was not entered in this thread and context or
        somebody else's memory handler was put above it.
        """

@final
class PressureGuard:
    """A registered callback; it stays until `remove`, or the end of a `with` block."""

    def remove(self) -> None:
        """Take the callback off; it may still be running in another thread."""

    def __enter__(self) -> Self:
        """Give the guard itself."""

    def __exit__(self, _kind: object = None, _value: object = None, _traceback: object = None) -> None:
        """Take the callback off."""

@final
class Pending:
    """A request's place in the queue of a ledger; it ends with `cancel` or collection."""

    def take(self) -> Reservation | None:
        """Give what was granted, once; `None` as long as nothing was."""

    def on_granted(self, callback: Callable[[], object]) -> None:
        """Call `callback` once when the request is granted, at once if it was, from whichever thread that is."""

    def cancel(self) -> None:
        """Give the place up, and what was granted and not taken back."""

    def timed_out(self, waited_s: float) -> WaitTimeoutError:
        """Make the error of a wait that was in vain."""

@final
class Scope:
    """A region of time on one account: peak, net and counts of what happened in it.

    Scopes may nest and overlap in any way, also in several threads. Inside the block the numbers are those so far.
    Raises `ArgumentError` before it was entered, and when it is entered twice.
    """

    @property
    def start(self) -> int:
        """Bytes booked at its beginning."""

    @property
    def end(self) -> int:
        """Bytes booked at its end, or now."""

    @property
    def highest(self) -> int:
        """The most booked in it."""

    @property
    def peak(self) -> int:
        """`highest` less `start`."""

    @property
    def net(self) -> int:
        """`end` less `start`."""

    @property
    def total(self) -> int:
        """Sum of all that was reserved in it, draws from credit excepted."""

    @property
    def reservations(self) -> int:
        """Reservations made in it."""

    @property
    def releases(self) -> int:
        """Reservations released in it."""

    @property
    def refusals(self) -> int:
        """Requests refused in it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, _kind: object = None, _value: object = None, _traceback: object = None) -> None:
        """End."""

@final
class Reservation:
    """Bytes booked on an account, until `release` or the end of a `with` block.

    One that is collected while live gives its bytes back too, with a `ResourceWarning` that names where it was made.
    """

    @property
    def bytes(self) -> int:
        """Bytes held; 0 once released."""

    @property
    def label(self) -> str:
        """What the bytes are for, as given."""

    @property
    def account(self) -> str:
        """Path of the account."""

    @property
    def live(self) -> bool:
        """Whether the bytes are still held."""

    @property
    def origin(self) -> list[tuple[str, int, str]] | None:
        """File, line and function where it was made, innermost first; `None` if that was not sampled."""

    def resize(self, bytes: ByteCount) -> None:  # noqa: A002 - the quantity's name
        """Change the size in one step.

        Raises `BudgetExceeded` if the growth does not fit (the old size stays booked) and `ReleasedError` if the
        bytes were given back already.
        """

    def split(self, bytes: ByteCount) -> Reservation:  # noqa: A002 - the quantity's name
        """Take `bytes` out into a reservation of their own on the same account.

        Raises `ArgumentError` if it holds fewer, `ReleasedError` if it holds none any more.
        """

    def merge(self, other: Reservation) -> None:
        """Take the bytes of `other` over, which is released by that; what is booked does not change.

        Raises `HandleError` if `other` belongs to another ledger, `ArgumentError` if it is this one or stands on
        another account, `ReleasedError` if one of the two was released.
        """

    def transfer(self, account: Account) -> None:
        """Move the bytes to another account of the ledger, booked once at every instant.

        Raises `BudgetExceeded` if they do not fit there (they stay where they were), `HandleError` if the account
        belongs to another ledger, `ReleasedError` if the bytes were given back already.
        """

    def release(self) -> bool:
        """Give the bytes back; false if that was done before."""

    def __enter__(self) -> Self:
        """Give the reservation itself."""

    def __exit__(self, _kind: object = None, _value: object = None, _traceback: object = None) -> None:
        """Release."""

@final
class ReservationBatch:
    """Reservations that were made in one decision; collection gives back what is still held."""

    @property
    def handles(self) -> npt.NDArray[np.void]:
        """A handle for each reservation, in the order of the sizes: an array of 16-byte records."""

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which sizes were booked."""

    @property
    def bytes(self) -> int:
        """Bytes still held."""

    @property
    def live(self) -> int:
        """Reservations still held."""

    def release(self) -> int:
        """Give back all that are still held; tells how many that were."""

    def __len__(self) -> int:
        """Count the reservations made."""

    def __enter__(self) -> Self:
        """Give the batch itself."""

    def __exit__(self, _kind: object = None, _value: object = None, _traceback: object = None) -> None:
        """Release."""

@final
class AccountSnapshot:
    """One account at the instant of a snapshot."""

    @property
    def path(self) -> str:
        """Path; the root is `"/"`."""

    @property
    def parent(self) -> str | None:
        """Path of the account above; `None` for the root."""

    @property
    def kind(self) -> Literal["exact", "credit"]:
        """How it books."""

    @property
    def limit(self) -> int | None:
        """The limit in bytes; `None` without one."""

    @property
    def charged(self) -> int:
        """`used`, and credit that leaves at or below have bought and not given out."""

    @property
    def used(self) -> int:
        """Bytes booked here and below: `own` plus the children's `used`."""

    @property
    def own(self) -> int:
        """Bytes booked on this very account."""

    @property
    def peak(self) -> int:
        """The largest `used` so far."""

    @property
    def peak_at(self) -> float | None:
        """When that was, in seconds since 1970; unknown on a credit account."""

    @property
    def made(self) -> int:
        """Reservations ever made on this very account."""

    @property
    def released(self) -> int:
        """Reservations given back."""

    @property
    def leaked(self) -> int:
        """Reservations collected while live."""

    @property
    def total(self) -> int:
        """Sum of all that was reserved on this very account, draws from credit excepted."""

    @property
    def reservations(self) -> int:
        """Live reservations on this very account."""

    @property
    def refusals(self) -> int:
        """Requests on this very account that were refused, here or further up."""

    @property
    def over_by(self) -> int:
        """How far `used` stands over a limit that was lowered; 0 otherwise."""

@final
class SharedLedger:
    """A tree of accounts that processes share. `Ledger.shared` opens one; it pickles as its path.

    What a process has booked goes back when it releases it, closes the ledger, or ends in whatever way. A forked child
    is a process of its own, and what it inherited stays its parent's.
    """

    @staticmethod
    def unlink(name: str) -> bool:
        """Remove the file of the ledger called `name`; false if there is none.

        Processes that have it open go on; whoever opens the name next makes another. Raises `SharedLedgerError` for a
        path to anything that is no shared ledger.
        """

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def root(self) -> SharedAccount:
        """The account above all others, `/`."""

    @property
    def used(self) -> int:
        """Bytes booked in the whole tree by all processes."""

    @property
    def peak(self) -> int:
        """The largest value `used` had since the ledger was opened while no process had it open."""

    @property
    def limit(self) -> int | None:
        """The root's limit in bytes; `None` without one."""

    @property
    def available(self) -> int | None:
        """Bytes that still fit under the root's limit; `None` without one."""

    def account(self, path: str, limit: ByteCount | None = None) -> SharedAccount:
        """Give the account at `path`, such as `"gpu0/resnet"`; it and its parents are made where missing.

        A new account gets `limit`; an existing one keeps its own. Raises what `Ledger.account` raises, and
        `SharedLedgerError` when there is no room for another account.
        """

    def snapshot(self) -> list[SharedAccountSnapshot]:
        """Give every account at one instant, parents before children, siblings by path."""

    def processes(self) -> list[SharedProcess]:
        """Give the living processes that have the ledger open, by process id."""

    def close(self) -> bool:
        """Give everything that this object booked back; false if that was done before. Done at exit in any case."""

    def __enter__(self) -> Self:
        """Give the ledger itself."""

    def __exit__(self, *_exception: object) -> None:
        """Close."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Pickle as the path, so that another process opens the same ledger."""

@final
class SharedAccount:
    """One account of a shared ledger."""

    @property
    def path(self) -> str:
        """Path below the root, such as `"gpu0/resnet"`; the root is `"/"`."""

    @property
    def used(self) -> int:
        """Bytes booked on this account and below, by all processes."""

    @property
    def peak(self) -> int:
        """The largest value `used` had since the ledger was opened while no process had it open."""

    @property
    def limit(self) -> int | None:
        """The account's own limit in bytes; `None` without one."""

    @property
    def available(self) -> int | None:
        """Bytes that could be reserved now, the least headroom up to the root; `None` where no limit stands."""

    def set_limit(self, limit: ByteCount | None) -> None:
        """Set the limit for all processes. Lowered below what is booked, nothing new fits until it has drained."""

    def holders(self, most: int = 5) -> list[Holder]:
        """Give the `most` largest bookings of one process on one account, here and below, labelled by process."""

    def reserve(
        self,
        bytes: ByteCount,  # noqa: A002 - the quantity's name
        label: str = "",
        *,
        wait: float | None = None,
    ) -> SharedReservation:
        """Book `bytes` on this account and every account above it, or on none.

        With `wait`, wait for at most so many seconds behind those who wait already; a younger request may take what an
        older one waits for eight times. Raises `BudgetExceeded` with the numbers of the first account on the way up
        whose limit would be passed, at once if no release could help; `WaitTimeoutError`, which is one, after waiting.
        """

    def reserve_async(
        self,
        bytes: ByteCount,  # noqa: A002 - the quantity's name
        label: str = "",
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, SharedReservation]:
        """Book as `reserve` does, waiting in the event loop for at most `timeout` seconds; for ever without one."""

    def __eq__(self, other: object, /) -> bool:
        """Tell whether both are the same account of the same opened ledger."""

@final
class SharedWaiter:
    """A request that waits until it fits."""

    def poll(self) -> SharedReservation | None:
        """Ask once."""

    def pause_s(self) -> float:
        """Give the seconds to pause before asking again, more each time, up to 0.05."""

    def give_up(self, waited_s: float) -> SharedReservation:
        """Ask for the last time; raises `WaitTimeoutError` if it still does not fit."""

    def leave(self) -> None:
        """Give the turn up."""

@final
class SharedReservation:
    """Bytes booked on an account of a shared ledger, until `release`, the end of a `with` block or of the process.

    In a forked child it stays the parent's: there it is not live, and `release` does nothing.
    """

    @property
    def bytes(self) -> int:
        """Bytes held by this process; 0 once released."""

    @property
    def label(self) -> str:
        """What the bytes are for, as given."""

    @property
    def account(self) -> str:
        """Path of the account."""

    @property
    def live(self) -> bool:
        """Whether this process still holds the bytes."""

    def resize(self, bytes: ByteCount) -> None:  # noqa: A002 - the quantity's name
        """Change the size in one step.

        Raises `BudgetExceeded` if the growth does not fit (the old size stays booked), `ReleasedError` if the bytes
        were given back already, and `InheritedError` in a forked child.
        """

    def release(self) -> bool:
        """Give the bytes back; false if that was done before, or if they are another process's."""

    def __enter__(self) -> Self:
        """Give the reservation itself."""

    def __exit__(self, *_exception: object) -> None:
        """Release."""

@final
class SharedProcess:
    """A living process that has a shared ledger open."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def bytes(self) -> int:
        """What it has booked on all accounts together."""

    @property
    def reservations(self) -> int:
        """Its live reservations."""

@final
class SharedAccountSnapshot:
    """One account of a shared ledger at the instant of a snapshot."""

    @property
    def path(self) -> str:
        """Path; the root is `"/"`."""

    @property
    def parent(self) -> str | None:
        """Path of the account above; `None` for the root."""

    @property
    def limit(self) -> int | None:
        """The limit in bytes; `None` without one."""

    @property
    def used(self) -> int:
        """Bytes booked here and below by all processes: `own` plus the children's `used`."""

    @property
    def own(self) -> int:
        """Bytes booked on this very account."""

    @property
    def peak(self) -> int:
        """The largest value `used` had since the ledger was opened while no process had it open."""

    @property
    def reservations(self) -> int:
        """Live reservations on this very account."""

    @property
    def refusals(self) -> int:
        """Requests on this very account that were refused, here or further up."""

    @property
    def over_by(self) -> int:
        """How far `used` stands over a limit that was lowered; 0 otherwise."""

    @property
    def processes(self) -> dict[int, int]:
        """Bytes on this very account by process id; they add up to `own`."""

@final
class Watch:
    """Files of the kernel, kept open and read again from their start; see `ullage.machine.Watch`."""

    def __new__(
        cls,
        statm: str,
        meminfo: str,
        page: ByteCount,
        groups: Sequence[tuple[str, str, str, str, str, Sequence[str], str | None]],
        address_space: ByteCount | None,
        settings: Sequence[tuple[str, bytes]],
        recheck_s: float,
    ) -> Self:
        """Open every file; `OSError` for one that cannot be opened.

        A group is its limit, usage and stat file, the names of inactive, active and held page cache in the last, and
        the name of the limit that it inherits. A setting is a file with what it said; a change is noticed within
        `recheck_s`.
        """

    def read(self) -> tuple[int, int, int, int] | None:
        """Give resident memory, limit, use and what is available, in bytes; `None` where this watch is stale."""

@final
class Model:
    """A model as its headers describe it. No page of weights is read."""

    @staticmethod
    def of_size(name: str, size: ByteCount) -> Model:
        """Describe a model of which nothing is known but a size: `size` bytes of 16-bit weights.

        Raises `ArgumentError` for a size of zero.
        """

    @staticmethod
    def published(name: str, lo: ByteCount, best: ByteCount, hi: ByteCount, *, measured: bool = True) -> Model:
        """Describe a model of which a total was published, all parts included, `measured` or computed.

        Raises `ArgumentError` unless `0 < lo <= best <= hi`.
        """

    def encoded(self, scheme: str) -> Model:
        """Give the model with its matrices in `scheme`: `dense:f16`, `gguf:q4_k`, `palettized:4`, `linear:8`.

        Raises `ArgumentError` for a scheme that is none of these kinds.
        """

    def sized(self, size: ByteCount) -> Model:
        """Give the model with weights of `size` bytes in all, every tensor in proportion.

        Raises `ArgumentError` for a size of zero or a model of which no tensor is known.
        """

    def fingerprint(self) -> str:
        """Give what `ullage.fingerprint` gives: what makes two models the same for memory."""

    @staticmethod
    def from_config(name: str, json_text: str) -> Model:
        """Describe the model of a Hugging Face `config.json`, of which no weights need exist.

        Raises `ModelFileError` naming the key where the text is not JSON, holds impossible numbers, or names an
        architecture of which no layout is known.
        """

    @staticmethod
    def from_components(name: str, components: Sequence[tuple[str, str]]) -> Model:
        """Describe a model of several parts, each a name and the text of its configuration; names prefix tensors.

        Raises what `from_config` raises, and `ArgumentError` where there is no part.
        """

    @property
    def name(self) -> str:
        """File stem, directory name or catalog key."""

    @property
    def path(self) -> Path | None:
        """The file or directory read; `None` for a model known by its size alone."""

    @property
    def architecture(self) -> str | None:
        """The architecture's name from `config.json`, such as `"bert"`; `None` without one."""

    @property
    def format(self) -> str | None:
        """Format of its files, such as `"safetensors"`; `None` for a model known by its size alone."""

    @property
    def quantization(self) -> str | None:
        """The scheme that a packed checkpoint is stored in, such as `"gptq 4 bit, group 128"`; `None` for others."""

    @property
    def notes(self) -> list[str]:
        """What the reader had to assume or pass over, in sentences."""

    @property
    def parameters(self) -> int | None:
        """Parameters of all tensors, unpacked where a quantised checkpoint packs them; `None` without tensors."""

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, without headers."""

    @property
    def expanded_bytes(self) -> int:
        """Bytes of all tensors once compressed storage is expanded whole."""

    @property
    def file_bytes(self) -> int:
        """Bytes of all weight files, headers included."""

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor, in file order."""

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by part: a stack of numbered layers is one, anything else goes by its module."""

    @property
    def layers(self) -> dict[str, int]:
        """Bytes by numbered layer."""

    @property
    def dtypes(self) -> dict[str, int]:
        """Bytes by dtype."""

@final
class Tensor:
    """One tensor of a model."""

    @property
    def name(self) -> str:
        """Name, such as `"encoder.layer.0.output.dense.weight"`."""

    @property
    def dtype(self) -> str:
        """Number format as the file names it, such as `"F32"`."""

    @property
    def shape(self) -> list[int]:
        """Shape, outermost dimension first; empty for a scalar."""

    @property
    def bytes(self) -> int:
        """Bytes in the file; 0 where it shares its storage with an earlier tensor."""

    @property
    def parameters(self) -> int:
        """Parameters it holds: not its elements where several are packed into one, and none in scales and buffers."""

    @property
    def expanded(self) -> int:
        """Bytes once a runtime has expanded it."""

    @property
    def offset(self) -> int:
        """First byte, counted from the start of its file."""

def open_model(path: str | PathLike[str]) -> Model:
    """Read the headers of a model: a `.safetensors` file, an index of shards, or a directory that holds either.

    A `config.json` beside the weights is read too. Raises `ModelNotFoundError` or `UnreadableError` for a path
    that cannot be read, and `ModelFileError` with path, offset and field for a damaged, lying or foreign file, a
    missing shard or a directory without weights.
    """

def scheme_text(text: str) -> str:
    """Give a scheme's text in its plainest form. Raises `ArgumentError` for what is no scheme."""

def compress_model(
    model: Model,
    scheme: str,
    container: str,
    overrides: Sequence[tuple[str, str]],
    *,
    threshold: int | None = None,
    norms_kept: bool = False,
) -> Compression:
    """Size `model` with its weights compressed. `ullage.compress` is how it is called."""

def optimize_layers(
    model: Compression,
    profile: str,
    schemes: Sequence[str],
    policies: Sequence[str],
    *,
    memory_limit: ByteCount | None = None,
    latency_limit: float | None = None,
    min_snr_db: float | None = None,
    objective: str | None = None,
    threads: int | None = None,
    batch: int = 1,
    time_limit: float | None = 10.0,
    progress: Callable[[Progress], object] | None = None,
) -> Optimum:
    """Choose for every layer of `model`; `ullage.optimize` says more. `profile` is JSON."""

def compress_layers(
    layers: Sequence[tuple[str, str, Sequence[int], bool | None]],
    scheme: str,
    container: str,
    overrides: Sequence[tuple[str, str]],
    *,
    threshold: int | None = None,
    norms_kept: bool = False,
) -> Compression:
    """Size a network in a Core ML package: name, kind and shape of each layer, and whether a batch norm follows."""

def encode_weight(
    values: npt.NDArray[np.float32],
    shape: Sequence[int],
    scheme: str,
    seed: int,
    quantile: float,
    inputs: tuple[npt.NDArray[np.float32], int] | None,
) -> StoredWeight:
    """Encode contiguous 32-bit `values`. `ullage.encode` is how it is called."""

def scheme_bytes(scheme: str, shape: Sequence[int]) -> int | None:
    """Give the bytes of a weight of `shape` in a scheme; `None` where the scheme leaves it as it is."""

def stored_weight(parts: Sequence[tuple[str, bytes]], shape: Sequence[int], scheme: str) -> StoredWeight:
    """Take pieces by name. `ullage.encoded` is how it is called."""

@final
class StoredWeight:
    """Stored pieces. `ullage.Encoded` is how they are used."""

    @property
    def scheme(self) -> str:
        """The scheme's text in its plainest form."""

    @property
    def shape(self) -> list[int]:
        """The weight's dimensions."""

    @property
    def bytes(self) -> int:
        """Bytes of all pieces."""

    def parts(self, dtype: np.dtype[np.uint8]) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """Give names and read-only arrays of bytes, which are not copied."""

    def fill(self, out: npt.NDArray[np.float32]) -> None:
        """Write the weight to a contiguous 32-bit array."""

    def distortion(self, original: npt.NDArray[np.float32]) -> tuple[float, float, float]:
        """Give the largest and the root of the mean squared error, and decibels of signal over it."""

@final
class PackedBytes:
    """Bytes of an array, compressed without loss, or kept as they are where nothing is gained."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""

    @property
    def original_nbytes(self) -> int:
        """Bytes that come back."""

    @property
    def scheme(self) -> str:
        """The scheme, or `stored` for bytes as they are."""

    @property
    def dtype(self) -> str:
        """The number format it was compressed as."""

    def unpack_into(
        self, out: npt.NDArray[np.uint8], *, start: int = 0, threads: int = 1, isa: str | None = None
    ) -> None:
        """Write the elements from `start` on to `out`, as many as it holds."""

def pack_bytes(data: npt.NDArray[np.uint8], dtype: str, *, scheme: str | None = None, threads: int = 1) -> PackedBytes:
    """Compress bytes, elements of `dtype` as safetensors names it, in `scheme` or the best one."""

@final
class Compression:
    """A model with its weights compressed: sizes, tensor by tensor. Nothing was written."""

    @property
    def bytes(self) -> int:
        """Bytes of all tensors; in a Core ML package, of `weight.bin`."""

    @property
    def dense_bytes(self) -> int:
        """The same without compression: of the tensors as stored; of the `weight.bin` of 16-bit numbers."""

    @property
    def ratio(self) -> float | None:
        """`dense_bytes / bytes`; `None` where nothing is left."""

    @property
    def scheme(self) -> str:
        """The scheme of every weight that no override names."""

    @property
    def container(self) -> str:
        """What lies around the weights: `raw`, `coreml:ios16` or `coreml:ios18`."""

    @property
    def per_tensor(self) -> list[dict[str, Any]]:
        """For each tensor `name`, `shape`, `scheme` (`None` as it was), `dense_bytes` and `bytes`.

        In a Core ML package `bytes` leaves metadata and padding out, and is 0 where an equal constant is stored.
        """

    def with_own(self, scheme: str, tensors: dict[int, tuple[str, ByteCount]]) -> Self:
        """Give the same, called `scheme`, with some tensors in schemes of somebody's own.

        `tensors` maps places among the tensors to a scheme's name and bytes. Raises `ArgumentError` for a place that is
        none, `ByteOverflowError` beyond 2^64 - 1 bytes.
        """

    def package_bytes(self, program_bytes: ByteCount | None = None) -> int:
        """Give the bytes of the whole Core ML package; `program_bytes` is the size of its program uncompressed.

        Without it that is estimated from the number of layers, within some 20 KB.
        Raises `ArgumentError` where there is no package.
        """

    def as_dict(self) -> dict[str, Any]:
        """Give the sizes as plain values, ready for JSON."""

    def __len__(self) -> int:
        """Count the tensors."""

@final
class Optimum:
    """A policy, and perhaps a scheme, for every layer: what was chosen, and what is proven of it.

    Without an answer the figures are `None` and the lists of what was chosen empty.
    """

    @property
    def status(self) -> str:
        """`optimal`, `feasible`, `infeasible` or `timeout`."""

    @property
    def objective(self) -> str:
        """What was made small: `latency` or `memory`."""

    @property
    def device(self) -> str:
        """The name of the device."""

    @property
    def latency_s(self) -> float | None:
        """Seconds of a pass, as the simulator says."""

    @property
    def peak_bytes(self) -> int | None:
        """The most bytes at any time, loading included."""

    @property
    def resident_bytes(self) -> int | None:
        """Bytes that stay between passes."""

    @property
    def snr_db(self) -> float | None:
        """Power of all weights over that of their errors, in decibels; infinite where nothing is lost."""

    @property
    def lower_bound(self) -> float:
        """Nothing within the limits is less: seconds, or bytes where the memory is made small."""

    @property
    def gap(self) -> float | None:
        """How far the answer is above the bound at most, as a share of it; 0 where it is proven to be the best."""

    @property
    def seconds(self) -> float:
        """Seconds that the search took."""

    @property
    def simulated(self) -> int:
        """How many plans were simulated."""

    @property
    def reason(self) -> str | None:
        """Why there is no answer."""

    @property
    def layers(self) -> list[dict[str, Any]]:
        """For each layer `name`, `scheme`, `policy`, `bound`, `basis`, `seconds`, `bytes`, `dense_bytes`, `snr_db`."""

    @property
    def uniform(self) -> list[dict[str, Any]]:
        """What each policy comes to for all layers alike, with each scheme.

        Rows of `policy`, `scheme`, `latency_s`, `peak_bytes`, `snr_db` and whether it keeps to the limits (`allowed`).
        """

    @property
    def front(self) -> list[dict[str, Any]]:
        """What nothing else that was simulated within the limits beats in both memory and latency, by memory.

        Each has `latency_s`, `peak_bytes`, `snr_db` and `policies`, the number of layers under each.
        """

    @property
    def timeline(self) -> list[dict[str, Any]]:
        """What was busy when in a pass: `layer`, `resource`, `start_s` and `end_s`."""

    @property
    def memory(self) -> list[tuple[float, int]]:
        """Bytes in use over a pass: from so many seconds on, so many."""

@final
class Interval:
    """A number of bytes between `lo` and `hi`, most likely `best`. `int(interval)` is `best`."""

    @property
    def lo(self) -> int:
        """The least it can be."""

    @property
    def best(self) -> int:
        """The most likely."""

    @property
    def hi(self) -> int:
        """The most it can be; what to book."""

    @property
    def origin(self) -> str:
        """Where it comes from: `header`, `config`, `measured`, `formula` or `assumed`."""

    @property
    def formula(self) -> str:
        """The formula behind it."""

    def __int__(self) -> int:
        """Give `best`."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def as_dict(self) -> dict[str, Any]:
        """Give the fields as a dictionary ready for JSON."""

@final
class Footprint:
    """What a model needs, by component, for a context length and a batch."""

    @property
    def model(self) -> Model:
        """The model."""

    @property
    def context(self) -> int:
        """Tokens of one sequence."""

    @property
    def batch(self) -> int:
        """Sequences at once."""

    @property
    def kv_dtype(self) -> str:
        """Format of the key-value cache."""

    @property
    def micro_batch(self) -> int:
        """Tokens taken through the network at once while a prompt is read."""

    @property
    def flash_attention(self) -> bool:
        """Whether attention is computed without writing its scores out."""

    @property
    def runtime(self) -> str:
        """The runtime and the version of the policy used, such as `"llama.cpp@0.5"`."""

    @property
    def weights(self) -> Interval:
        """The weights as the runtime holds them."""

    @property
    def kv_cache(self) -> Interval:
        """Keys and values of the tokens in the context."""

    @property
    def state(self) -> Interval:
        """Recurrent or convolutional state, independent of the context."""

    @property
    def activations(self) -> Interval:
        """Buffers of a forward pass."""

    @property
    def overhead(self) -> Interval:
        """What the runtime holds beside all of these."""

    @property
    def total(self) -> Interval:
        """Sum of the components."""

    @property
    def parts(self) -> dict[str, Interval]:
        """The components by name."""

    def measured(
        self, lo: ByteCount, best: ByteCount, hi: ByteCount, *, how: str, loaded_only: bool = False
    ) -> Footprint:
        """Give the footprint narrowed to a measured total; `how` says by how many runs, of what and when.

        What is exact stays as long as the measured bytes suffice for it; activations and overhead give way, and the
        overhead takes what is left over. With `loaded_only` the model was loaded and not run: the figures are of
        weights and overhead alone, and the other parts stay as estimated. `fit` goes by the measured total, and by that
        less what the change saves for each remedy.
        """

    def as_dict(self) -> dict[str, Any]:
        """Give the footprint as a dictionary ready for JSON."""

def add_runtime(text: str) -> str:
    """Make a runtime policy, a JSON object, known by its name; gives the name with its version.

    It has the fields of `ullage.RuntimePolicy`. Raises `ArgumentError` naming the field at fault.
    """

def estimate(
    model: Model,
    *,
    context: int | None = None,
    batch: int = 1,
    kv_dtype: str = "f16",
    micro_batch: int | None = None,
    flash_attention: bool = True,
    runtime: str | None = None,
) -> Footprint:
    """Estimate what `model` needs.

    Without `context`, the longest that the configuration allows, at most 4,096 tokens. `kv_dtype` is one of `f32`,
    `f16`, `bf16`, `fp8`, `q8_0`, `q5_1`, `q5_0`, `q4_1`, `q4_0`, `iq4_nl`, `nvfp4`. `micro_batch` is 512 unless given.
    `runtime` is a name of `runtime_policies`, with or without a version; by default the one that such files are usually
    run with. Raises `ArgumentError` for a number below 1 or above 2^32, an unknown `kv_dtype` or runtime, and
    `ByteOverflowError` where a component passes 2^64 - 1 bytes.
    """

def runtime_policies() -> list[dict[str, Any]]:
    """Give the runtimes whose use of memory is known, added ones last: version, other names, source and date."""

@final
class Verdict:
    """Whether a footprint fits a device."""

    @property
    def device(self) -> str:
        """The device's name."""

    @property
    def verdict(self) -> str:
        """`yes`: the most it can need is certainly there; `no`: even the least is not; `depends` between."""

    @property
    def fits(self) -> bool:
        """Whether the verdict is `yes`."""

    @property
    def required(self) -> Interval:
        """What is needed."""

    @property
    def available(self) -> int:
        """Bytes the device most likely offers."""

    @property
    def available_range(self) -> tuple[int, int, int]:
        """Bytes the device offers for certain, most likely and at most."""

    @property
    def short_by(self) -> int:
        """Bytes missing by the most likely figures; 0 if they fit."""

    @property
    def margin(self) -> int:
        """Bytes to spare by the most likely figures; 0 if they do not fit."""

    @property
    def remedies(self) -> list[Remedy]:
        """What makes it fit, the least lossy first; empty if it fits as it is."""

    def as_dict(self) -> dict[str, Any]:
        """Give the verdict as a dictionary ready for JSON."""

@final
class Remedy:
    """Changes that together make a model fit, or nearly."""

    @property
    def changes(self) -> list[str]:
        """What to change, all of it together."""

    @property
    def steps(self) -> list[tuple[str, int]]:
        """Each change with the bytes it saves when made alone, by the most likely figures."""

    @property
    def verdict(self) -> str:
        """The verdict after the changes."""

    @property
    def required(self) -> Interval:
        """What is needed after the changes."""

    @property
    def available(self) -> int:
        """Bytes the device most likely offers after the changes."""

    @property
    def saves(self) -> int:
        """Bytes saved by the most likely figures."""

    def as_dict(self) -> dict[str, Any]:
        """Give the remedy as a dictionary ready for JSON."""

def judge(
    footprint: Footprint,
    *,
    name: str,
    memory: ByteCount,
    available: tuple[ByteCount, ByteCount, ByteCount],
    entitled: tuple[ByteCount, ByteCount, ByteCount] | None = None,
    wired: tuple[ByteCount, ByteCount, ByteCount] | None = None,
    is_ios: bool = False,
    is_discrete: bool = False,
) -> Verdict:
    """Judge whether `footprint` fits a device, and find what makes it fit.

    `available`, `entitled` (with iOS's increased-memory-limit entitlement) and `wired` (with a raised wired limit on a
    Mac) are the bytes that the device offers for certain, most likely and at most. `is_discrete` says that its memory
    is a graphics card's own, so that layers can move to the host. Raises `ArgumentError` if such a triple is not in
    order.
    """

@final
class Trace:
    """Models, and who asked for which when."""

    def __new__(
        cls,
        names: Sequence[str],
        sizes: Sequence[ByteCount],
        loads_s: Sequence[float],
        times_s: Sequence[float],
        models: Sequence[int],
        durations_s: Sequence[float],
    ) -> Self:
        """Make a trace from columns: three of models, three of requests, which name models by number.

        Raises `ProblemError` naming the place at fault.
        """

    @staticmethod
    def parse(models: bytes, requests: bytes) -> Trace:
        """Read the text of two CSV files: `model,bytes,load_s` and `time_s,model[,duration_s]`.

        Raises `ProblemError` naming file, line and column.
        """

    def pinned(self, names: Sequence[str]) -> Trace:
        """Give the same trace with these models pinned. Raises `UnknownModelError`."""

    @property
    def models(self) -> list[str]:
        """The names of the models."""

    def __len__(self) -> int:
        """Give the number of requests."""

    def serial(self, capacity: ByteCount, policy: str | Weighs, log: bool) -> tuple[dict[str, Any], bytes | None]:
        """Replay one request after another; gives what came of it, and the log as CSV if it is asked for.

        Raises `ArgumentError` for an unknown policy, `PolicyError` for one in Python that fails.
        """

    def live(
        self,
        capacity: ByteCount,
        policy: str | Weighs,
        log: bool,
        *,
        shared_bandwidth: bool,
        unload_lag_s: float,
        estimate_error: float,
        timeout_s: float | None,
        max_concurrency: int | None,
        workspace: ByteCount,
    ) -> tuple[dict[str, Any], bytes | None]:
        """Replay with the durations of the requests, through the pool; gives what `serial` gives."""

    def lower_bound(self, capacity: ByteCount) -> float:
        """Give the seconds of loading that no policy can do without, one request after another."""

def policy_names() -> list[str]:
    """Give the names of the policies that a pool may have."""

@final
class Estimates:
    """Learned sizes: by how much real peaks pass what was predicted, for each model, context and batch.

    A cell is one model in one bucket (power of two) of context and batch; zero where that is not said. It keeps its
    latest 256 samples. While they are few, what is booked covers the largest peak seen and a margin that shrinks; from
    `quantile / (1 - quantile)` samples on it is the quantile of what was seen, so that the next peak passes it with a
    probability of at most `1 - quantile`. A cell without samples is taken to be as wrong as the worst one of its model.
    """

    def __new__(cls, quantile: float = ...) -> Self:
        """Know nothing yet. Raises `ArgumentError` for a `quantile` that does not lie between 0 and 1."""

    def observe(
        self,
        model: str,
        *,
        predicted: ByteCount,
        booked: ByteCount,
        peak: ByteCount,
        context: int = ...,
        batch: int = ...,
    ) -> None:
        """Take in what a load or lease really took, in bytes."""

    def book(self, model: str, predicted: ByteCount, *, context: int = ..., batch: int = ...) -> int:
        """Give what to book, in bytes, where `predicted` is predicted."""

    def knows(self, model: str, *, context: int = ..., batch: int = ...) -> bool:
        """Tell whether anything was seen of a model in this shape."""

    def forget(self, model: str) -> None:
        """Forget a model."""

    @property
    def breaches(self) -> int:
        """Peaks above what was booked, so far."""

    def learned(self) -> list[dict[str, Any]]:
        """Give every cell: `model`, `context`, `batch`, `samples`, `excess` (added to a prediction), `breaches`."""

@final
class Candidate:
    """A resident model that may be evicted, as an eviction policy sees it."""

    @property
    def name(self) -> str:
        """The model."""

    @property
    def bytes(self) -> int:
        """Bytes that it holds."""

    @property
    def turn(self) -> int:
        """A number that grows with every use in the pool, as it was at this model's latest."""

@final
class Gauge:
    """Watches one memory domain: readings of the machine in, what the pool has to give back out.

    The soft level begins at the share `soft` of the limit, the hard one at `hard`; each ends a twentieth of the limit
    below that. What was asked for is not asked for again for two seconds.
    """

    def __new__(cls, soft: float = 0.90, hard: float = 0.95) -> Self:
        """Make one that has seen nothing. Raises `ArgumentError` unless `0 < soft <= hard <= 1`."""

    def read(
        self,
        now: float,
        *,
        limit: ByteCount,
        used: ByteCount,
        stalled: float | None = None,
        offered: ByteCount | None = None,
        coming: ByteCount | None = None,
    ) -> tuple[str, int, int]:
        """Take a reading, in bytes, at `now` in seconds; gives the level, the bytes to shed and the bytes others took.

        `stalled` is the percentage of time in which some task waited for memory, `offered` what the ledger would give
        out but for what others took, `coming` what is booked for loads under way. The level is `none`, `soft` or
        `hard`.
        """

@final
class Brain:
    """The scheduler: events in, actions out, no I/O, no clock.

    Every event method takes the time in seconds on a clock of the caller's and returns the actions to carry out, in
    order: `("load", model, place)` and likewise `unload`, `compress`, `promote`, `drop`;
    `("grant", request, model, place)`, `("queue", request, behind)`, `("refuse", request, denial)`,
    `("overdue", model, place, bytes)`. Places are numbered in the order of registration; bytes of several memory
    domains are a dictionary by their names. Raises `ProtocolError` for an event that cannot have happened,
    `UnknownModelError` for a model that was not registered and `ArgumentError` for an unknown domain.
    """

    def __new__(
        cls,
        domains: dict[str, Account],
        policy: str | Weighs,
        *,
        group_wait: float = 1.0,
        age_step: float = 10.0,
        min_residency: float = 0.0,
        release_deadline: float = 30.0,
        on_fault: Callable[[PolicyError], object] | None = None,
    ) -> Self:
        """Make an empty pool that books on the account of each domain.

        `policy` is a name or an object, of which `on_fault` is told what it does wrong: that decision then falls on
        who was used least recently. Raises `ArgumentError` for no account, one given twice, an unknown policy and
        times that are none.
        """

    def register(
        self,
        name: str,
        *,
        estimated: ByteCount,
        places: Sequence[tuple[Mapping[str, ByteCount], Mapping[str, ByteCount]]],
        instances: int,
        pinned: bool,
        max_concurrency: int | None,
        load_time: float | None,
        retries: int,
        compressed: tuple[Mapping[str, ByteCount], float] | None,
    ) -> None:
        """Add a model, cold.

        Each of `places` is what is booked for a load, and what each lease books beside that. `load_time` is how many
        seconds a load is likely to take, until one was seen; `compressed` what the compressed form takes, and how many
        seconds it takes to make it whole. Raises `ArgumentError` for a name in use and numbers that make no sense,
        `BudgetExceeded` for pins that cannot be in memory together.
        """

    def request(
        self,
        now: float,
        request: int,
        model: str,
        deadline: float | None,
        priority: int = 0,
        workspace: ByteCount | None = None,
    ) -> int | list[tuple[Any, ...]]:
        """Tell that `request`, a number not in use, wants `model` until `deadline`.

        Gives the number of the place where it is granted at once, if nothing else is to be done.
        """

    def cancel(self, now: float, request: int) -> list[tuple[Any, ...]]:
        """Tell that `request` is no longer wanted, granted or not."""

    def released(self, now: float, request: int) -> list[tuple[Any, ...]]:
        """Tell that the lease of `request` ended."""

    def loaded(self, now: float, model: str, place: int) -> list[tuple[Any, ...]]:
        """Tell that a load succeeded."""

    def load_failed(
        self, now: float, model: str, place: int, out_of_memory: Mapping[str, ByteCount] | None, may_retry: bool
    ) -> list[tuple[Any, ...]]:
        """Tell that a load or promotion failed and holds no memory beyond what there was before.

        `out_of_memory` is what was seen in use if memory ran out, perhaps nothing: the next load books more.
        """

    def unloaded(self, now: float, model: str, place: int, left: Mapping[str, ByteCount]) -> list[tuple[Any, ...]]:
        """Tell that a model's memory was seen to be free again, but for what is `left`, which stays booked."""

    def unload_failed(self, now: float, model: str, place: int) -> list[tuple[Any, ...]]:
        """Tell that a model could not be unloaded; its bytes stay booked."""

    def returned(
        self,
        now: float,
        model: str,
        place: int,
        bytes: Mapping[str, ByteCount],  # noqa: A002 - the quantity's name
    ) -> list[tuple[Any, ...]]:
        """Tell that what was left behind, overdue or stuck came back after all."""

    def lost(self, now: float, model: str, place: int) -> list[tuple[Any, ...]]:
        """Tell that a model is not there any more: its worker died. Its bytes stay booked until `unloaded`."""

    def measured(
        self,
        now: float,
        model: str,
        place: int,
        bytes: Mapping[str, ByteCount],  # noqa: A002 - the quantity's name
    ) -> list[tuple[Any, ...]]:
        """Tell what a model was seen to use, workspaces of leases not counted."""

    def compressed(
        self,
        now: float,
        model: str,
        place: int,
        bytes: Mapping[str, ByteCount],  # noqa: A002 - the quantity's name
    ) -> list[tuple[Any, ...]]:
        """Tell that a model is in its compressed form, what that takes, and that the other is gone."""

    def compress_failed(self, now: float, model: str, place: int) -> list[tuple[Any, ...]]:
        """Tell that a model could not be compressed; it is as it was."""

    def promoted(self, now: float, model: str, place: int) -> list[tuple[Any, ...]]:
        """Tell that a model is whole again, and its compressed form gone."""

    def pin(self, now: float, model: str) -> list[tuple[Any, ...]]:
        """Tell that a model stays once it is loaded."""

    def unpin(self, now: float, model: str) -> list[tuple[Any, ...]]:
        """Tell that a model may go like any other."""

    def pressure(self, now: float, domain: str, level: str, shed: ByteCount) -> list[tuple[Any, ...]]:
        """Tell that a domain is short of memory (`soft`, `hard`) or is so no more (`none`), and how much to give up."""

    def add_domain(self, name: str, account: Account) -> None:
        """Add a memory domain. Raises `ArgumentError` for an account that is one already, and the 65,536th."""

    def add_place(self, model: str, weights: Mapping[str, ByteCount], workspace: Mapping[str, ByteCount]) -> int:
        """Add a way to hold a model; gives its number. Raises `ArgumentError` for unknown and retired domains."""

    def set_instances(self, model: str, instances: int) -> None:
        """Say at how many places a model may be held at once. Raises `ArgumentError` for none, or too many."""

    def retire(self, now: float, domain: str) -> list[tuple[Any, ...]]:
        """Tell that a memory domain is given up, for good: nothing comes there, and what is there goes."""

    def tick(self, now: float) -> list[tuple[Any, ...]]:
        """Tell that nothing but time passed."""

    def close(self, now: float) -> list[tuple[Any, ...]]:
        """Tell that no request is taken any more."""

    @property
    def next_deadline(self) -> float | None:
        """When something is due; `None` if nothing is."""

    @property
    def has_own_policy(self) -> bool:
        """Whether the policy is one in Python."""

    @property
    def idle_for(self) -> float | None:
        """After how many idle seconds the policy sends a model away; `None` if it does not."""

    def status(self) -> list[dict[str, Any]]:
        """Give every model in order of registration."""

    def plan(self, model: str, workspace: ByteCount | None = None) -> dict[str, Any]:
        """Give what a request for `model` would meet now; nothing changes."""

    def coming(self) -> dict[str, int]:
        """Give the bytes, by domain, that are booked for loads under way."""

def pack(
    items: Mapping[str, ByteCount]
    | Iterable[ByteCount]
    | Iterable[tuple[str, ByteCount]]
    | npt.NDArray[np.integer[Any]],
    bins: ByteCount | Iterable[ByteCount] | Mapping[str, ByteCount | tuple[ByteCount, int | None]],
    strategy: str = "auto",
    time_limit: float | None = 10.0,
    *,
    counts: Iterable[int] | npt.NDArray[np.integer[Any]] | None = None,
    seed: int = 0,
    progress: Callable[[Progress], object] | None = None,
) -> Plan:
    """Put items into as few bins as possible.

    `items` are sizes, names with sizes, or an integer array of shape `(n,)`. `bins` is one capacity (as many copies as
    needed), a list of capacities, or names with capacities or with `(capacity, copies)`. `counts` gives the number of
    items of each size, as in cutting stock; copies follow each other, named `llama:0`, `llama:1` if there are names.

    `strategy` is `auto` (fast heuristics, a short local search, branch and price for at most 2,000 items, other exact
    searches for at most 200), `exact` (all of it for any number), `local_search`, `perturbed_bin_slack`,
    `minimum_bin_slack_seeded`, `minimum_bin_slack`, or one of `next_fit`, `first_fit`, `best_fit` and `worst_fit`, in
    the order given or followed by `_decreasing`, or `best_k_fit`, that keeps ten bins open, or as many as in
    `best_k_fit:4`. `time_limit` bounds all but the plain heuristics in seconds, `None` not at all. The same `seed`
    gives the same plan unless time runs out. `progress` is called with a `Progress` for every better plan or bound, and
    about four times a second in between; what it raises ends the work. Ctrl-C raises `Interrupted` with the best plan
    so far. Raises `ProblemError` naming the item, bin or count at fault and `ArgumentError` for an unknown strategy, a
    bad seed or a time limit that is none.
    """

def lower_bound(
    items: Mapping[str, ByteCount]
    | Iterable[ByteCount]
    | Iterable[tuple[str, ByteCount]]
    | npt.NDArray[np.integer[Any]],
    bins: ByteCount | Iterable[ByteCount] | Mapping[str, ByteCount | tuple[ByteCount, int | None]],
    *,
    counts: Iterable[int] | npt.NDArray[np.integer[Any]] | None = None,
) -> LowerBound:
    """Give a number of bins that no complete plan goes below, from all bounds; the arguments are those of `pack`."""

@final
class LowerBound:
    """How many bins are needed at least, and by which bound."""

    @property
    def bins(self) -> int:
        """The largest of `all`; 0 where there is no complete plan."""

    @property
    def name(self) -> Literal["area", "threshold", "dual_feasible_function", "reduction"]:
        """The simplest bound that gives `bins`: total size, L2, dual feasible functions or L3."""

    @property
    def all(self) -> dict[str, int]:
        """Each bound by name."""

    @property
    def reason(self) -> str | None:
        """Why there is no complete plan, where a bound shows it."""

    def as_dict(self) -> dict[str, Any]:
        """Give the bounds with their parameters as a dictionary ready for JSON."""

    def __index__(self) -> int: ...

def validate(answer: Plan | Layout | Placement | Split) -> None:
    """Check a plan, a layout, a placement or a split by code that shares nothing with the solvers.

    Raises `ViolationError` with the first fact that does not hold.
    """

def read_packing_instance(path: str | PathLike[str]) -> tuple[list[int] | list[tuple[str, int]], int | None]:
    """Read items, and the capacity where the file gives one: BPPLIB text, CSP, or CSV with `name,size`.

    `.bpp`, `.csp`, `.vbp` and `.csv` say what they are, of other names the content does; VBP has to have one dimension,
    and demands are listed up to some four million items. Raises `ModelNotFoundError` or `UnreadableError` for a path
    that cannot be read, `ProblemError` naming the line.
    """

def parse_packing_instance(
    content: bytes, name: str | PathLike[str]
) -> tuple[list[str], list[int], list[tuple[list[int], int]]]:
    """Read resources, capacities (none in CSV), and demand and count of each kind of item, from bytes.

    Formats are told as by `read_packing_instance`. Raises `ProblemError` naming the line.
    """

def parse_openb_trace(
    pods: bytes, nodes: bytes
) -> list[tuple[str, tuple[list[str], list[int], list[tuple[list[int], int]]]]]:
    """Read a list of pods and one of nodes of OpenB: for each kind of node its name, and all pods that fit on one.

    Raises `ProblemError` naming list, line and column.
    """

def parse_azure_trace(
    types: bytes, requests: bytes, at: float
) -> list[tuple[str, tuple[list[str], list[int], list[tuple[list[int], int]]]]]:
    """Read the tables of the Azure trace for packing as CSV: for each machine its name, and what is alive at `at` days.

    Shares of a machine are counted in millionths. Raises `ProblemError` naming table, line and column.
    """

def check_assignment(
    instance: tuple[list[str], list[int], list[tuple[list[int], int]]], assignment: Sequence[int | None]
) -> int:
    """Check that every item has a bin and none is over-full; give the number of bins in use.

    Raises `ViolationError` with the first fact that does not hold.
    """

def check_offsets(
    sizes: Iterable[ByteCount],
    starts: Iterable[SupportsIndex],
    ends: Iterable[SupportsIndex],
    alignments: Iterable[ByteCount] | None,
    offsets: Sequence[int],
) -> int:
    """Check that offsets are aligned and no two buffers alive at once share a byte; give the height.

    Raises `ViolationError` with the first fact that does not hold.
    """

@final
class Plan:
    """Which item goes into which bin, and what is proven of it."""

    @property
    def status(self) -> Literal["optimal", "feasible", "infeasible", "timeout"]:
        """`optimal`: complete, and fewer bins are impossible; `feasible`: complete, `gap` bins above the bound.

        `infeasible`: proven that not everything fits; `timeout`: neither a complete plan nor such a proof was found.
        """

    @property
    def strategy(self) -> str:
        """The strategy asked for."""

    @property
    def assignment(self) -> list[int | None]:
        """For each item the index of its bin in `bins`; `None` for one without a place."""

    @property
    def assignment_array(self) -> npt.NDArray[np.int64]:
        """As `assignment`, shape `(n,)`; -1 for an item without a place."""

    @property
    def placement(self) -> dict[Any, str | None]:
        """For each item, by name or position as it was given, the name of its bin."""

    @property
    def bins(self) -> list[PlannedBin]:
        """The bins used, and the unused ones of which there is a single copy."""

    @property
    def bins_used(self) -> int:
        """Bins that hold an item."""

    @property
    def lower_bound(self) -> int:
        """No complete plan uses fewer bins; 0 where there is none."""

    @property
    def proof(self) -> Literal["area", "threshold", "dual_feasible_function", "reduction", "search"]:
        """What shows `lower_bound`: total size, L2, dual feasible functions, L3 or the exact search."""

    @property
    def gap(self) -> int | None:
        """`bins_used - lower_bound`; `None` for an incomplete plan."""

    @property
    def unplaced(self) -> list[str] | list[int]:
        """Items without a place, by name or position as they were given."""

    @property
    def reason(self) -> str | None:
        """Why not everything fits, where that is proven."""

    @property
    def seconds(self) -> float:
        """Wall time of the solve."""

    @property
    def nodes(self) -> int:
        """Nodes of the search tree visited."""

    def as_dict(self) -> dict[str, Any]:
        """Give the plan as a dictionary ready for JSON."""

@final
class PlannedBin:
    """One bin of a plan."""

    @property
    def name(self) -> str:
        """Name; copies of a kind are numbered, as in `a100:2`."""

    @property
    def capacity(self) -> int:
        """Bytes it can hold."""

    @property
    def load(self) -> int:
        """Bytes it holds."""

    @property
    def items(self) -> list[str] | list[int]:
        """What it holds, by name or position as the items were given."""

def place_items(
    resources: Sequence[tuple[str, bool]],
    items: Sequence[tuple[str, Sequence[ByteCount], float, int]],
    kinds: Sequence[tuple[str, Sequence[ByteCount | None], Sequence[ByteCount], float, int | None]],
    *,
    pins: Sequence[tuple[str, Sequence[str]]],
    together: Sequence[Sequence[str]],
    apart: Sequence[Sequence[str]],
    keep: str,
    strategy: str,
    time_limit: float | None,
    seed: int,
    progress: Callable[[Progress], object] | None,
) -> Placement:
    """Place items on devices: what `ullage.place` calls, once it has found what was named.

    `resources` have a name and whether they are bytes; `items` a name, amounts by resource, a value and replicas;
    `kinds` a name, amounts by resource (`None`: no limit), reserves by resource, a cost and a count (`None`: any).
    """

def repack_items(
    placement: Placement,
    items: Sequence[tuple[str, Sequence[ByteCount], float, int]],
    remove: Sequence[str],
    *,
    pins: Sequence[tuple[str, Sequence[str]]],
    together: Sequence[Sequence[str]],
    apart: Sequence[Sequence[str]],
    max_migrations: int | None,
    strategy: str,
    time_limit: float | None,
    seed: int,
    progress: Callable[[Progress], object] | None,
) -> Placement:
    """Place what comes beside what stays: what `ullage.repack` calls, once it has found what was named."""

@final
class Placement:
    """Which model goes onto which device, and what is proven of it."""

    @property
    def status(self) -> Literal["optimal", "feasible", "infeasible", "timeout"]:
        """`optimal`: nothing is better; `feasible`: all that was asked for is placed, and better is not ruled out.

        `infeasible`: proven that not everything can be placed; `timeout`: neither a complete placement nor such a proof
        was found. In both cases what is placed is valid.
        """

    @property
    def strategy(self) -> str:
        """The strategy asked for."""

    @property
    def keep(self) -> Literal["all", "best_value"]:
        """What was asked for where not everything fits."""

    @property
    def assignment(self) -> dict[str, list[str]]:
        """For each model the names of its devices, one a replica; an empty list for one without a place."""

    @property
    def devices(self) -> list[PlacedDevice]:
        """The devices in use, and the unused ones of which there is a single copy."""

    @property
    def devices_used(self) -> int:
        """Devices that hold a model."""

    @property
    def unplaced(self) -> list[str]:
        """Models without a place."""

    @property
    def value(self) -> float:
        """What the placed models are worth; an `int` where all values are."""

    @property
    def value_bound(self) -> float:
        """No placement is worth more."""

    @property
    def cost(self) -> float:
        """What the devices in use cost; an `int` where all costs are."""

    @property
    def lower_bound(self) -> float:
        """No placement that is worth as much, and moves no more, costs less."""

    @property
    def gap(self) -> float | None:
        """`cost - lower_bound`; `None` where not all that was asked for is placed."""

    @property
    def proof(self) -> Literal["cover", "count", "derived", "search"]:
        """Why the bound on the cost holds."""

    @property
    def reason(self) -> str | None:
        """Why not everything can be placed, as a sentence, where that is proven."""

    @property
    def conflict(self) -> dict[str, Any] | None:
        """The demands that cannot be met together, as data, and whether they are proven to be `minimal`."""

    @property
    def fragmentation(self) -> dict[str, dict[str, Any]]:
        """How much of what is free can be used, by resource."""

    @property
    def moved_bytes(self) -> int:
        """Bytes that leave a device for another in a repack."""

    @property
    def migrations(self) -> int:
        """Replicas that end on another device than before in a repack."""

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps of a repack in an order in which no device is ever over-full."""

    @property
    def resources(self) -> list[tuple[str, bool]]:
        """The resources with whether they are bytes, memory first."""

    @property
    def seconds(self) -> float:
        """Wall time of the solve."""

    @property
    def nodes(self) -> int:
        """Nodes of search trees visited."""

    def as_dict(self) -> dict[str, Any]:
        """Give the placement as a dictionary ready for JSON."""

@final
class PlacedDevice:
    """One device of a placement."""

    @property
    def name(self) -> str:
        """Name; copies of a kind are numbered, as in `h100:2`."""

    @property
    def load(self) -> dict[str, int]:
        """What it holds, by resource."""

    @property
    def usable(self) -> dict[str, int | None]:
        """What it may hold beside its reserve, by resource; `None` for no limit."""

    @property
    def models(self) -> list[str]:
        """The names of the models it holds."""

    @property
    def cost(self) -> float:
        """What it costs, where it holds anything."""

    def as_dict(self) -> dict[str, Any]:
        """Give the device as a dictionary ready for JSON."""

def plan_arena(
    sizes: Iterable[ByteCount] | npt.NDArray[np.integer[Any]],
    starts: Iterable[SupportsIndex] | npt.NDArray[np.integer[Any]],
    ends: Iterable[SupportsIndex] | npt.NDArray[np.integer[Any]],
    capacity: ByteCount | None = None,
    *,
    alignments: ByteCount | Iterable[ByteCount] | npt.NDArray[np.integer[Any]] | None = None,
    fixed: Iterable[ByteCount | None] | npt.NDArray[np.integer[Any]] | None = None,
    alias: Iterable[str | SupportsIndex | None] | npt.NDArray[np.integer[Any]] | None = None,
    hints: Iterable[ByteCount | None] | npt.NDArray[np.integer[Any]] | None = None,
    gaps: Iterable[Sequence[tuple[int, int]] | None] | None = None,
    ids: Sequence[str] | None = None,
    strategy: str = "auto",
    time_limit: float | None = 10.0,
    seed: int = 0,
    progress: Callable[[Progress], object] | None = None,
) -> Layout:
    """Lay buffers out in one block of memory, so that no two that are alive at once share a byte.

    Buffer `i` takes `sizes[i]` bytes from the instant `starts[i]` until before `ends[i]`, at a multiple of its
    alignment. With a `capacity`, the work ends as soon as the layout is within it; else the lowest is looked for.
    `fixed` gives settled offsets, `hints` such as are taken where that costs no height; `None` and -1 are none. Buffers
    with the same name or number in `alias` lie at one offset, as one buffer as large as the largest and alive while any
    is; `None` and negative numbers are none. `gaps` are times in a life in which others may use the bytes. `strategy`
    is `auto` (heuristics, then an exact and a local search by turns), `exact` (without the local search), `first_fit`,
    `best_fit`, `greedy_by_size`, `greedy_by_area`, `greedy_by_length` or `greedy_by_contention`; `time_limit` bounds
    `auto` and `exact` in seconds, `None` until they have no more ideas. The same `seed` gives the same layout unless
    time runs out. `progress` is called with a `Progress` for every lower layout or higher bound, and about four times a
    second in between; what it raises ends the work. Ctrl-C raises `Interrupted` with the lowest layout so far. Raises
    `ProblemError` naming the place at fault and `ArgumentError` for an unknown strategy or a time limit that is none.
    """

def read_arena_instance(
    path: str | PathLike[str],
) -> tuple[
    list[str],
    npt.NDArray[np.uint64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.uint64],
    dict[str, list[Any]],
]:
    """Read ids, sizes, starts, ends, alignments and further keywords of `plan_arena` from CSV.

    The columns are `id,lower,upper,size[,alignment,fixed,alias,hint,gaps]` in any order; others are passed over. Raises
    `ModelNotFoundError` or `UnreadableError` for a path that cannot be read, `ProblemError` naming line and column.
    """

def parse_arena_csv(
    content: bytes,
) -> tuple[
    list[str],
    npt.NDArray[np.uint64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.uint64],
    dict[str, list[Any]],
]:
    """Read what `read_arena_instance` reads, from bytes."""

def kernel_isas() -> list[str]:
    """Name the families of instructions that this processor has, the best last, such as `avx512`."""

@final
class StoredMatrix:
    """The pieces of one weight in a scheme, copied, as kernels decode and multiply them.

    Rows are output channels; a row holds all other dimensions. Made of other pieces than the scheme stores, or a mask
    that contradicts what is stored, it raises `DamagedDataError`.
    """

    def __new__(cls, parts: Sequence[Any], shape: Sequence[int], scheme: str) -> StoredMatrix: ...
    def decode(
        self, dtype: str = "f32", *, threads: int = 1, isa: str | None = None, is_streamed: bool = False
    ) -> npt.NDArray[Any]:
        """Decode all elements, flat, to `f32`, or as the 16 bits of `f16` or `bf16`."""

    def multiply(
        self,
        x: npt.NDArray[np.float32],
        *,
        batch: int = 1,
        threads: int = 1,
        isa: str | None = None,
        activations: str | None = None,
    ) -> npt.NDArray[np.float32]:
        """Multiply with `batch` vectors, 8 at most, that lie end to end in `x`; results likewise.

        With `activations="int8"` these are rounded first, and may be 16; see `WeightStore.multiply`.
        """

    def times(
        self,
        dtype: str,
        chunk: int,
        *,
        x: npt.NDArray[np.float32] | None = None,
        batch: int = 1,
        rounds: int = 1,
        threads: int = 1,
        isa: str | None = None,
        is_streamed: bool = True,
        activations: str | None = None,
    ) -> list[float]:
        """Seconds of every chunk of so many rows: decoded to `dtype`, or multiplied with `x`."""

def decode_matrix(
    parts: Sequence[Any],
    shape: Sequence[int],
    scheme: str,
    dtype: str = "f32",
    threads: int = 1,
    isa: str | None = None,
) -> npt.NDArray[Any]:
    """Decode a weight once; see `StoredMatrix.decode`."""

def multiply_matrix(
    parts: Sequence[Any],
    shape: Sequence[int],
    scheme: str,
    x: npt.NDArray[np.float32],
    threads: int = 1,
    isa: str | None = None,
    batch: int = 1,
) -> npt.NDArray[np.float32]:
    """Multiply a weight once; see `StoredMatrix.multiply`."""

def memory_times(
    size: int, chunk: int, *, is_read: bool = False, rounds: int = 1, threads: int = 1, is_streamed: bool = True
) -> list[float]:
    """Seconds that each chunk of `size` bytes takes to be filled, or to be read."""

@final
class Layout:
    """Where every buffer lies in one block of memory, and what is proven of it."""

    @property
    def status(self) -> Literal["optimal", "feasible", "infeasible", "timeout"]:
        """`optimal`: no layout is lower; `feasible`: `gap` bytes above the bound; both within the capacity.

        `infeasible`: proven that no layout is within the capacity; `timeout`: neither found nor disproven. In both
        cases the layout is the lowest that was found.
        """

    @property
    def strategy(self) -> str:
        """The strategy asked for."""

    @property
    def ids(self) -> list[str] | list[int]:
        """The ids as given, or the positions."""

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """The offset of each buffer in bytes, shape `(n,)`, read-only."""

    @property
    def height(self) -> int:
        """Where the highest buffer ends, in bytes."""

    @property
    def lower_bound(self) -> int:
        """No layout is lower."""

    @property
    def gap(self) -> int:
        """`height - lower_bound`."""

    @property
    def capacity(self) -> int | None:
        """How high the layout may reach; `None` for as high as needed."""

    @property
    def reason(self) -> str | None:
        """Why no layout is within the capacity, where that is proven."""

    @property
    def seconds(self) -> float:
        """Wall time of the solve."""

    @property
    def steps(self) -> int:
        """Changes that the search tried; 0 without a search."""

    def as_dict(self) -> dict[str, Any]:
        """Give the layout as a dictionary ready for JSON; `offsets` by id, or by position as a text."""

    def __len__(self) -> int: ...

@final
class Chain:
    """A model as pieces that run one after another: what comes before the layers, the layers, what comes after."""

    def __new__(
        cls,
        names: Sequence[str],
        weights: Sequence[ByteCount],
        *,
        state: Sequence[ByteCount] | None = None,
        traffic: Sequence[ByteCount] | None = None,
        outputs: Sequence[ByteCount] | None = None,
        flops: Sequence[ByteCount] | None = None,
        workspace: Sequence[ByteCount] | None = None,
        shared: Sequence[tuple[ByteCount, Sequence[int]]] = [],
        heads: int = 0,
        kv_heads: int = 1,
    ) -> Self:
        """Make a chain of columns, one figure for each piece.

        `weights` and `state` are bytes held, `traffic` bytes of weights that a step reads (all of them by default),
        `outputs` bytes that it hands on, `flops` its operations, `workspace` bytes needed while the piece runs.
        `shared` lists tensors that several pieces use, each with its bytes and pieces: they lie once in each place that
        has one of these. `heads` and `kv_heads` say how far tensor-parallel groups can divide it.
        Raises `ProblemError`.
        """

    @staticmethod
    def of(
        model: Model,
        *,
        context: int | None = None,
        batch: int = 1,
        kv_dtype: str = "f16",
        micro_batch: int | None = None,
        flash_attention: bool = True,
        runtime: str | None = None,
        experts_apart: bool = False,
    ) -> Chain:
        """Give the pieces of a model as a workload runs them; with `experts_apart`, experts are pieces of their own.

        Raises `ArgumentError` for a model that is known by its size alone.
        """

    @property
    def names(self) -> list[str]:
        """The pieces: `embedding`, the layers by the names of their tensors, `head`."""

    @property
    def weights(self) -> list[int]:
        """Bytes of weights of each piece, without shared tensors."""

    @property
    def state(self) -> list[int]:
        """Bytes of cache and recurrent state of each piece."""

    @property
    def traffic(self) -> list[int]:
        """Bytes of weights that a step reads of each piece."""

    @property
    def outputs(self) -> list[int]:
        """Bytes that each piece hands on in a step."""

    @property
    def flops(self) -> list[int]:
        """Operations of a step of each piece."""

    @property
    def workspace(self) -> list[int]:
        """Bytes that each piece needs while it runs; the pieces of one place take turns in them."""

    @property
    def shared(self) -> list[tuple[int, list[int]]]:
        """Tensors that several pieces use: bytes and pieces."""

    @property
    def heads(self) -> int:
        """Query heads; 0 where unknown."""

    @property
    def bytes(self) -> int:
        """Weights and states of all pieces, every shared tensor once."""

    @property
    def modules(self) -> list[list[str]]:
        """The modules of each piece, by the names of its tensors."""

    @property
    def layers(self) -> list[int | None]:
        """The number of each piece among the layers; `None` for what is none of them."""

    @property
    def experts(self) -> list[bool]:
        """Whether each piece is the experts of its layer."""

    def __len__(self) -> int: ...

@final
class SplitPlace:
    """A device or tier, and what it holds; of a tensor-parallel group, what each of its devices does."""

    @property
    def name(self) -> str:
        """The device's name."""

    @property
    def pieces(self) -> list[int]:
        """The pieces that lie here, ascending."""

    @property
    def load(self) -> int:
        """Bytes taken: weights, states, shared tensors, workspace, buffers."""

    @property
    def capacity(self) -> int:
        """Bytes for the model."""

    @property
    def time_s(self) -> float:
        """Seconds of a step."""

    @property
    def transfer_s(self) -> float:
        """Seconds of handing over to the next stage."""

@final
class Split:
    """Which pieces of a model go to which device, and what is proven of it."""

    @property
    def chain(self) -> Chain:
        """What was divided."""

    @property
    def kind(self) -> Literal["pipeline", "tiers", "rack"]:
        """A row of devices, tiers of memory, or tensor-parallel groups."""

    @property
    def status(self) -> Literal["optimal", "feasible", "infeasible", "timeout"]:
        """`optimal`: proven that nothing is better by the objective; `feasible`: the gap to the bound is positive.

        `infeasible`: proven that nothing fits, see `reason`; `timeout`: neither found nor disproven.
        """

    @property
    def objective(self) -> Literal["latency", "throughput", "devices", "balance"]:
        """What is small."""

    @property
    def value(self) -> float:
        """The objective: seconds, devices, or the share of the fullest device."""

    @property
    def lower_bound(self) -> float:
        """No split has a smaller value."""

    @property
    def latency_s(self) -> float:
        """Estimated seconds of one step through all pieces, transfers included."""

    @property
    def bottleneck_s(self) -> float:
        """Estimated seconds of the slowest stage or transfer: the pace of a full pipeline."""

    @property
    def buffer(self) -> int:
        """Bytes of the buffers that a tier fetches through."""

    @property
    def tensor_parallel(self) -> int:
        """Devices that share every piece; 1 without groups."""

    @property
    def reason(self) -> str | None:
        """Why nothing fits, where that is proven."""

    @property
    def assignment(self) -> list[int | None]:
        """The place of each piece."""

    @property
    def places(self) -> list[SplitPlace]:
        """Every device or tier, as given, with what it holds."""

    @property
    def alternatives(self) -> list[dict[str, Any]]:
        """Of tensor-parallel groups, every degree that was tried, the best first."""

    @property
    def seconds(self) -> float:
        """Wall time of the solve."""

def split_pipeline(
    chain: Chain,
    places: Sequence[tuple[str, ByteCount, ByteCount, ByteCount | None, ByteCount | None, int]],
    links: tuple[str, Sequence[tuple[ByteCount | None, float]]],
    *,
    any_order: bool,
    objective: str,
    time_limit: float | None,
    progress: Callable[[Progress], object] | None = None,
) -> Split:
    """Cut a chain into runs for devices in a row; `ullage.split` is the door."""

def split_tiers(
    chain: Chain,
    tiers: Sequence[
        tuple[str, ByteCount, ByteCount, ByteCount | None, ByteCount | None, int, tuple[ByteCount | None, float]]
    ],
    *,
    buffers: int,
    is_cut: bool,
    time_limit: float | None,
    progress: Callable[[Progress], object] | None = None,
) -> Split:
    """Place the pieces of a chain in tiers of memory; `ullage.split` is the door."""

def split_rack(
    chain: Chain,
    device: tuple[str, ByteCount, ByteCount, ByteCount | None, ByteCount | None, int],
    nodes: int,
    per_node: int,
    inside: tuple[ByteCount | None, float],
    between: tuple[ByteCount | None, float],
    *,
    degree: int | None,
    objective: str,
    time_limit: float | None,
    progress: Callable[[Progress], object] | None = None,
) -> Split:
    """Spread a chain over tensor-parallel groups of a rack; `ullage.split` is the door."""

@final
class Store:
    """The weights of one file; `ullage.load` gives it a face."""

    @staticmethod
    def open(path: str | PathLike[str], scratch: ByteCount, account: Account | None, threads: int) -> Store:
        """Open the file at `path`."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def file_bytes(self) -> int:
        """Bytes of the file."""

    @property
    def scratch(self) -> int:
        """The most bytes of decoded tensors at once."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def place(self, name: str) -> int | None:
        """Find the tensor called `name`."""

    def entries(self) -> list[tuple[str, str, list[int], str | None, int]]:
        """Give name, dtype, shape, scheme and bytes of every tensor."""

    def array(self, place: int, dtype: str | None, wait: float) -> npt.NDArray[Any]:
        """Give the tensor at `place`."""

    def multiply(
        self, place: int, x: npt.NDArray[np.float32], rows: int, batch: int, wait: float, activations: str | None
    ) -> npt.NDArray[np.float32]:
        """Multiply the tensor at `place`, of `rows` rows, with the vectors in `x`, rounded to `activations`."""

    def prefetch(self, place: int, dtype: str | None) -> bool:
        """Decode the tensor at `place` if there is room for it now."""

    def stats(self) -> dict[str, Any]:
        """Give the counts of `ullage.store.StoreStats`."""

    def clear(self) -> None:
        """Give up every buffer that no array holds."""

    def close(self) -> None:
        """Refuse everything from now on."""

def check_out(model: Model, out: str | PathLike[str], force: bool) -> None:
    """Raise what `write_compressed` raises for an `out` that it must not write to."""

def write_compressed(
    model: Model,
    out: str | PathLike[str],
    scheme: str,
    overrides: Sequence[tuple[str, str]],
    *,
    seed: int,
    quantile: float,
    inputs: str | PathLike[str] | None,
    jobs: int,
    force: bool,
    progress: Callable[[WriteProgress], object] | None,
) -> dict[str, Any]:
    """Write `model`, compressed; `ullage.write_compressed` is how it is called."""

@final
class Profile:
    """A device as the simulator sees it: rates with units and origins, and timings where it was calibrated."""

    @staticmethod
    def from_json(text: str) -> Profile:
        """Read a profile from JSON; raises `ArgumentError` for what is none, or holds figures that no device has."""

    def to_json(self) -> str:
        """Write it as JSON."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def note(self) -> str:
        """Where it comes from, in words."""

    @property
    def threads(self) -> int:
        """Threads that its rates are of."""

    @property
    def is_calibrated(self) -> bool:
        """Whether it has timings of whole operations, which count before all rates."""

    def as_dict(self) -> dict[str, Any]:
        """Give all figures as plain values: `value`, `unit`, `origin` and, where measured, `spread`."""

@final
class Simulation:
    """What a pass through layers under policies comes to, simulated or executed."""

    RESOURCES: ClassVar[tuple[str, str, str]]
    """What the numbers under `resource` of the timeline stand for."""

    @property
    def latency_s(self) -> float:
        """Seconds of a pass once everything is loaded."""

    @property
    def load_s(self) -> float:
        """Seconds before the first pass can begin."""

    @property
    def first_output_s(self) -> float:
        """Seconds until the first pass is over."""

    @property
    def bytes_moved(self) -> int:
        """Bytes over the memory bus in a pass."""

    @property
    def peak_bytes(self) -> int:
        """The most bytes at any time; where executed, as they were booked when they were allocated."""

    @property
    def process_peak_bytes(self) -> int | None:
        """By how much the process grew at its peak, where it was executed and the system says so."""

    @property
    def resident_bytes(self) -> int:
        """Bytes that stay between passes, scratch memory left out."""

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch memory, laid out by the arena planner."""

    @property
    def basis(self) -> str | None:
        """The weakest of what its seconds rest on: timed, near, composed or partial; `None` where executed."""

    @property
    def passes(self) -> int | None:
        """Passes that were timed; `None` where simulated."""

    @property
    def layers(self) -> list[dict[str, Any]]:
        """For each layer `name`, `policy`, `seconds`, and `bound` and `basis` where simulated."""

    @property
    def timeline(self) -> npt.NDArray[Any]:
        """Which layer kept what busy in a pass: an array of `start_s`, `end_s`, `resource` and `layer`."""

    @property
    def memory(self) -> list[tuple[float, int]]:
        """Seconds of a pass and bytes in use from then on; empty where executed."""

    def as_dict(self) -> dict[str, Any]:
        """Give the figures as plain values, ready for JSON."""

    def __len__(self) -> int:
        """Count the layers."""

def layers_of(compression: Compression) -> list[tuple[str, list[int], str, int]]:
    """Give the layers of a compressed model: name, shape, scheme and stored bytes."""

def simulate_layers(
    layers: Sequence[tuple[str, Sequence[int], str, int | None, int | None, int | None]],
    policies: Sequence[str],
    profile: Profile,
    *,
    threads: int | None = None,
    batch: int | None = None,
    memory_limit: ByteCount | None = None,
    from_storage: bool = False,
) -> Simulation:
    """Simulate a pass. `ullage.simulate` is how it is called."""

def execute_layers(
    layers: Sequence[tuple[str, Sequence[int], str, int | None, int | None, int | None]],
    policies: Sequence[str],
    *,
    threads: int,
    batch: int | None = None,
    seconds: float = 0.5,
    passes: int | None = None,
) -> Simulation:
    """Execute a pass. `ullage.execute` is how it is called."""

def calibrate_machine(
    schemes: Sequence[str],
    threads: Sequence[int],
    *,
    cores: int,
    seconds: float,
    memory: ByteCount,
    name: str,
    storage: bool = True,
    progress: Callable[[float, str], object] | None = None,
) -> Profile:
    """Measure this processor. `ullage.calibrate` is how it is called."""

def verify_machine(
    profile: Profile | None,
    schemes: Sequence[str],
    threads: Sequence[int],
    *,
    cores: int,
    seconds: float,
    memory: ByteCount,
    name: str,
    progress: Callable[[float, str], object] | None = None,
) -> dict[str, Any]:
    """Hold predictions against execution; gives `cases`, `summary`, `profile` and `rounds`."""
