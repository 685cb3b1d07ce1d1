"""Booked beside measured."""

import gc
import json
import os
import re
import weakref
from pathlib import Path

import pytest
from machine_world import GIB, in_v2, tree, v2
from nvml_world import MIB, NOT_AVAILABLE, Device, Driver

from ullage import Ledger, machine
from ullage.errors import ArgumentError, QuantityError
from ullage.machine import Mover
from ullage.machine.reconcile import reconcile

BARE: dict[str, str] = {}


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Give a driver that knows no GPU."""
    driver = Driver([])
    driver.install(monkeypatch)
    return driver


def ledger_of(*paths: str) -> Ledger:
    """Give a ledger with these accounts."""
    ledger = Ledger()
    for path in paths:
        ledger.account(path)
    return ledger


def rows(found: machine.Reconciliation) -> dict[str, machine.Drift]:
    """Give rows by account."""
    return {row.account: row for row in found.rows}


def test_in_a_container_its_use_is_measured(tmp_path: Path) -> None:
    root = tree(tmp_path, in_v2("/job", v2("/job", str(8 * GIB), 5 * GIB, GIB)))
    ledger = ledger_of("host")
    kept = ledger.account("host/llama").reserve(3 * GIB, "weights")
    (row,) = reconcile(ledger, root=root).rows
    assert (row.account, row.booked, row.measured, row.drift) == ("host", 3 * GIB, 4 * GIB, GIB)
    assert (row.share, row.source) == (0.25, "cgroup v2 memory.max /job")
    assert "what kills" in row.why
    assert row.is_large
    kept.release()


def test_on_a_bare_host_this_process_and_its_children_are_measured(tmp_path: Path) -> None:
    ledger = ledger_of("host")
    found = reconcile(ledger, root=tree(tmp_path, BARE))
    (row,) = found.rows
    assert row.measured is not None
    assert abs(row.measured - machine.family(full=True).held) < 32 * MIB
    assert row.source.startswith("PSS of this process")
    assert row.drift == row.measured - row.booked


def test_a_ledger_without_such_accounts_is_measured_at_its_root() -> None:
    assert list(rows(ledger_of("llama").reconcile())) == ["/"]
    assert list(rows(Ledger(100).reconcile())) == ["/"]


def test_what_the_caller_measured_counts() -> None:
    ledger = ledger_of("host", "host/llama")
    kept = ledger.account("host/llama").reserve(400, "weights")
    found = rows(ledger.reconcile({"host/llama": 500, "/host/": "1kB"}))
    assert (found["host/llama"].measured, found["host/llama"].drift, found["host/llama"].share) == (500, 100, 0.2)
    assert (found["host"].measured, found["host"].source) == (1000, "given by the caller")
    assert rows(ledger.reconcile({"/": 0, "host": 0}))["/"].share is None
    kept.release()


@pytest.mark.parametrize("path", ["gpu0", "host/llama", "hos", ""])
def test_an_account_that_does_not_exist_is_refused(path: str) -> None:
    ledger = ledger_of("host")
    if path:
        with pytest.raises(ArgumentError) as caught:
            ledger.reconcile({path: 1})
        assert caught.value.name == "measured"
    else:
        assert "/" in rows(ledger.reconcile({path: 1}))
    assert [row.path for row in ledger.snapshot()] == ["/", "host"], "none was made"


def test_a_measurement_that_is_no_byte_count_is_refused() -> None:
    with pytest.raises(QuantityError):
        ledger_of("host").reconcile({"host": "much"})


def test_the_last_mover_is_who_changed_the_most_since() -> None:
    ledger = ledger_of("host", "other")
    weights = ledger.account("host/llama").reserve(700, "weights")
    cache = ledger.account("host/llama").reserve(200, "kv")
    noise = ledger.account("other").reserve(5000, "noise")

    def movers() -> dict[str, Mover | None]:
        return {path: row.last_mover for path, row in rows(ledger.reconcile({"/": 0, "host": 0})).items()}

    assert movers() == {"/": Mover("other", "noise", 5000), "host": Mover("host/llama", "weights", 700)}
    assert movers() == {"/": None, "host": None}
    cache.resize(500)
    more = ledger.account("host/llama").reserve(100, "weights")
    assert movers() == {"/": Mover("host/llama", "kv", 300), "host": Mover("host/llama", "kv", 300)}
    weights.release()
    assert movers()["host"] == Mover("host/llama", "weights", -700)
    more.release()
    noise.release()
    assert movers() == {"/": Mover("other", "noise", -5000), "host": Mover("host/llama", "weights", -100)}


def test_drift_is_compared_with_the_time_before() -> None:
    ledger = ledger_of("host")
    seen = [rows(ledger.reconcile({"host": size}))["host"].moved for size in (100, 130, 90)]
    assert seen == [None, 30, -40]


def test_two_ledgers_have_two_pasts_that_end_with_them() -> None:
    one, two = ledger_of("host"), ledger_of("host")
    one.reconcile({"host": 5})
    assert rows(two.reconcile({"host": 9}))["host"].moved is None
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def gpu(**changes: object) -> Device:
    """Give a GPU of which 10,000 MiB are used: 4,000 by this process, 5,000 by another."""
    plain: dict[str, object] = {
        "name": "NVIDIA H100",
        "uuid": "GPU-0",
        "used": 10_000 * MIB,
        "compute": [(os.getpid(), 4000 * MIB), (2**22 + 1, 5000 * MIB)],
    }
    return Device(**{**plain, **changes})  # type: ignore[arg-type]


def measured_on_gpu(monkeypatch: pytest.MonkeyPatch, root: Path, device: Device) -> machine.Drift:
    """Reconcile a ledger of one GPU, of which 3,000 MiB are booked."""
    Driver([device]).install(monkeypatch)
    ledger = ledger_of("host", "gpu0")
    with ledger.account("gpu0/llama").reserve(3000 * MIB, "weights"):
        return rows(reconcile(ledger, root=root))["gpu0"]


@pytest.mark.parametrize(
    ("changes", "measured", "reason"),
    [
        ({}, 4000, "what each process uses"),
        ({"compute": []}, 0, "what each process uses"),
        ({"compute": [(2**22 + 1, 5000 * MIB)]}, 0, "what each process uses"),
        ({"compute": [(os.getpid(), NOT_AVAILABLE), (2**22 + 1, 5000 * MIB)]}, 5000, "does not tell what our"),
        ({"compute": [(os.getpid(), NOT_AVAILABLE), (2**22 + 1, NOT_AVAILABLE)]}, 10_000, "does not tell what each"),
        ({"refuses": {"nvmlDeviceGetComputeRunningProcesses_v3": 3}}, 0, "what each process uses"),
    ],
)
def test_what_is_held_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, object], measured: int, reason: str
) -> None:
    row = measured_on_gpu(monkeypatch, tree(tmp_path, BARE), gpu(**changes))
    assert (row.booked, row.measured) == (3000 * MIB, measured * MIB)
    assert reason in row.why


def test_a_gpu_that_lists_no_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused = {f"nvmlDeviceGet{kind}RunningProcesses_v3": 3 for kind in ("Compute", "Graphics", "MPSCompute")}
    row = measured_on_gpu(monkeypatch, tree(tmp_path, BARE), gpu(refuses=refused))
    assert (row.measured, row.why) == (10_000 * MIB, "NVML lists no processes")


@pytest.mark.parametrize(("space", "measured"), [("pid:[4026531836]", 4000), ("pid:[4026532000]", 10_000)])
def test_in_a_container_process_numbers_are_not_the_drivers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: str, measured: int
) -> None:
    root = tree(tmp_path, BARE)
    (root / "proc/self/ns").mkdir(parents=True)
    (root / "proc/self/ns/pid").symlink_to(space)
    assert measured_on_gpu(monkeypatch, root, gpu()).measured == measured * MIB


def test_a_partition_is_measured_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = gpu(uuid="MIG-0", compute=[(os.getpid(), 70 * MIB)])
    Driver([gpu(has_mig=True, partitions={0: part})]).install(monkeypatch)
    found = rows(reconcile(ledger_of("gpu0/mig0"), root=tree(tmp_path, BARE)))
    assert found["gpu0/mig0"].measured == 70 * MIB
    assert list(found) == ["gpu0", "gpu0/mig0"]


def test_only_accounts_of_gpus_are_measured_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Driver([gpu()]).install(monkeypatch)
    ledger = ledger_of("host", "gpu7", "gpu0/llama", "gpuish", "gpu0x")
    found = reconcile(ledger, root=tree(tmp_path, BARE))
    assert list(rows(found)) == ["gpu0", "gpu7", "host"]
    missing = rows(found)["gpu7"]
    assert (missing.measured, missing.drift, missing.share, missing.why) == (None, None, None, "NVML shows no such GPU")
    assert re.search(r"^gpu7 +0 B +[?] +[?]$", str(found), re.MULTILINE)


def test_what_drifts_too_far_is_told_and_nothing_is_refused() -> None:
    ledger = ledger_of("host")
    found = ledger.reconcile({"host": 2 * GIB})
    assert found.rows[0].is_large
    assert any("are held that nobody booked" in note for note in found.notes)
    with ledger.account("host").reserve(100 * GIB, "weights"):
        quiet = ledger.reconcile({"host": 105 * GIB})
        assert not quiet.rows[0].is_large, "within a tenth"
    assert not ledger.reconcile({"host": 200 * MIB}).rows[0].is_large, "an interpreter"


def test_it_is_ready_for_json_and_for_people() -> None:
    ledger = ledger_of("host", "host/llama")
    with ledger.account("host/llama").reserve("1.5GB", "weights"):
        found = ledger.reconcile({"host": "2GB", "host/llama": "1GB"})
    told = json.loads(json.dumps(found.as_dict()))
    first = told["rows"][0]
    assert (first["account"], first["booked"], first["measured"], first["drift"]) == (
        "host",
        1_500_000_000,
        2_000_000_000,
        500_000_000,
    )
    assert first["last_mover"] == {"account": "host/llama", "label": "weights", "change": 1_500_000_000}
    assert str(found).splitlines()[:3] == [
        "account      booked  measured       drift  last mover",
        "host        1.50 GB   2.00 GB  +500.00 MB  host/llama weights +1.50 GB",
        "host/llama  1.50 GB   1.00 GB  -500.00 MB  host/llama weights +1.50 GB",
    ]
    assert set(first) == {
        "account", "booked", "measured", "drift", "share", "moved", "last_mover", "source", "why", "is_large"
    }  # fmt: skip
