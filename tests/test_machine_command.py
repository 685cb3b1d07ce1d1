"""`ullage machine`: what it shows of children, GPUs and domains, and again every so often."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from child_world import ended
from click.testing import CliRunner, Result
from nvml_world import MIB, NOT_AVAILABLE, NOT_SUPPORTED, Device, Driver

from ullage import machine
from ullage.cli.app import app

ULLAGE = str(Path(sysconfig.get_path("scripts"), "ullage"))
WIDTHS = ["1", "40", "72", "80", "200"]


def run(*arguments: str, width: str = "100") -> Result:
    done = CliRunner(env={"COLUMNS": width}).invoke(app, ["machine", *arguments], prog_name="ullage")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done


def two_gpus() -> Driver:
    """Give a whole GPU, one in partitions, and one without memory of its own."""
    refused = dict.fromkeys(("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"), NOT_SUPPORTED)
    part = Device("NVIDIA A100 MIG 1g.5gb", "MIG-0", 4864 * MIB, 0, 12 * MIB)
    return Driver(
        [
            Device("NVIDIA H100", "GPU-0", used=900 * MIB, compute=[(7, 800 * MIB), (8, NOT_AVAILABLE)]),
            Device("NVIDIA A100", "GPU-1", has_mig=True, partitions={0: part}),
            Device("NVIDIA GB10", "GPU-2", refuses=refused),
        ]
    )


def test_keys_are_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    two_gpus().install(monkeypatch)
    found = json.loads(run("--json").stdout)
    assert set(found) == {
        "host_total", "host_available", "limit", "limit_source", "high", "used", "available", "reclaimable_cache",
        "swap", "notes", "process", "pressure", "groups", "family", "gpus", "unified", "domains",
    }  # fmt: skip
    assert set(found["family"]) == {"members", "rss", "uss", "pss", "swap", "notes"}
    assert found["family"]["members"][0]["pid"] == os.getpid()
    assert found["process"] == found["family"]["members"][0]["memory"]
    devices = found["gpus"]["devices"]
    assert [device["is_unified"] for device in devices] == [False, False, True]
    assert devices[0]["processes"] == [{"pid": 7, "used": 800 * MIB}, {"pid": 8, "used": None}]
    assert devices[1]["partitions"][0]["total"] == 4864 * MIB
    assert [row["path"] for row in found["domains"]["rows"]] == ["host", "gpu0", "gpu1", "gpu1/mig0"]
    for group in found["groups"]:
        assert {"version", "path", "limit", "high", "charged", "used", "peak", "events", "pressure"} <= set(group)
    assert len(found["notes"]) == len(set(found["notes"]))


def test_gpus_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    two_gpus().install(monkeypatch)
    text = run().stdout
    assert re.search(r"^gpu0 +█[·]+ +943\.72 MB", text, re.MULTILINE)
    assert re.search(r"^gpu1/mig0 ", text, re.MULTILINE)
    assert "processes 7 (838.86 MB), 8 (-)" in text
    assert "gpu2: NVIDIA GB10, works in the host's memory" in text
    assert re.search(r"^gpu0: 84\.94 GB", text, re.MULTILINE)


def test_children_are_shown() -> None:
    code = "block = bytearray(64 << 20); print(flush=True); input()"
    with subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        text = run().stdout
        child.communicate(b"\n")
    assert re.search(r"^This process and \d+ descendants? hold", text, re.MULTILINE)
    assert re.search(rf"^{child.pid} python\S* +[78]\d\.\d\d MB", text, re.MULTILINE)


@pytest.mark.parametrize("width", WIDTHS)
def test_any_width_will_do(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    two_gpus().install(monkeypatch)
    text = run(width=width).stdout
    assert max(map(len, text.splitlines())) <= max(int(width), 40)
    assert not re.search(r" $", text, re.MULTILINE)


def test_a_hostile_name_reaches_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver([Device("evil\x1b[31m\nname", "GPU-0")]).install(monkeypatch)
    text = run().stdout
    assert "\x1b" not in text
    assert r"evil\x1b[31m\nname" in text


def test_so_many_looks_as_objects_one_a_line() -> None:
    lines = run("--watch", "0.1", "--times", "3", "--json").stdout.splitlines()
    assert len(lines) == 3
    assert all(json.loads(line)["limit"] == machine.memory().limit for line in lines)


def test_a_pipe_gets_page_after_page() -> None:
    text = run("--watch", "0.1", "--times", "2").stdout
    assert text.count("can still be had.") == 2


@pytest.mark.parametrize("arguments", [["--watch", "0"], ["--watch", "-1"], ["--watch", "x"], ["--times", "0"]])
def test_a_senseless_rhythm_is_refused(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["machine", *arguments], prog_name="ullage")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")


def test_a_terminal_is_drawn_over_until_ctrl_c() -> None:
    ours, theirs = pty.openpty()
    with (
        subprocess.Popen(  # noqa: S603 - ours
            [ULLAGE, "machine", "--watch", "0.1"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "60"},
        ) as child,
        ended(child),
    ):
        os.close(theirs)
        shown = b""
        end = time.monotonic() + 120
        while shown.count(b"can still be had.") < 3:
            assert time.monotonic() < end, shown
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536)
        child.send_signal(signal.SIGINT)
        while select.select([ours], [], [], 5)[0]:
            assert time.monotonic() < end + 60, "it goes on"
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is gone
                break
            shown += part
            if not part:
                break
        assert child.wait(30) == 130
    os.close(ours)
    assert b"\x1b[1A" in shown, "the picture is drawn over"
    assert b"Traceback" not in shown
