"""Every exception of the package: one tree under `UllageError`, each with its numbers as attributes.

A refusal for lack of memory is `BudgetExceeded`, which is also a `MemoryError`. Bad input is an `InputError`,
which is also a `ValueError`, and names the file, offset or field at fault.
"""

from typing import Any, NamedTuple, Self

__all__ = [
    "AccountPathError",
    "ArgumentError",
    "BudgetExceeded",
    "ByteOverflowError",
    "CatalogError",
    "DamagedDataError",
    "DebugBuildWarning",
    "HandleError",
    "Held",
    "Holder",
    "InheritedError",
    "InputError",
    "LeaseLostError",
    "LeaseTimeoutError",
    "LoadFailedError",
    "MeasureError",
    "MemoryPressureError",
    "ModelFileError",
    "ModelNotFoundError",
    "PluginError",
    "PluginWarning",
    "PolicyError",
    "PolicyWarning",
    "PoolClosedError",
    "ProblemError",
    "ProtocolError",
    "QuantityError",
    "QueueFullError",
    "ReleasedError",
    "SchemeError",
    "SharedBusyError",
    "SharedClosedError",
    "SharedLedgerError",
    "StoreError",
    "StoreWarning",
    "TimelineError",
    "TraceFileError",
    "UllageError",
    "UnknownDeviceError",
    "UnknownModelError",
    "UnknownTensorError",
    "UnreadableError",
    "ViolationError",
    "WaitTimeoutError",
    "WorkerDiedError",
    "WorkerError",
]


class _Holding(NamedTuple):
    """The fields of a `Holder` that make it what it is."""

    account: str
    """Path of the account."""
    label: str
    """The label."""
    bytes: int
    """The sum."""


class Holder(_Holding):
    """All that is held under one label of one account: a tuple of `account`, `label` and `bytes`.

    What follows stands beside the tuple, so that two holders are equal whatever their age.
    """

    reservations: int
    """Live reservations; 0 where they are not counted one by one."""
    age_s: float
    """Seconds for which something has been held without a break."""

    def __new__(cls, account: str, label: str, bytes: int, reservations: int = 0, age_s: float = 0.0) -> Self:  # noqa: A002 - the quantity's name
        """Keep the fields."""
        self = super().__new__(cls, account, label, bytes)
        self.reservations = reservations
        self.age_s = age_s
        return self


class Held(NamedTuple):
    """A live reservation as a report names it."""

    account: str
    """Path of its account."""
    label: str
    """Its label."""
    bytes: int
    """Its size."""
    age_s: float
    """Seconds since it was made."""
    origin: list[tuple[str, int, str]] | None
    """File, line and function where it was made, innermost first; `None` if that was not sampled."""


class DebugBuildWarning(RuntimeWarning):
    """The extension was compiled without optimisation, so its timings mean nothing."""


