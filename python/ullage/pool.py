"""The pool: models kept in memory under a limit, and lent out.

`Pool` is the face. Behind it the core decides (`Brain`), the driver pairs each event with its actions, movers load and
unload in threads, a heart waits on behalf of all, and a guard looks at the machine where one is wanted
(`ullage.pooling`).
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

from ullage._core import Account, Brain, Ledger, Split, parse_bytes
from ullage._lease import AsyncLease, SyncLease
from ullage._loops import home, in_thread, to_its_end
from ullage._resident import Instance, Resident, isolated
from ullage._subject import Subject
from ullage._types import ByteCount
from ullage.isolation.task import function_of
from ullage.plugins.policy import BUILT_IN, FORETOLD, AnyPolicy, choose
from ullage.pooling import membership
from ullage.pooling.driver import Driver, PolicyDriver
from ullage.pooling.faults import Faults
from ullage.pooling.guard import Guard, Read, checked
from ullage.pooling.journal import MODEL
from ullage.pooling.places import Place, Places, Predict, Size, accounts_of, places_of, refused, sharded
from ullage.pooling.tier import tier_of

__all__ = ["AsyncLease", "Pool", "SyncLease"]

UNLOAD_GRACE_S = 5.0
"""How long a worker process may take to end when asked, and again when terminated, before it is killed."""
DECODE_RATE = 1e9
"""Bytes a second that are made whole, until that was seen."""


class Pool:
    """Keeps models in memory under a limit, and lends them out.

    Bytes are booked in the ledger before a load starts and stay booked until the model's object is gone, so what the
    pool holds never passes a limit. Usable from any number of threads and event loops at once. A pool that is dropped
    without being closed warns of what is still loaded and kills its worker processes.
    """

    def __init__(
        self,
        ledger: Ledger | Account | None = None,
        *,
        domains: Mapping[str, Account | Ledger] | None = None,
        policy: AnyPolicy = "value",
        account: str = "pool",
        events: int = 10_000,
        group_wait: float = 1.0,
        age_step: float = 10.0,
        min_residency: float = 0.0,
        release_deadline: float = 30.0,
        guard: bool | Read = False,
        watermarks: tuple[float, float] | None = None,
        quantile: float = 0.95,
    ) -> None:
        """Make an empty pool that books on `ledger`'s account called `account`, or on the account given.

        `domains` names one account, or ledger, for each memory domain instead: `{"host": ..., "gpu:0": ...}`; the first
        is where a model stands that does not say otherwise.

        `policy` says which model goes first when memory is needed: `value` learns when each will be asked for again
        and sends away the least expected loss; `ullage.replaying.policies()` lists the others, and one of your own is
        an `EvictionPolicy`. No model goes within `min_residency` seconds of its load. For `group_wait` seconds a model
        that a waiting request needs gone serves who asks for it; waiting `age_step` seconds counts as much as one step
        of priority. Memory that is not seen to come back within `release_deadline` seconds of an unload is called
        overdue. `events` is how many past events are kept. `quantile` is the share of leases whose workspace what is
        booked shall cover, once it was learned.

        With a `guard`, or `watermarks` (two shares of what the machine has, 0.90 and 0.95 unless given), a thread looks
        at the machine four times a second: from the first mark on memory is given back, from the second nothing is
        loaded. A function as `guard` is asked instead of the machine: it gets a domain's name and gives its limit and
        use in bytes, or `None`.

        Raises `ArgumentError` for an unknown policy and for options out of their range, `PluginError` for a policy of a
        plug-in that cannot be imported.
        """
        found = accounts_of(ledger, domains, account)
        self._account = account
        marks = checked(watermarks)
        faults = Faults()
        brain = Brain(
            found,
            choose(policy, BUILT_IN.difference(FORETOLD)),
            group_wait=group_wait,
            age_step=age_step,
            min_residency=min_residency,
            release_deadline=release_deadline,
            on_fault=faults.take,
        )
        kind = PolicyDriver if brain.has_own_policy else Driver
        self._driver = driver = kind(brain, found, events, quantile)
        faults.driver = weakref.ref(driver)
        self._guard = None
        if guard or marks is not None:
            self._guard = driver.guard = Guard(driver, marks, None if isinstance(guard, bool) else guard)

    @property
    def _entered(self) -> Driver:
        """The driver, for a call that takes its lock."""
        self._driver.enter()
        return self._driver

    @property
    def account(self) -> Account:
        """The account that the pool books on: that of its first memory domain."""
        return next(iter(self._driver.domains.values()))

    @property
    def domains(self) -> dict[str, Account]:
        """The account of each memory domain."""
        return dict(self._driver.domains)

    def register(
        self,
        name: str,
        *,
        load: Callable[..., Any] | str,
        footprint: Size | None = None,
        load_args: tuple[Any, ...] = (),
        load_kwargs: Mapping[str, Any] | None = None,
        unload: Callable[[Any], Any] | str | None = None,
        measure: Callable[[Any], int | Mapping[str, int]] | str | None = None,
        pinned: bool = False,
        max_concurrency: int | None = None,
        workspace: ByteCount | Mapping[str, ByteCount] | Predict = 0,
        places: Places | None = None,
        shard: Split | Subject | None = None,
        instances: int = 1,
        retries: int = 2,
        load_time: float | None = None,
        tier: Literal["compressed"] | Callable[[], Any] | None = None,
        weights: Callable[[Any], Any] | str | None = None,
        tier_bytes: ByteCount | None = None,
        isolation: Literal["thread", "process"] = "thread",
        load_timeout: float | None = None,
        unload_grace: float = UNLOAD_GRACE_S,
        memory_limit: ByteCount | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        """Add a model, cold. It is loaded when it is first asked for.

        `load` makes the model's object, `unload` (optional) takes it down; each a function, run in a worker thread,
        or one that gives a coroutine, or `"module:function"`. `footprint` is booked before the load, at its upper end;
        `workspace` is booked by each lease on top, or what it gives for a lease's context and batch. `measure` tells
        how many bytes the object really takes; if that is more than was booked, it is booked from then on. Without
        `measure` the status shows by how much the process grew during a load that nothing else in the pool disturbed;
        that is shown only, because who else allocated cannot be known. A pinned model stays once loaded.

        Where a pool has several memory domains, `footprint` may say what the model takes of each: `{"gpu:0": "10GB",
        "host": "1GB"}`. `places` are several ways to hold it, each a name or such a dictionary, the preferred one
        first; at most `instances` of them are used at once. `shard` divides it over all accelerators, as
        `ullage.split` does. With `places` or `shard`, `load` is called with `place`, the dictionary of its place.

        A load that fails is tried again `retries` times for those who wait, after a pause that doubles, unless what it
        raised says that the loader is wrong. `load_time` is how many seconds a load is likely to take, until one was
        seen.

        With `tier="compressed"` a model that has to make room is first compressed in memory, bit for bit, and made
        whole when it is asked for. It must be a mapping of NumPy arrays, or `weights` gives the mapping in which it
        looks them up. A function as `tier` opens a file of compressed weights (`ullage.load`) to decode from instead.
        `tier_bytes` is the most that the compressed form takes: 85 % of the footprint unless given.

        With `isolation="process"` the model is loaded in a process of its own, and leases give a `Proxy` that passes
        calls on; the functions must be such as can be pickled. Its bytes are booked until that process is gone. Without
        `measure` all that the process holds counts (PSS), interpreter included, and so does what it holds at most
        during leases, less their workspaces. A load that takes more than `load_timeout` seconds is killed;
        `memory_limit` bounds the address space that the process may take beyond what its interpreter starts with;
        an unload that takes more than `unload_grace` seconds is terminated, and after as many more killed. `preload`
        names modules that take long to import: they are imported once, in a process that the workers are forked from.

        Raises `ArgumentError` for a name in use, a function that cannot be sent to a process or an option that is of no
        use here, `QuantityError` for sizes that are none, `BudgetExceeded` for pins that cannot be in memory together.
        """
        driver = self._entered
        if shard is not None:
            if places is not None or footprint is not None:
                raise refused("shard", "it says itself what stands where: give neither footprint nor places")
            places = [sharded(shard, driver.domains, None, 1)]
        predict = workspace if callable(workspace) else None
        plain = parse_bytes(workspace(0, 0)) if callable(workspace) else workspace
        estimated, found = places_of(footprint, places, plain, driver.domains)
        loader = function_of("load", load)
        if load_args or load_kwargs:
            loader = partial(loader, *load_args, **(load_kwargs or {}))
        resident = Resident(
            name,
            None if unload is None else function_of("unload", unload),
            None if measure is None else function_of("measure", measure),
            workspace=sum(found[0].workspace.values()),
            predict=predict,
            tier=tier_of(tier, None if weights is None else function_of("weights", weights)),
        )
        if resident.tier is not None:
            most = sum(found[0].weights.values())
            resident.tier_bytes = most * 85 // 100 if tier_bytes is None else parse_bytes(tier_bytes)

        def stand(number: int, place: Place) -> Instance:
            own = loader if places is None else partial(loader, place=dict(place.weights))
            ready = isolated(
                own,
                resident,
                isolation,
                load_timeout=load_timeout,
                grace=unload_grace,
                memory_limit=memory_limit,
                preload=preload,
            )
            return Instance(resident, number, own, place.domains, ready)

        resident.instances.extend(stand(number, place) for number, place in enumerate(found))
        if places is not None and shard is None:
            resident.stand, resident.size, resident.plain = stand, footprint, plain
        with driver.lock:
            driver.brain.register(
                name,
                estimated=estimated,
                places=[(place.weights, place.workspace) for place in found],
                instances=instances,
                pinned=pinned,
                max_concurrency=max_concurrency,
                load_time=load_time,
                retries=retries,
                compressed=_compressed(resident, found[0]),
            )
            driver.residents[name] = resident

    def lease(
        self,
        name: str,
        *,
        timeout: float | None = None,
        priority: int = 0,
        workspace: ByteCount | None = None,
        context: int | None = None,
        batch: int | None = None,
    ) -> AsyncLease:
        """Borrow a model: `async with pool.lease("minilm", timeout=30) as model: ...`.

        Higher `priority` goes first among those who wait. `workspace` is what this lease needs beside the model, else
        what is registered. With `context` and `batch` that is what was predicted for them, corrected by what such
        leases really took, as far as `report_peak` told.

        Entering raises `BudgetExceeded` for a model that can never fit beside what is pinned, `LeaseTimeoutError`
        after `timeout` seconds, `LoadFailedError` if its loader raised, `MemoryPressureError` if the machine is too
        short of memory for a load, `PoolClosedError` and `UnknownModelError`. If the model's worker process dies, the
        lease's calls raise `WorkerDiedError`; the next lease loads it again.
        """
        if workspace is None and context is None and batch is None:
            return AsyncLease(self._driver, name, timeout, priority)
        need = self._driver.needs.of(name, context or 0, batch or 0, workspace)
        return AsyncLease(self._driver, name, timeout, priority, need)

    def lease_sync(
        self,
        name: str,
        *,
        timeout: float | None = None,
        priority: int = 0,
        workspace: ByteCount | None = None,
        context: int | None = None,
        batch: int | None = None,
    ) -> SyncLease:
        """Borrow a model from a thread: `with pool.lease_sync("minilm", timeout=30) as model: ...`.

        Takes and raises what `lease` does, and raises `ProtocolError` where it would have to wait on the event loop
        that coroutine loaders run on.
        """
        if workspace is None and context is None and batch is None:
            return SyncLease(self._driver, name, timeout, priority)
        need = self._driver.needs.of(name, context or 0, batch or 0, workspace)
        return SyncLease(self._driver, name, timeout, priority, need)

    def prefetch(self, name: str) -> bool:
        """See that a model is loaded soon if that costs nobody anything; tells whether it is loaded or on its way.

        Nothing is sent away for it and no request that waits is overtaken. Raises `UnknownModelError`,
        `PoolClosedError`.
        """
        return self._entered.ask_modestly(name)

    def pin(self, name: str) -> None:
        """Have a model stay once it is loaded. Raises `UnknownModelError`, `BudgetExceeded` as `register` does."""
        driver = self._entered
        driver.tell("pin", MODEL, (name,), lambda now: driver.brain.pin(now, name))

    def unpin(self, name: str) -> None:
        """Let a model go like any other from now on. Raises `UnknownModelError`."""
        driver = self._entered
        driver.tell("unpin", MODEL, (name,), lambda now: driver.brain.unpin(now, name))

    def add_domain(self, name: str, ledger: Ledger | Account) -> None:
        """Add a memory domain, such as a machine that joins; models stand there once they have a place there.

        Raises `ArgumentError` for a name or an account in use.
        """
        membership.add_domain(self._entered, name, ledger, self._account)

    def drain_domain(self, name: str) -> None:
        """Have a memory domain emptied, for good.

        Nothing is loaded there any more; what is idle there is unloaded at once, pinned or not, what is in use
        after its last lease; meanwhile it comes up elsewhere for others. Raises `ArgumentError` for an unknown domain.
        """
        membership.drain_domain(self._entered, name)

    def remove_domain(self, name: str) -> None:
        """Take in that a memory domain is gone, with everything in it: a machine that died.

        What stood there, or in part, is lost: its leases go on until they end, its `unload` is called to take down
        what is left, and it is loaded elsewhere for whoever asks. The name may be used again. Raises `ArgumentError`
        for an unknown domain.
        """
        membership.remove_domain(self._entered, name)

    def add_place(self, name: str, place: str | Mapping[str, ByteCount]) -> int:
        """Add a way to hold a model that was registered with `places`, the least preferred one; gives its number.

        Raises `UnknownModelError`, and `ArgumentError` for an unknown domain and a model registered without `places`.
        """
        return membership.add_place(self._entered, name, place)

    def set_instances(self, name: str, instances: int) -> None:
        """Say at how many of its places a model may be held at once; what is too many goes when it is evicted.

        Raises `UnknownModelError`, and `ArgumentError` for none, or more than it has places.
        """
        membership.set_instances(self._entered, name, instances)

    def lost(self, name: str, place: int = 0) -> None:
        """Tell that a loaded model is gone from one of its places by itself, as when the server it ran in died.

        Its leases go on until they end; its `unload` is called to clear away what is left; it is loaded again for who
        asks. Nothing happens where it is not loaded. Raises `UnknownModelError`, `ArgumentError` for an unknown place.
        """
        instances = self._entered.resident(name).instances
        if not 0 <= place < len(instances):
            raise refused("place", f"{name} has no place {place}; it has {len(instances)}, counted from 0")
        self._entered.lost(instances[place])

    def evict(self, name: str, place: int = 0) -> bool:
        """Send a model away from one of its places, pinned or not, if it is idle there; tells whether it goes.

        It is loaded again for who asks. Raises what `lost` raises.
        """
        instances = self._entered.resident(name).instances
        if not 0 <= place < len(instances):
            raise refused("place", f"{name} has no place {place}; it has {len(instances)}, counted from 0")
        return self._entered.lost(instances[place], only_idle=True)

    def plan(self, name: str, *, workspace: ByteCount | None = None) -> dict[str, Any]:
        """Give what a request for a model would meet now, as data; nothing changes.

        `decision` is `grant`, `load`, `wait` (with `behind`, `evict`, `drain`) or `refuse` (with `reason` and the
        numbers). `eta_s` is in how many seconds it would be granted, as far as that can be told. Raises
        `UnknownModelError`.
        """
        driver = self._entered
        driver.tick()  # pauses may have ended since anybody asked
        with driver.lock:
            return driver.brain.plan(name, None if workspace is None else parse_bytes(workspace))

    def status(self) -> list[dict[str, Any]]:
        """Give every model: state, leases, requests waiting, and its estimated, booked and measured bytes.

        A model in a worker process has its `pid` too, `None` while there is none.
        """
        driver = self._entered
        with driver.lock:
            rows = driver.brain.status()
            for row in rows:
                instances = driver.residents[row["name"]].instances
                if row["measured"] is None:
                    row["measured"] = instances[0].growth
                if instances[0].isolated is not None:
                    pids = [one.worker.pid for one in instances if one.is_up and one.worker is not None]
                    row["pid"] = pids[0] if pids else None
        return rows

    def pressure(self) -> dict[str, dict[str, Any]]:
        """Give what the guard saw last of each memory domain; empty without a guard.

        `level` (`none`, `soft` or `hard`), `limit`, `used`, `stalled`, and `others`: the bytes booked for what others
        on the machine took.
        """
        return {} if self._guard is None else self._guard.readings()

    def estimates(self) -> list[dict[str, Any]]:
        """Give what was learned of workspaces, by model, context and batch: see `Estimates.learned`."""
        return self._driver.needs.estimates.learned()

    def events(self) -> list[dict[str, Any]]:
        """Give the latest events, oldest first: `time_s` since the pool was made, `event`, and what it concerns."""
        driver = self._entered
        with driver.lock:
            rows = driver.journal.rows()
        return driver.journal.readable(rows)

    def drain(self, timeout: float | None = None) -> None:
        """Take no more requests, and wait at most `timeout` seconds for those waiting and for leases to end.

        Models stay loaded until the pool is closed. A loader that leases another model is refused like anybody. Raises
        what `close` raises.
        """
        driver = self._entered
        driver.check_thread("drain", "adrain")
        driver.is_draining = True
        driver.wait_until_none(timeout, driver.in_use)

    async def adrain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in `drain`
        """Drain without blocking the event loop."""
        await in_thread(self.drain, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Refuse what waits, let leases end, unload everything, and wait for that at most `timeout` seconds.

        Raises `LeaseTimeoutError` if something is then still in use (closing again goes on waiting), and
        `ProtocolError` on the event loop that coroutine loaders run on, which it would block: there, use `aclose`.
        """
        driver = self._entered
        driver.check_thread("close", "aclose")
        driver.close()
        driver.wait_until_none(timeout, driver.moving)
        if self._guard is not None:
            self._guard.stop()
        driver.end()

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in `close`
        """Close without blocking the event loop."""
        await in_thread(self.close, timeout)

    def __enter__(self) -> Self:
        """Give the pool itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Give the pool itself; its coroutine loaders will run on this event loop."""
        self._driver.mover.loop = home()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close without blocking the event loop."""
        await to_its_end(self.aclose())


def _compressed(resident: Resident, place: Place) -> tuple[dict[str, int], float] | None:
    """Give the bytes of the compressed form, and the seconds it is likely to take to make the model whole."""
    if resident.tier is None:
        return None
    return {place.domains[0]: resident.tier_bytes}, sum(place.weights.values()) / DECODE_RATE
