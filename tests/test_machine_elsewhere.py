"""Macs and Windows, as far as their answers can be played back here."""

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage import machine
from ullage.machine.job_object import LAYOUT, job_limits
from ullage.machine.probe import Probe

GIB = 2**30
MAC = {"hw.memsize": str(32 * GIB), "hw.optional.arm64": "1\n"}


@pytest.mark.parametrize(
    ("answers", "limit", "source"),
    [
        ({}, 32 * GIB * 2 // 3, "two thirds of memory, by rule"),
        ({"iogpu.wired_limit_mb": "0"}, 32 * GIB * 2 // 3, "two thirds of memory, by rule"),
        ({"iogpu.wired_limit_mb": "28672"}, 28 * GIB, "iogpu.wired_limit_mb"),
        ({"iogpu.wired_limit_mb": "999999"}, 32 * GIB, "iogpu.wired_limit_mb"),
        ({"debug.iogpu.wired_limit": str(20 * GIB)}, 20 * GIB, "debug.iogpu.wired_limit"),
        ({"hw.memsize": str(36 * GIB)}, 24 * GIB, "two thirds of memory, by rule"),
        ({"hw.memsize": str(64 * GIB)}, 48 * GIB, "three quarters of memory, by rule"),
        ({"iogpu.wired_limit_mb": "garbage"}, 32 * GIB * 2 // 3, "two thirds of memory, by rule"),
    ],
)
def test_what_the_gpu_of_a_mac_may_take(answers: dict[str, str], limit: int, source: str) -> None:
    found = machine.unified_memory((MAC | answers).get)
    assert found is not None
    assert (found.gpu_limit, found.gpu_limit_source) == (limit, source)


@pytest.mark.parametrize(
    "answers", [{}, {"hw.memsize": "x", "hw.optional.arm64": "1"}, {"hw.memsize": str(32 * GIB)}, {"hw.memsize": "0"}]
)
def test_what_is_no_mac_with_apple_silicon_has_none(answers: dict[str, str]) -> None:
    assert machine.unified_memory(answers.get) is None


@given(st.dictionaries(st.sampled_from([*MAC, "iogpu.wired_limit_mb", "debug.iogpu.wired_limit"]), st.text()))
def test_no_answer_of_sysctl_is_raised(answers: dict[str, str]) -> None:
    found = machine.unified_memory((MAC | answers).get)
    assert found is None or 0 < found.gpu_limit <= found.total


def test_this_machine_is_no_mac_unless_it_is() -> None:
    machine.unified_memory()


class Basic(ctypes.Structure):
    """`JOBOBJECT_BASIC_LIMIT_INFORMATION`."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_longlong),
        ("PerJobUserTimeLimit", ctypes.c_longlong),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class Extended(ctypes.Structure):
    """`JOBOBJECT_EXTENDED_LIMIT_INFORMATION`."""

    _fields_ = (
        ("BasicLimitInformation", Basic),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


def job(flags: int, process: int = 3 * GIB, whole: int = 5 * GIB) -> bytes:
    """Give what Windows would answer."""
    found = Extended()
    found.BasicLimitInformation.LimitFlags = flags
    found.BasicLimitInformation.SchedulingClass = found.BasicLimitInformation.ActiveProcessLimit = 2**32 - 1
    found.ProcessMemoryLimit, found.JobMemoryLimit = process, whole
    found.PeakProcessMemoryUsed = found.PeakJobMemoryUsed = 7 * GIB
    return bytes(found)


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        (0, {}),
        (0x100, {"job object ProcessMemoryLimit": 3 * GIB}),
        (0x200, {"job object JobMemoryLimit": 5 * GIB}),
        (0x2300, {"job object ProcessMemoryLimit": 3 * GIB, "job object JobMemoryLimit": 5 * GIB}),
        (0x2000, {}),
    ],
)
def test_limits_of_a_job_count_with_their_flags(flags: int, limits: dict[str, int]) -> None:
    assert len(job(flags)) == LAYOUT.size
    found = job_limits(Probe("/"), lambda: job(flags), lambda: GIB)
    assert {level.source: level.limit for level in found} == limits
    assert {level.used for level in found} <= {GIB}


def test_a_job_that_cannot_be_read_is_noted() -> None:
    def refuse() -> bytes:
        raise OSError("QueryInformationJobObject failed")

    for query in (refuse, lambda: b"", lambda: b"\x00" * 143):
        probe = Probe("/")
        assert job_limits(probe, query, lambda: GIB) == []
        assert "the job object is unreadable" in probe.notes[0]