class UllageError(Exception):
    """Base of every exception that this package raises on purpose."""

    def __init__(self, message: str = "", /, **fields: Any) -> None:  # noqa: ANN401 - each class declares its own
        """Keep `message` for the reader and each of `fields` as an attribute for the program."""
        super().__init__(message)
        self.fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the fields, so that a refusal survives a process boundary whole."""
        return _rebuild, (type(self), str(self.args[0]), self.fields)

    def __str__(self) -> str:
        """Give the message alone, whatever the other base class would make of it."""
        return str(self.args[0]) if self.args else ""

    def as_dict(self) -> dict[str, Any]:
        """Give the class name, the message and the fields, ready for JSON."""
        fields = {
            name: [holder._asdict() for holder in value] if name == "holders" else value
            for name, value in self.fields.items()
        }
        return {"error": type(self).__name__, "message": str(self), **fields}


def _rebuild(kind: type[UllageError], message: str, fields: dict[str, Any]) -> UllageError:
    return kind(message, **fields)


class BudgetExceeded(UllageError, MemoryError):  # noqa: N818 - the public name, fixed from the start
    """A request that does not fit under a limit."""

    account: str
    """Path of the account whose limit refused; the root is `/`."""
    requested: int
    """Bytes asked for."""
    available: int
    """Bytes that were free under that limit at the instant of the decision."""
    limit: int
    """The limit in bytes."""
    holders: list[Holder]
    """The largest reservations below that account, largest first."""
    blocked_by: list[str]
    """In a pool: the models whose pins or leases stand in the way. Absent elsewhere."""
    nearest: dict[str, Any] | None
    """In a pool: what would fit: `place`, `domain`, `short_by` bytes, and the largest `workspace` or `None`. Absent
    elsewhere."""
    retry_after: float | None
    """In a pool: in how many seconds it is worth asking again; `None` where time does not help. Absent elsewhere."""


class WaitTimeoutError(BudgetExceeded, TimeoutError):
    """A request that waited for memory in vain."""

    waited_s: float
    """Seconds waited."""


class InputError(UllageError, ValueError):
    """Input that cannot be what its place asks for."""


class QuantityError(InputError):
    """A value that is not a byte count."""

    input: str
    """The value as given, clipped."""
    reason: str
    """What is wrong with it."""


class ArgumentError(InputError):
    """An argument outside its domain."""

    name: str
    """The argument."""
    reason: str
    """What is wrong with it."""


class ByteOverflowError(InputError, OverflowError):
    """A byte count beyond 2^64 - 1."""

    what: str
    """The quantity that was being computed."""


class AccountPathError(InputError):
    """A text that is not an account path."""

    path: str
    """The path, clipped."""
    reason: str
    """What is wrong with it."""


class ModelFileError(InputError):
    """A model file that is damaged, hostile or of another format."""

    path: str
    """The file."""
    offset: int | None
    """The byte at fault, where one is known."""
    field: str | None
    """The tensor or key at fault, where one is known."""
    reason: str
    """What is wrong."""


class DamagedDataError(InputError):
    """Stored weights that contradict themselves, or are not what their scheme and shape say."""

    piece: str
    """The piece at fault, such as `mask`; `pieces` where it is all of them."""
    reason: str
    """What is wrong with it."""


class UnreadableError(InputError, OSError):
    """A file or directory that the operating system would not read."""

    path: str
    """The file or directory."""


class ModelNotFoundError(UnreadableError, FileNotFoundError):
    """A path where there is nothing."""


class CatalogError(InputError):
    """A catalog file that breaks its schema."""

    path: str
    """The file."""
    field: str
    """The row and key at fault."""
    reason: str
    """What is wrong."""


class UnknownDeviceError(InputError, LookupError):
    """A device name that no catalog knows."""

    name: str
    """The name asked for."""
    suggestions: list[str]
    """Known names that look like it."""


class UnknownModelError(InputError, LookupError):
    """A model name that no catalog or pool knows."""

    name: str
    """The name asked for."""
    suggestions: list[str]
    """Known names that look like it. Absent where there is no list to choose from."""


class UnknownTensorError(InputError, KeyError):
    """A tensor name that a file does not hold."""

    name: str
    """The name asked for."""
    suggestions: list[str]
    """Names in the file that look like it."""


class ProblemError(InputError):
    """A packing problem that makes no sense."""

    field: str
    """The part at fault, such as `items[3]`."""
    reason: str
    """What is wrong with it."""


class TimelineError(InputError):
    """Events that cannot be the history of any memory."""

    field: str
    """The part at fault, such as `events[3].label`."""
    reason: str
    """What is wrong with it."""


class TraceFileError(InputError):
    """A memory trace that is damaged, hostile or of another format."""

    path: str
    """The file."""
    offset: int | None
    """The byte at fault, where one is known."""
    field: str | None
    """The entry or key at fault, where one is known."""
    reason: str
    """What is wrong."""


class ViolationError(UllageError, ValueError):
    """A plan that breaks one of its facts."""

    fact: str
    """The first violated fact, with the numbers."""


class ReleasedError(UllageError, RuntimeError):
    """An operation on a reservation that was already released."""

    account: str
    """The account it was made on."""
    label: str
    """Its label."""


class InheritedError(UllageError, RuntimeError):
    """An operation on a reservation of a shared ledger in a process that did not make it, such as a forked child."""

    account: str
    """The account it was made on."""
    label: str
    """Its label."""
    pid: int
    """The process that made it."""


class SharedLedgerError(InputError):
    """A shared ledger that cannot be opened, or whose file makes no sense."""

    path: str
    """Its file."""
    offset: int | None
    """The byte at fault, where one is known."""
    reason: str
    """What is wrong."""


class SharedBusyError(UllageError, TimeoutError):
    """A shared ledger whose lock a living process holds and does not give back: it is stopped, say."""

    path: str
    """Its file."""
    pid: int | None
    """The process that holds the lock, where it is known."""
    waited_s: float
    """Seconds waited."""


class SharedClosedError(UllageError, RuntimeError):
    """An operation on a shared ledger that this process has closed."""

    path: str
    """Its file."""


class HandleError(UllageError, RuntimeError):
    """A handle that names no live reservation: released, of another ledger, or never given."""

    index: int
    """Its place among the handles given."""
    reason: str
    """What is wrong with it."""


class ProtocolError(UllageError, RuntimeError):
    """An event that does not fit the state of a pool."""

    event: str
    """The event."""
    subject: str
    """The model, request or lease it speaks of."""
    reason: str
    """Why it cannot be taken."""


class LeaseTimeoutError(UllageError, TimeoutError):
    """A lease that could not be granted in the time its caller gave."""

    model: str
    """The model asked for."""
    waited_s: float
    """Seconds waited."""
    retry_after: float | None
    """How many seconds more it might have taken, as far as that can be told."""


class LeaseLostError(UllageError, RuntimeError):
    """A lease whose model is gone: its node or its process died while it was lent."""

    model: str
    """The model."""
    nodes: list[str]
    """The nodes that it stood on."""
    reason: str
    """What was seen of its end."""


class MemoryPressureError(UllageError, MemoryError):
    """A model that is not loaded now, because the machine is short of memory."""

    model: str
    """The model asked for."""
    retry_after: float | None
    """In how many seconds it is worth asking again."""


class LoadFailedError(UllageError, RuntimeError):
    """A model whose loader raised; the cause is chained."""

    model: str
    """The model."""
    attempts: int
    """Loads that failed in a row."""
    retry_after: float | None
    """In how many seconds a load will be tried again for whoever asks; `None` where none will be."""


class PoolClosedError(UllageError, RuntimeError):
    """A request to a pool that is closing or closed."""


class QueueFullError(UllageError, RuntimeError):
    """A request that was not let in, because as many as may be wait already."""

    model: str
    """The model asked for."""
    waiting: int
    """Requests that wait."""


class WorkerDiedError(UllageError, RuntimeError):
    """A call to a model whose worker process has ended: killed, crashed, or taken down with the model."""

    model: str
    """The model."""
    pid: int
    """The process."""
    signal: int | None
    """The signal that ended it, if one did."""
    status: int | None
    """Its exit status, if no signal ended it."""


class WorkerError(UllageError, RuntimeError):
    """What a worker process raised, where the exception itself could not be carried over; its traceback is a note."""

    model: str
    """The model."""
    kind: str
    """The name of the exception's class."""
    reason: str
    """The exception's text."""


