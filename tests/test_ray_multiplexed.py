"""`multiplexed` by itself, and beside Ray Serve's own in real deployments."""

import asyncio
import contextvars
import gc
import itertools
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest

pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'ullage[ray]'")

import ray
from ray import serve
from ray_world import nodes_of, until

from ullage import format_bytes
from ullage.errors import ArgumentError, BudgetExceeded, LeaseTimeoutError, PoolClosedError
from ullage.serving.ray import Multiplexed, multiplexed

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),  # the warnings are Ray's own
    pytest.mark.timeout(300),
]

SIZES = {"a": 60, "b": 60, "c": 30, "vast": 101}


class Model:
    """A model that notes its end."""

    def __init__(self, name: str, log: list[str]) -> None:
        """Come up."""
        self.name = name
        self.log = log
        log.append(f"load {name}")

    def __del__(self) -> None:
        """Go."""
        self.log.append(f"del {self.name}")


class Deployment:
    """What a user writes, without Serve around it."""

    def __init__(self) -> None:
        """Have no model yet."""
        self.log: list[str] = []
        self.gate = asyncio.Event()
        self.failures = 0

    @multiplexed(max_bytes=100, footprint=SIZES, timeout=5.0)
    async def get(self, model_id: str) -> Model:
        """Load a model."""
        await asyncio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise OSError(model_id)
        return Model(model_id, self.log)

    async def use(self, model_id: str) -> str:
        """Use a model while the gate is shut."""
        model: Model = await self.get(model_id)
        assert await self.get(model_id) is model
        self.log.append(f"use {model_id}")
        await self.gate.wait()
        self.log.append(f"used {model.name}")
        return str(model.name)


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    """Give one, and see that nothing stays of it."""
    found = Deployment()
    yield found
    found.gate.set()
    pool = found.get.pool
    await found.get.aclose(10)
    assert pool.account.used == 0
    assert pool.account.peak <= 100


async def test_a_model_in_use_is_never_destroyed(deployment: Deployment) -> None:
    first = asyncio.create_task(deployment.use("a"))
    await asyncio.to_thread(until, lambda: "use a" in deployment.log)
    others = [asyncio.create_task(deployment.use(name)) for name in ("b", "c")]
    await asyncio.to_thread(until, lambda: "use c" in deployment.log)  # which fits beside a
    assert "load b" not in deployment.log
    deployment.gate.set()
    assert await asyncio.gather(first, *others) == ["a", "b", "c"]
    log = deployment.log
    assert log.index("used a") < log.index("del a") < log.index("load b")


async def test_who_keeps_an_object_keeps_its_memory(deployment: Deployment) -> None:
    deployment.gate.set()
    kept = await asyncio.create_task(deployment.get("a"))  # its task is done: the model may go, the object stays
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await deployment.get("b")
    assert "del a" not in deployment.log
    assert kept.name == "a"
    del kept
    gc.collect()
    assert await deployment.use("b") == "b"


async def test_one_load_for_all_who_ask_at_once(deployment: Deployment) -> None:
    deployment.gate.set()
    assert await asyncio.gather(*(deployment.use("a") for _ in range(20))) == ["a"] * 20
    assert deployment.log.count("load a") == 1


async def test_a_failed_load_raises_what_the_loader_raised(deployment: Deployment) -> None:
    deployment.gate.set()
    deployment.failures = 1
    with pytest.raises(OSError, match="a"):
        await deployment.use("a")
    await asyncio.sleep(0.2)
    assert await deployment.use("a") == "a"


async def test_what_never_fits_is_refused_with_numbers(deployment: Deployment) -> None:
    with pytest.raises(BudgetExceeded) as caught:
        await deployment.get("vast")
    assert (caught.value.requested, caught.value.limit) == (101, 100)
    with pytest.raises(ArgumentError, match="nobody"):
        await deployment.get("nobody")
    with pytest.raises(TypeError):
        await deployment.get(cast("Any", 3))
    with pytest.raises(ValueError, match="empty"):
        await deployment.get("")


async def test_a_count_alone_works_as_with_serve() -> None:
    log: list[str] = []

    @multiplexed(max_num_models_per_replica=2)
    async def load(model_id: str) -> Model:
        return Model(model_id, log)

    async def use(model_id: str) -> str:
        return str((await load(model_id)).name)

    for name in "abca":
        assert await asyncio.create_task(use(name)) == name
    rows = {row["name"]: row["state"] for row in load.pool.status()}
    assert sum(state == "ready" for state in rows.values()) == 2
    await load.aclose(10)


async def test_a_model_is_loaded_in_the_context_of_a_request_that_waits_for_it() -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    loads: list[tuple[str, str]] = []

    @multiplexed(max_num_models_per_replica=1)
    async def load(model_id: str) -> str:
        loads.append((model_id, request.get("nobody")))
        return model_id

    async def use(number: str, model_id: str) -> str:
        request.set(number)
        return str(await load(model_id))

    async def lease(number: str, model_id: str) -> None:
        request.set(number)
        async with load.lease(model_id):
            pass

    for number, name in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")):  # the second one found it there
        assert await asyncio.create_task(use(number, name)) == name
    await asyncio.create_task(lease("5", "b"))
    assert loads == [("a", "1"), ("b", "3"), ("a", "4"), ("b", "5")]
    await load.aclose(10)


