"""The separate memories of a machine, and the ledger made of them."""

from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_world import GIB, Files, in_v2, tree, v2
from nvml_world import MIB, NOT_SUPPORTED, Device, Driver

import ullage
from ullage import machine
from ullage.errors import ArgumentError, BudgetExceeded, QuantityError
from ullage.machine.domain import build

OWN = {"proc/self/status": f"VmRSS:\t{GIB // 1024} kB\n"}
"""This process holds 1 GiB."""


def group(limit: str, current: int, inactive: int = 0, high: str = "max") -> Files:
    """Put this process, which holds 1 GiB, into a group."""
    return {**in_v2("/job", v2("/job", limit, current, inactive, high)), **OWN}


def host(root: Path, files: Files, reserve: int | str | None = None) -> machine.Domain:
    """Give the domain of the host."""
    (found,) = machine.domains(reserve, gpus=False, root=tree(root, files)).rows
    assert (found.path, found.kind, found.limit) == ("host", "host", found.total - found.reserve)
    return found


def test_a_container_alone_keeps_a_sixteenth_free(tmp_path: Path) -> None:
    found = host(tmp_path, group(str(8 * GIB), 1 * GIB))
    assert (found.total, found.limit, found.source) == (8 * GIB, 7.5 * GIB, "cgroup v2 memory.max /job")
    assert found.reserve_source == "a sixteenth, at most 4 GiB"


def test_what_others_hold_in_the_container_is_kept_out(tmp_path: Path) -> None:
    found = host(tmp_path, group(str(8 * GIB), 5 * GIB, inactive=GIB))
    assert (found.limit, found.reserve, found.reserve_source) == (5 * GIB, 3 * GIB, "held by others")


def test_on_a_bare_host_what_others_hold_is_kept_out(tmp_path: Path) -> None:
    found = host(tmp_path, OWN)
    assert (found.total, found.reserve, found.source) == (64 * GIB, 23 * GIB, "host")


def test_no_more_than_4_gib_are_kept_free_for_caution(tmp_path: Path) -> None:
    idle = "MemTotal: 1073741824 kB\nMemFree: 1 kB\nMemAvailable: 1073741824 kB\n"
    (tmp_path / "proc").mkdir()
    root = tree(tmp_path, {}, meminfo=idle)
    (found,) = machine.domains(gpus=False, root=root).rows
    assert found.reserve == 4 * GIB


def test_throttling_binds_before_killing(tmp_path: Path) -> None:
    found = host(tmp_path, group(str(8 * GIB), GIB, high=str(6 * GIB)), reserve=0)
    assert (found.total, found.limit, found.source) == (6 * GIB, 6 * GIB, "cgroup v2 memory.high /job")


def test_the_level_with_the_least_room_binds(tmp_path: Path) -> None:
    """A pod of 16 GiB of which others hold 14 leaves less than a limit of 4 in it."""
    files = {
        **in_v2("/pod/job", v2("/pod/job", str(4 * GIB), GIB), v2("/pod", str(16 * GIB), 15 * GIB)),
        **OWN,
    }
    found = host(tmp_path, files)
    assert (found.limit, found.source) == (2 * GIB, "cgroup v2 memory.max /pod")


@pytest.mark.parametrize("reserve", [2 * GIB, "2GiB"])
def test_a_reserve_of_the_callers(tmp_path: Path, reserve: int | str) -> None:
    found = host(tmp_path, group(str(8 * GIB), 5 * GIB), reserve)
    assert (found.limit, found.reserve, found.reserve_source) == (6 * GIB, 2 * GIB, "as asked")


@pytest.mark.parametrize("reserve", [9 * GIB, "1TB"])
def test_a_reserve_beyond_the_memory_is_refused(tmp_path: Path, reserve: int | str) -> None:
    root = tree(tmp_path, group(str(8 * GIB), GIB))
    with pytest.raises(ArgumentError) as caught:
        machine.domains(reserve, gpus=False, root=root)
    assert caught.value.name == "reserve"
    assert "cgroup v2 memory.max /job" in str(caught.value)


@pytest.mark.parametrize("reserve", [-1, "2 apples", True])
def test_a_reserve_that_is_no_byte_count_is_refused(reserve: object) -> None:
    with pytest.raises(QuantityError):
        ullage.Ledger.of_machine(reserve)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80), st.none() | st.integers(0, 80))