class PluginError(UllageError, RuntimeError):
    """An installed plug-in that cannot be used: its import failed, its name is taken, or it is not what it ought."""

    group: str
    """The group of entry points, such as `ullage.policies`."""
    name: str
    """The entry point."""
    distribution: str | None
    """The package that it came with, if that is known."""
    reason: str
    """What is wrong with it."""


class PluginWarning(UserWarning):
    """An installed plug-in that cannot be used was left out of a list of all."""


class PolicyError(UllageError, RuntimeError):
    """An eviction policy of somebody's own that raised, or gave a worth that is no number; the cause is chained."""

    policy: str
    """The policy."""
    model: str
    """The model that it was asked about or told of."""
    hook: str
    """Its method."""
    reason: str
    """What it did."""


class PolicyWarning(RuntimeWarning):
    """An eviction policy failed in a pool, which goes on without what it would have said; later faults are events."""


class SchemeError(UllageError, RuntimeError):
    """A compression scheme of somebody's own that raised, or did not do what it said; the cause is chained."""

    scheme: str
    """The scheme."""
    method: str
    """Its method."""
    tensor: str | None
    """The tensor, where it has a name."""
    reason: str
    """What it did."""


class MeasureError(UllageError, RuntimeError):
    """A measurement that cannot be taken."""

    reason: str
    """Why."""


class StoreError(UllageError, OSError):
    """A store of measurements that cannot be read or written."""

    path: str
    """Its file."""
    reason: str
    """What the system or the database said."""


class StoreWarning(UserWarning):
    """A store of measurements was damaged; it was put aside, and a new one begun."""


def not_utf8(error: UnicodeDecodeError) -> str:
    """Say where bytes that should be text are none."""
    return f"not UTF-8 text from byte {error.start} on"
