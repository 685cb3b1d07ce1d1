"""What a lease needs beside its model, and what is learned of that."""

from typing import TYPE_CHECKING, NamedTuple

from ullage._core import Estimates, parse_bytes
from ullage._types import ByteCount

if TYPE_CHECKING:
    from ullage._resident import Resident

__all__ = ["Need", "Needs"]

NOISE = 8 << 20
"""Bytes that come and go whatever a process does: stacks of threads, messages."""


class Need(NamedTuple):
    """The workspace of one lease."""

    model: str
    predicted: int
    """Bytes, as the caller or the registration says."""
    booked: int
    """Bytes, as the estimates say."""
    context: int
    batch: int
    is_said: bool = False
    """Whether the lease itself said how much, which is then what it gets."""

    @property
    def has_size(self) -> bool:
        """Whether the lease said how large its input is."""
        return bool(self.context or self.batch)


class Needs:
    """The workspaces of leases, as they are predicted, booked and learned.

    A lease that names a workspace of its own gets that. Otherwise what is predicted is corrected by what leases of the
    same context and batch really took.
    """

    def __init__(self, residents: "dict[str, Resident]", quantile: float) -> None:
        """Know nothing yet. Raises `ArgumentError` for a `quantile` that is none."""
        self.estimates = Estimates(quantile)
        self._residents = residents
        self.has_learned = False
        """Whether anything was learned of leases that say nothing of what they need."""
        self._learned: set[str] = set()
        self._told: set[str] = set()

    def of(self, model: str, context: int, batch: int, workspace: ByteCount | None) -> Need:
        """Give what a lease needs. Raises `QuantityError` for what is no size, `ArgumentError` for what is no count."""
        if workspace is not None:
            said = parse_bytes(workspace)
            return Need(model, said, said, context, batch, is_said=True)
        predicted = self._predicted(model, context, batch)
        booked = self.estimates.book(model, predicted, context=context, batch=batch)
        return Need(model, predicted, booked, context, batch)

    def plain(self, model: str) -> Need:
        """Give what a lease needs that says nothing of it."""
        return self.of(model, 0, 0, None)

    def learned(self, model: str) -> Need | None:
        """Give the same if anything was learned that changes it."""
        return self.plain(model) if model in self._learned else None

    def report(self, need: Need, peak: int) -> None:
        """Take in what is said of a lease: from now on that counts for its model, not what is seen."""
        self._told.add(need.model)
        self.learn(need, peak)

    def learn(self, need: Need, peak: int) -> None:
        """Take in that a lease took `peak` bytes at most."""
        self.estimates.observe(
            need.model,
            predicted=need.predicted,
            booked=need.booked,
            peak=peak,
            context=need.context,
            batch=need.batch,
        )
        if not (need.context or need.batch):
            self._learned.add(need.model)
            self.has_learned = True

    def see(self, need: Need, taken: int) -> int:
        """Take in what a lease was seen to take; gives how much of it that was not booked is not learned either.

        Leases that say how large their input is teach what such take, more or less. Of others only what passes what is
        booked by more than what may be of no account is: one that computed nothing says nothing of those that will.
        """
        if need.model in self._told:
            return max(taken - need.booked, 0)
        if not need.is_said and (need.has_size or taken > need.booked + NOISE):
            self.learn(need, taken)
            return 0
        return max(taken - need.booked, 0)

    def _predicted(self, model: str, context: int, batch: int) -> int:
        resident = self._residents.get(model)
        if resident is None:
            return 0  # the scheduler refuses what it does not know
        if resident.predict is None or not (context or batch):
            return resident.workspace
        return parse_bytes(resident.predict(context, batch))