def test_never_more_than_any_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: int, current: int, inactive: int, reserve: int | None
) -> None:
    root = tree(tmp_path_factory.mktemp("root"), group(str(limit * GIB), current * GIB, inactive * GIB))
    asked = None if reserve is None else reserve * GIB
    bound = min(limit, 64)
    if reserve is not None and reserve > bound:
        with pytest.raises(ArgumentError):
            machine.domains(asked, gpus=False, root=root)
        return
    (found,) = machine.domains(asked, gpus=False, root=root).rows
    assert 0 <= found.limit <= bound * GIB
    if reserve is None:
        others = max(max(current - inactive, 0) - 1, 0)
        rooms = [
            bound_gib * GIB - max(held * GIB, min(bound_gib * GIB // 16, 4 * GIB))
            for bound_gib, held in ((64, 23), (limit, others))
        ]
        assert found.limit == max(min(rooms), 0)
    else:
        assert found.limit == (bound - reserve) * GIB


def test_each_gpu_is_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = Device("NVIDIA A100 MIG 1g.5gb", "MIG-3", 4864 * MIB, 0)
    old = Device("Tesla K80", "GPU-2", 11441 * MIB, refuses={"nvmlDeviceGetMemoryInfo_v2": NOT_SUPPORTED})
    devices = [Device("NVIDIA H100", "GPU-0"), Device("NVIDIA A100", "GPU-1", has_mig=True, partitions={3: part}), old]
    Driver(devices).install(monkeypatch)
    found = machine.domains(root=tree(tmp_path, OWN))
    assert [(row.path, row.kind, row.limit, row.uuid) for row in found.rows[1:]] == [
        ("gpu0", "gpu", (81559 - 551) * MIB, "GPU-0"),
        ("gpu1", "gpu", (81559 - 551) * MIB, "GPU-1"),
        ("gpu1/mig3", "partition", 4864 * MIB, "MIG-3"),
        ("gpu2", "gpu", 11441 * MIB, "GPU-2"),
    ]
    assert {row.source for row in found.rows[1:]} == {"NVML"}
    assert any("GPU 2 does not tell" in note for note in found.notes)
    ledger = build(ullage.Ledger, found)
    assert [(row.path, row.limit) for row in ledger.snapshot()] == [
        ("/", None),
        *sorted((row.path, row.limit) for row in found.rows),
    ]
    assert machine.domains_of(ledger) is found
    with ledger.account("gpu0/llama").reserve("79GiB"), pytest.raises(BudgetExceeded) as caught:
        ledger.account("gpu0/other").reserve("1GiB")
    assert caught.value.account == "gpu0"


def test_a_gpu_without_memory_of_its_own_is_in_the_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused = dict.fromkeys(("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"), NOT_SUPPORTED)
    Driver([Device("NVIDIA GB10", "GPU-0", refuses=refused)]).install(monkeypatch)
    (found,) = machine.domains(root=tree(tmp_path, OWN)).rows
    assert (found.path, found.kind) == ("host", "unified")


def test_memory_of_a_gpu_that_the_host_counts_is_not_counted_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As Grace Hopper does."""
    Driver([Device("NVIDIA GH200", "GPU-0", numa_node=1)]).install(monkeypatch)
    node = {"sys/devices/system/node/node1/meminfo": "Node 1 MemTotal: 16777216 kB\nNode 1 MemFree: 5 kB\n"}
    found = machine.domains(0, root=tree(tmp_path, {**OWN, **node}))
    assert found.rows[0].total == (64 - 16) * GIB
    assert any("NUMA node 1" in note for note in found.notes)
    missing = machine.domains(0, root=tree(tmp_path / "other", OWN))
    assert missing.rows[0].total == 64 * GIB


def test_a_lost_gpu_gets_no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost = dict.fromkeys(("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"), 15)
    Driver([Device("NVIDIA H100", "GPU-0", refuses=lost)]).install(monkeypatch)
    found = machine.domains(root=tree(tmp_path, OWN))
    assert [row.path for row in found.rows] == ["host"]
    assert "gpu0: how much memory it has is not known; it gets no account" in found.notes


def test_the_gpu_of_a_mac_takes_a_part_of_the_hosts(tmp_path: Path) -> None:
    sysctl = {"hw.memsize": str(64 * GIB), "hw.optional.arm64": "1"}.get
    rows = machine.domains(0, root=tree(tmp_path, OWN), sysctl=sysctl).rows
    assert [(row.path, row.kind, row.limit) for row in rows] == [
        ("host", "unified", 64 * GIB),
        ("host/gpu", "unified", 48 * GIB),
    ]
    ledger = build(ullage.Ledger, machine.domains("60GiB", root=tree(tmp_path, OWN), sysctl=sysctl))
    assert ledger.account("host/gpu").limit == 4 * GIB


def test_this_machine() -> None:
    ledger = ullage.Ledger.of_machine()
    found = machine.domains_of(ledger)
    assert found.rows[0].path == "host"
    assert 0 < found.rows[0].limit < psutil.virtual_memory().total
    assert ledger.limit is None
    assert ledger.account("host").limit == found.rows[0].limit
    assert len(ledger.snapshot()) == 1 + len(found.rows)
    assert not [row for row in machine.domains_of(ullage.Ledger.of_machine(gpus=False)).rows if "gpu" in row.path]


@pytest.mark.parametrize("own", [0, 1, 3])
def test_what_this_process_holds_is_no_reason_to_keep_room_from_it(tmp_path: Path, own: int) -> None:
    files = {**group(str(8 * GIB), (own + 2) * GIB), "proc/self/status": f"VmRSS:\t{own * GIB // 1024} kB\n"}
    assert host(tmp_path, files).reserve == 2 * GIB


def test_a_ledger_made_otherwise_has_no_domains() -> None:
    with pytest.raises(ArgumentError) as caught:
        machine.domains_of(ullage.Ledger(100))
    assert caught.value.name == "ledger"