async def test_closing_again_goes_on_waiting(deployment: Deployment) -> None:
    user = asyncio.create_task(deployment.use("a"))
    await asyncio.to_thread(until, lambda: "use a" in deployment.log)
    with pytest.raises(LeaseTimeoutError):
        await deployment.get.aclose(0.05)
    with pytest.raises(PoolClosedError):
        await deployment.get("b")
    deployment.gate.set()
    assert await user == "a"
    await deployment.get.aclose(10)


async def test_each_instance_has_a_pool_of_its_own() -> None:
    one, two = Deployment(), Deployment()
    one.gate.set()
    two.gate.set()
    await asyncio.gather(one.use("a"), two.use("a"))
    assert one.get.pool is not two.get.pool
    assert [one.log.count("load a"), two.log.count("load a")] == [1, 1]
    await one.get.aclose(10)
    await two.get.aclose(10)


def test_what_is_no_loader_is_refused() -> None:
    with pytest.raises(TypeError):
        multiplexed(lambda model_id: model_id)
    with pytest.raises(TypeError):

        @multiplexed
        async def load() -> None: ...

    for wrong in ({"max_bytes": 10}, {"max_num_models_per_replica": 0}, {"max_num_models_per_replica": True}):
        with pytest.raises(ArgumentError):
            multiplexed(**cast("Any", wrong))
    found = multiplexed(_module_loader)
    assert isinstance(found, Multiplexed)
    assert found.__name__ == "_module_loader"
    assert pickle.loads(ray.cloudpickle.dumps(found)).__name__ == "_module_loader"  # noqa: S301 - our own


async def _module_loader(model_id: str) -> str:
    return model_id


@pytest.fixture(scope="module")
def serving() -> Iterator[None]:
    """Give Serve on a Ray of one node."""
    with nodes_of(1):
        serve.start(proxy_location="Disabled")
        yield
        serve.shutdown()


class Fragile:
    """A model that must not be used once it was destroyed."""

    def __init__(self, name: str) -> None:
        """Come up."""
        self.name = name
        self.is_destroyed = False

    def __del__(self) -> None:
        """Go: Serve calls this itself, and then it is only a flag that is set."""
        self.is_destroyed = True


def application(decorator: Any, name: str) -> Any:
    """Make a deployment whose loader `decorator` decorates: each answer says whether the model was destroyed in use."""

    @serve.deployment(name=name, max_ongoing_requests=20, ray_actor_options={"num_cpus": 0})
    class Server:
        @decorator  # type: ignore[untyped-decorator] # of either package
        async def get_model(self, model_id: str) -> Fragile:
            assert serve.get_multiplexed_model_id() == model_id
            return Fragile(model_id)

        async def __call__(self, seconds: float) -> tuple[str, bool]:
            model = await self.get_model(serve.get_multiplexed_model_id())
            await asyncio.sleep(seconds)
            return model.name, model.is_destroyed

    return cast("Any", Server).bind()


def two_at_once(decorator: Any, name: str) -> list[tuple[str, bool]]:
    """Use one model for a while, and ask for another in the meantime, where there is room for one."""
    handle = serve.run(application(decorator, name), name=name, route_prefix=None)
    slow = handle.options(multiplexed_model_id="a").remote(1.5)
    time.sleep(0.5)
    quick = handle.options(multiplexed_model_id="b").remote(0.0)
    answers = [slow.result(timeout_s=60), quick.result(timeout_s=60)]
    serve.delete(name)
    return answers


def test_serve_destroys_a_model_in_use_and_this_one_does_not(serving: None) -> None:
    assert serving is None
    theirs = two_at_once(serve.multiplexed(max_num_models_per_replica=1), "theirs")
    ours = two_at_once(multiplexed(max_num_models_per_replica=1), "ours")
    by_bytes = two_at_once(multiplexed(max_bytes="1GB", footprint=lambda _name: format_bytes(600_000_000)), "by_bytes")
    assert theirs == [("a", True), ("b", False)], "Serve waits for requests by now: say so in the documentation"
    assert ours == by_bytes == [("a", False), ("b", False)]


def test_the_router_hears_which_replica_has_a_model(serving: None) -> None:
    assert serving is None

    @serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=20)
    class Server:
        @multiplexed(max_num_models_per_replica=2)
        async def get_model(self, model_id: str) -> str:
            return model_id

        async def __call__(self) -> str:
            await self.get_model(serve.get_multiplexed_model_id())
            return str(serve.get_replica_context().replica_id.unique_id)

    handle = serve.run(cast("Any", Server).bind(), name="routed", route_prefix=None)
    fresh = itertools.count()

    def is_told() -> bool:
        """Load a model on one replica, give the news time to spread, and see who answers then."""
        sticky = handle.options(multiplexed_model_id=f"model-{next(fresh)}")
        first = sticky.remote().result(timeout_s=60)
        time.sleep(1.0)
        return {sticky.remote().result(timeout_s=60) for _ in range(15)} == {first}

    until(is_told)
    serve.delete("routed")
