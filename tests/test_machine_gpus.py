"""GPUs, through the real binding of NVML over a library that stands in for the driver's."""

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType

import nvml_world
import pynvml
import pytest
from nvml_world import LOST, MIB, NOT_AVAILABLE, NOT_SUPPORTED, UNKNOWN, Device, Driver

from ullage import machine
from ullage.machine.gpu import PROCESS_LISTS


def h100(index: int = 0, **changes: object) -> Device:
    """Give a GPU on which two processes run, one of them drawing as well."""
    plain: dict[str, object] = {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": f"GPU-{index:08d}-b3b5-007e-2b55-79f2d0f2ebe5",
        "used": 4000 * MIB,
        "compute": [(100, 3000 * MIB), (7, 900 * MIB)],
        "graphics": [(7, 950 * MIB)],
    }
    return Device(**{**plain, **changes})  # type: ignore[arg-type]


def test_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([h100(), h100(1, used=0, compute=[], graphics=[])])
    driver.install(monkeypatch)
    found = machine.gpus()
    assert (found.driver, found.notes, driver.open) == ("580.95.05", (), 0)
    first, second = found.devices
    assert (first.index, first.name, first.uuid) == (0, "NVIDIA H100 80GB HBM3", driver.devices[0].uuid)
    assert (first.total, first.reserved, first.used) == (81559 * MIB, 551 * MIB, 4000 * MIB)
    assert first.free == (81559 - 551 - 4000) * MIB
    assert first.processes == (machine.GpuProcess(7, 950 * MIB), machine.GpuProcess(100, 3000 * MIB))
    assert (first.is_unified, first.numa_node, first.partitions) == (False, None, ())
    assert (second.index, second.processes, second.used) == (1, (), 0)


def test_a_driver_that_does_not_know_what_processes_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows in WDDM mode and WSL answer."""
    Driver([h100(compute=[(7, NOT_AVAILABLE)], graphics=[])]).install(monkeypatch)
    assert machine.gpus().devices[0].processes == (machine.GpuProcess(7, None),)


def test_an_old_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([h100()], version="470.57.02")
    driver.lacks = {"nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetNumaNodeId"} | {f"{name}_v3" for name in PROCESS_LISTS}
    driver.install(monkeypatch)
    found = machine.gpus()
    (device,) = found.devices
    assert (device.reserved, device.used) == (None, 4551 * MIB)
    assert device.processes is not None
    assert [row.pid for row in device.processes] == [7, 100]
    assert len(found.notes) == 1
    assert "does not tell reserved from used" in found.notes[0]


def test_partitions_have_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {slot: Device("NVIDIA A100 MIG 1g.5gb", f"MIG-{slot}", 4864 * MIB, 0, 12 * MIB) for slot in (0, 3)}
    Driver([h100(has_mig=True, partitions=parts)]).install(monkeypatch)
    found = machine.gpus()
    (device,) = found.devices
    assert [(part.index, part.uuid, part.total) for part in device.partitions] == [
        (0, "MIG-0", 4864 * MIB),
        (3, "MIG-3", 4864 * MIB),
    ]
    assert found.notes == ()


def test_mig_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver([h100(has_mig=True)]).install(monkeypatch)
    assert machine.gpus().devices[0].partitions == ()


REFUSED = {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED, "nvmlDeviceGetMemoryInfo_v2": NOT_SUPPORTED}


def test_a_gpu_without_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As DGX Spark (GB10) answers."""
    Driver([h100(name="NVIDIA GB10", refuses=REFUSED)]).install(monkeypatch)
    found = machine.gpus()
    (device,) = found.devices
    assert (device.is_unified, device.total, device.used, device.free) == (True, None, None, None)
    assert device.processes
    assert any("taken to share the host's" in note for note in found.notes)


def test_a_gpu_that_says_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver([h100(total=0, used=0, reserved=0)]).install(monkeypatch)
    (device,) = machine.gpus().devices
    assert (device.is_unified, device.total) == (True, None)


def test_a_gpu_that_is_lost_is_not_taken_for_unified(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = dict.fromkeys(REFUSED, LOST)
    Driver([h100(refuses=lost), h100(1)]).install(monkeypatch)
    found = machine.gpus()
    first, second = found.devices
    assert (first.total, first.is_unified) == (None, False)
    assert second.total == 81559 * MIB
    assert any("GPU 0" in note and "GPU is lost" in note for note in found.notes)


def functions() -> list[str]:
    """Name every function of the C library that stands in."""
    return sorted(name[1:] for name in vars(Driver) if name.startswith("_nvml"))


@pytest.mark.parametrize("code", [UNKNOWN, NOT_SUPPORTED, LOST])
@pytest.mark.parametrize("name", functions())
def test_no_failure_of_any_function_is_raised(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    driver = Driver([h100(has_mig=True, partitions={0: Device("part", "MIG-0")}, numa_node=1)])
    driver.refuses = {name: code}
    driver.install(monkeypatch)
    found = machine.gpus()
    is_second_choice = name == "nvmlDeviceGetMemoryInfo" or name.endswith("Processes_v2")
    assert found.notes or is_second_choice or code == NOT_SUPPORTED


@pytest.mark.parametrize("name", functions())
def test_no_missing_function_is_raised(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    driver = Driver([h100(has_mig=True, partitions={0: Device("part", "MIG-0")})])
    driver.lacks = {name}
    driver.install(monkeypatch)
    machine.gpus()


def test_a_name_that_is_no_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver([h100(name="NVIDIA \xff")]).install(monkeypatch)
    found = machine.gpus()
    assert (found.devices[0].name, len(found.notes)) == (None, 1)


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver([])
    driver.refuses = {"nvmlInitWithFlags": 9}
    driver.install(monkeypatch)
    found = machine.gpus()
    assert found.devices == ()
    assert found.notes == ("NVML cannot be used (Driver Not Loaded)",)
    assert driver.open == 0


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = machine.gpus()
    assert (found.driver, found.devices) == (None, ())
    assert "ullage[nvidia]" in found.notes[0]


def test_a_library_of_another_kind_is_noted() -> None:
    found = machine.gpus(ModuleType("empty"))
    assert found.devices == ()
    assert "NVML cannot be used" in found.notes[0]


def test_what_stands_in_has_the_functions_that_the_binding_calls() -> None:
    """A function that the binding does not call by this name, with so many arguments, would prove nothing."""
    called: dict[str, set[int]] = {}
    for function in ast.walk(ast.parse(Path(inspect.getfile(pynvml)).read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            named = {
                node.args[0].value
                for node in calls
                if getattr(node.func, "id", "") == "_nvmlGetFunctionPointer" and isinstance(node.args[0], ast.Constant)
            }
            counts = {len(node.args) for node in calls if getattr(node.func, "id", "") == "fn"}
            for name in named:
                called.setdefault(str(name), set()).update(counts)
    for name in functions():
        arguments = len(inspect.signature(getattr(Driver, f"_{name}")).parameters) - 1
        assert arguments in called[name], name
    assert pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value == NOT_AVAILABLE
    codes = (nvml_world.SUCCESS, NOT_SUPPORTED, nvml_world.NOT_FOUND, nvml_world.INSUFFICIENT_SIZE, LOST, UNKNOWN)
    names = (
        "SUCCESS",
        "ERROR_NOT_SUPPORTED",
        "ERROR_NOT_FOUND",
        "ERROR_INSUFFICIENT_SIZE",
        "ERROR_GPU_IS_LOST",
        "ERROR_UNKNOWN",
    )
    assert codes == tuple(getattr(pynvml, f"NVML_{name}") for name in names)
