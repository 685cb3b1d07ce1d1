"""The compressed tier: real arrays, smaller while nobody needs them, and the same bits afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pool_world import PATIENCE_S, Thing, row, state, until

from ullage import Ledger, Pool, load, write_compressed
from ullage.errors import ArgumentError
from ullage.pooling.tier import Tier, demote, promote

KB = 1000
Arrays = dict[str, npt.NDArray[Any]]


def weights(seed: int = 0) -> Arrays:
    """Give weights as they are: small numbers around nothing, 400 kB, two of them one array."""
    random = np.random.default_rng(seed)
    matrix = (random.standard_normal((250, 200)) * 0.02).astype(np.float32)
    return {
        "layer.weight": matrix,
        "layer.tied": matrix,
        "bias": random.standard_normal(100).astype(np.float16),
        "table": np.arange(49_900, dtype=np.int32),
        "flags": np.zeros((0, 3), np.bool_),
        "scale": np.array(1.5),
    }


class Model:
    """A model that looks its weights up in a dictionary of its own."""

    def __init__(self, seed: int = 0) -> None:
        """Make it."""
        self.parameters: Any = weights(seed)
        self.steps = 0

    def total(self) -> float:
        """Compute something of all weights."""
        return float(sum(float(array.astype(np.float64).sum()) for array in self.parameters.values()))


def parameters(model: Model) -> Any:
    """Give the mapping."""
    return model.parameters


@pytest.fixture
def small() -> Iterator[Pool]:
    """Give a pool for a model of 600 kB in both forms."""
    with Pool(Ledger(1200 * KB), group_wait=0.0) as pool:
        yield pool


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes(), name


def test_a_model_comes_back_bit_for_bit() -> None:
    model: dict[str, Any] = {**weights(), "name": "a model", "frozen": np.arange(5000)}
    model["frozen"].flags.writeable = False
    expected = dict(model)
    size, arrays = demote(model, Tier(None))
    assert size < sum(array.nbytes for array in arrays) * 0.9
    assert not [value for value in model.values() if isinstance(value, np.ndarray)]
    assert model["name"] == "a model"
    promote(model, Tier(None))
    assert model.pop("name") == expected.pop("name")
    assert_same(model, expected)
    assert model["layer.tied"] is model["layer.weight"], "one array under two names is one"
    assert not model["frozen"].flags.writeable


def test_what_cannot_be_compressed_stays_as_it_is() -> None:
    model = {"good": np.arange(10), "bad": np.array([object()])}
    before = dict(model)
    with pytest.raises(ArgumentError):
        demote(model, Tier(None))
    assert model == before
    with pytest.raises(ArgumentError, match="no mapping"):
        demote(Thing(), Tier(None))


def test_a_victim_is_compressed_and_made_whole(small: Pool) -> None:
    small.register("a", load=weights, footprint=600 * KB, tier="compressed")
    loads = []
    with small.lease_sync("a") as model:
        loads.append(model["table"].sum())
    del model
    small.register("c", load=lambda: Thing("c"), footprint=650 * KB)
    with small.lease_sync("c", timeout=PATIENCE_S):
        assert state(small, "a") == "compressed"
        compressed = row(small, "a")["booked"]
        assert 100 * KB < compressed < 500 * KB
    events = [event for event in small.events() if event["event"] == "compressed"]
    assert events[0]["bytes"] == {"host": compressed}
    with small.lease_sync("a", timeout=PATIENCE_S) as model:
        assert_same(model, weights())
    del model
    assert (row(small, "a")["loads"], row(small, "a")["promotions"]) == (1, 1)


def test_a_model_may_say_where_its_weights_are(small: Pool) -> None:
    small.register("a", load=Model, weights=parameters, footprint=600 * KB, tier="compressed")
    small.register("c", load=lambda: Thing("c"), footprint=650 * KB)
    with small.lease_sync("a") as model:
        expected = model.total()
        model.steps = 7
    del model
    with small.lease_sync("c", timeout=PATIENCE_S):
        assert state(small, "a") == "compressed"
    with small.lease_sync("a", timeout=PATIENCE_S) as model:
        assert (model.total(), model.steps) == (expected, 7)
    del model


def test_an_array_that_somebody_keeps_keeps_its_bytes_booked(small: Pool) -> None:
    small.register("a", load=weights, footprint=600 * KB, tier="compressed")
    small.register("c", load=lambda: Thing("c"), footprint=650 * KB)
    with small.lease_sync("a") as model:
        kept = [model["table"]]
    del model
    from threading import Thread  # noqa: PLC0415 - of this test alone

    waiter = Thread(target=lambda: small.lease_sync("c", timeout=PATIENCE_S).__enter__())
    waiter.start()
    until(lambda: state(small, "a") == "compressing")
    assert small.account.used >= 600 * KB
    kept.clear()
    waiter.join(PATIENCE_S)
    assert state(small, "a") == "compressed"
    for request in list(small._driver.leases):  # noqa: SLF001 - the lease of the thread that is gone
        small._driver.release(request)  # noqa: SLF001


def test_what_does_not_get_smaller_is_unloaded(small: Pool) -> None:
    def noise() -> Arrays:
        return {"noise": np.random.default_rng(0).integers(0, 256, 400 * KB, np.uint8)}

    small.register("a", load=noise, footprint=600 * KB, tier="compressed", tier_bytes=300 * KB)
    small.register("c", load=lambda: Thing("c"), footprint=650 * KB)
    with small.lease_sync("a"):
        pass
    with small.lease_sync("c", timeout=PATIENCE_S):
        assert state(small, "a") == "cold"
    assert any(event["event"] == "compress_failed" for event in small.events())


def test_a_model_in_a_process_is_compressed_there() -> None:
    mega = 1_000_000
    with Pool(Ledger(450 * mega), group_wait=0.0) as pool:
        pool.register(
            "a",
            load="pool_tier_world:large",
            footprint=200 * mega,
            tier="compressed",
            tier_bytes=150 * mega,
            isolation="process",
        )
        pool.register("c", load=lambda: Thing("c"), footprint=280 * mega)
        with pool.lease_sync("a", timeout=PATIENCE_S) as model:
            first, whole = model.total(), row(pool, "a")["booked"]
            del model
        with pool.lease_sync("c", timeout=PATIENCE_S):
            found = row(pool, "a")
            assert found["state"] == "compressed"
            assert found["booked"] < whole - 10 * mega, "measured in the process"
        with pool.lease_sync("a", timeout=PATIENCE_S) as model:
            assert model.total() == first
            del model
        assert row(pool, "a")["loads"] == 1


def test_a_file_of_compressed_weights_is_a_tier(tmp_path: Path, small: Pool) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415 - of this test alone

    random = np.random.default_rng(1)
    arrays = {"w": random.standard_normal((256, 256)).astype(np.float32), "b": np.ones(64, np.float32)}
    dense, packed = tmp_path / "dense.safetensors", tmp_path / "packed.safetensors"
    save_file(arrays, dense)
    write_compressed(dense, packed, "lossless")
    opened: list[Any] = []

    def store() -> Any:
        opened.append(load(packed))
        return opened[-1]

    def loaded() -> Arrays:
        return {name: array.copy() for name, array in arrays.items()}

    small.register("a", load=loaded, footprint=600 * KB, tier=store)
    small.register("c", load=lambda: Thing("c"), footprint=650 * KB)
    with small.lease_sync("a"):
        pass
    with small.lease_sync("c", timeout=PATIENCE_S):
        assert state(small, "a") == "compressed"
    with small.lease_sync("a", timeout=PATIENCE_S) as model:
        assert_same(model, arrays)
    del model
    assert opened[0].closed
