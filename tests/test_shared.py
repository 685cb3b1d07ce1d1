"""One budget for many processes: what they see of each other, and that nobody's death costs anybody else a byte."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ullage import Ledger, SharedLedger
from ullage.errors import (
    AccountPathError,
    ArgumentError,
    BudgetExceeded,
    Holder,
    QuantityError,
    ReleasedError,
    SharedClosedError,
    SharedLedgerError,
    WaitTimeoutError,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared ledgers need Linux")

STORM = Path(__file__).with_name("shared_storm.py")
PATIENCE_S = 60.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SharedLedger]:
    """Give a shared ledger for 100 bytes in a file of its own."""
    with Ledger.shared(str(tmp_path / "ledger"), 100) as ledger:
        yield ledger


def python(code: str, ledger: SharedLedger) -> "subprocess.Popen[str]":
    """Start another process that runs `code` with the ledger open as `ledger`."""
    start = "import os, signal, sys, time\nfrom ullage import Ledger\nfrom ullage.errors import *\n"
    text = f"{start}ledger = Ledger.shared({str(ledger.path)!r})\n{code}"
    return subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own code


def said(process: "subprocess.Popen[str]") -> str:
    """Wait for one line of another process."""
    assert process.stdout
    return process.stdout.readline().strip()


def ended(process: "subprocess.Popen[str]") -> list[str]:
    """Wait for the end of another process that must end well; give what it printed."""
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    return out.splitlines()


@contextlib.contextmanager
def holder(ledger: SharedLedger, path: str, size: int) -> "Iterator[subprocess.Popen[str]]":
    """Run a process that holds `size` bytes until it is killed."""
    process = python(
        f"held = ledger.account({path!r}).reserve({size})\nprint('holds', flush=True)\ntime.sleep(600)", ledger
    )
    try:
        assert said(process) == "holds"
        yield process
    finally:
        process.kill()
        process.communicate()


# One budget.


def test_processes_see_each_other_s_bookings_accounts_and_limits(ledger: SharedLedger) -> None:
    account = ledger.account("gpu/model", 50)
    ours = account.reserve(20, label="weights")
    with holder(ledger, "gpu", 30) as process:
        assert (ledger.used, ledger.available, account.available) == (50, 50, 30)
        assert {row.path: (row.used, row.own, row.limit, row.processes) for row in ledger.snapshot()} == {
            "/": (50, 0, 100, {}),
            "gpu": (50, 30, None, {process.pid: 30}),
            "gpu/model": (20, 20, 50, {os.getpid(): 20}),
        }
        assert {(row.pid, row.bytes, row.reservations) for row in ledger.processes()} == {
            (os.getpid(), 20, 1),
            (process.pid, 30, 1),
        }
        with pytest.raises(BudgetExceeded) as caught:
            ledger.root.reserve(51)
        refusal = caught.value
        assert (refusal.account, refusal.requested, refusal.available, refusal.limit) == ("/", 51, 50, 100)
        assert refusal.holders == [
            Holder("gpu", f"pid {process.pid}", 30),
            Holder("gpu/model", f"pid {os.getpid()}", 20),
        ]
        assert [holder.reservations for holder in refusal.holders] == [1, 1]
        assert 0 < refusal.holders[0].age_s <= refusal.holders[1].age_s < PATIENCE_S
        assert [holder.bytes for holder in ledger.root.holders(1)] == [30]
    ours.release()
    assert ledger.peak == 50


def test_a_limit_set_in_one_process_holds_in_all(ledger: SharedLedger) -> None:
    code = "ledger.account('a', 7)\nledger.root.set_limit(40)\nprint(ledger.limit)"
    assert ended(python(code, ledger)) == ["40"]
    assert (ledger.limit, ledger.account("a").limit) == (40, 7)
    assert ledger.root.reserve(40).live
    with pytest.raises(BudgetExceeded):
        ledger.root.reserve(41)


def test_a_name_leads_every_process_to_the_same_ledger() -> None:
    name = f"test-{os.getpid()}"
    try:
        with Ledger.shared(name, "1KiB") as first, Ledger.shared(name) as second:
            held = first.account("a").reserve(24)
            assert (second.used, second.limit, first.path == second.path, held.account) == (24, 1024, True, "a")
            assert first.path.name == f"ullage-{os.geteuid()}-{name}"
            with pytest.raises(ArgumentError, match=r"exists with limit 1\.02 kB, not 5 B"):
                Ledger.shared(name, 5)
    finally:
        assert SharedLedger.unlink(name)
    assert not SharedLedger.unlink(name)


def test_a_ledger_travels_to_a_worker_as_its_path(ledger: SharedLedger) -> None:
    context = multiprocessing.get_context("spawn")
    held = ledger.root.reserve(60)
    with context.Pool(1) as pool:
        assert pool.apply(_asked, (ledger,)) == (60, 40)
    assert pickle.loads(pickle.dumps(ledger)).used == held.bytes == 60  # noqa: S301 - our own bytes


def _asked(ledger: SharedLedger) -> tuple[int, int | None]:
    return ledger.used, ledger.available


def test_a_reservation_is_resized_in_one_step_and_released_once(ledger: SharedLedger) -> None:
    account = ledger.account("a")
    with account.reserve("60", label="x") as held:
        held.resize(100)
        with pytest.raises(BudgetExceeded):
            held.resize(101)
        held.resize(1)
        assert (held.bytes, held.label, held.account, held.live, ledger.used) == (1, "x", "a", True, 1)
    assert (held.live, held.bytes, held.release(), ledger.used, ledger.peak) == (False, 0, False, 0, 100)
    with pytest.raises(ReleasedError):
        held.resize(5)
    dropped = account.reserve(5)
    assert ledger.used == 5
    del dropped
    assert ledger.used == 0


def test_a_limit_may_fall_below_what_is_booked(ledger: SharedLedger) -> None:
    held = ledger.root.reserve(80)
    ledger.root.set_limit(50)
    assert (ledger.snapshot()[0].over_by, ledger.available) == (30, 0)
    with pytest.raises(BudgetExceeded):
        ledger.root.reserve(1)
    ledger.root.set_limit(None)
    assert (ledger.limit, ledger.available) == (None, None)
    assert ledger.account("x").reserve(1 << 40).live
    assert held.release()


# Deaths.


def test_what_a_killed_process_held_refuses_nobody(ledger: SharedLedger) -> None:
    ours = ledger.root.reserve(10)
    with holder(ledger, "a/b", 90) as process:
        with pytest.raises(BudgetExceeded):
            ledger.root.reserve(90)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        assert ledger.root.reserve(90).live
        assert [row.pid for row in ledger.processes()] == [os.getpid()]
    assert (ledger.used, ours.live) == (10, True)


def test_the_killed_are_gone_from_what_is_read_within_a_second(ledger: SharedLedger) -> None:
    with holder(ledger, "a", 90) as process:
        process.kill()
        process.wait()
        time.sleep(1)
        assert (ledger.used, ledger.available, ledger.account("a").used) == (0, 100, 0)


def test_a_forked_child_books_for_itself_and_leaves_its_parent_s_alone(ledger: SharedLedger) -> None:
    code = """
ours = ledger.account("a").reserve(30, "ours")
pid = os.fork()
if pid == 0:
    assert (ours.live, ours.bytes, ours.release(), ledger.used) == (False, 0, False, 30)
    try:
        ours.resize(5)
    except InheritedError as error:
        assert (error.account, error.label, error.pid) == ("a", "ours", os.getppid())
        theirs = ledger.account("a").reserve(20)
        del ours
        print(sorted(row.bytes for row in ledger.processes() if row.bytes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0)
assert ledger.root.reserve(70).live
print(ours.live, ours.bytes, ledger.used, ours.release(), ledger.used)
"""
    assert ended(python(code, ledger)) == ["[20, 30]", "True 30 30 True 0"]


def test_a_process_id_that_was_used_again_is_not_its_predecessor(ledger: SharedLedger) -> None:
    last = Path("/proc/sys/kernel/ns_last_pid")
    try:
        last.write_text(last.read_text())
    except OSError:
        pytest.skip("only root may choose the next process id")
    code = f"""
for attempt in range(100):
    first = os.fork()
    if first == 0:
        held = ledger.root.reserve(90)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(first, 0)
    time.sleep(0.02)  # start times are counted in hundredths of a second
    open({str(last)!r}, "w").write(str(first - 1))
    second = os.fork()
    if second == 0:
        time.sleep(60)
    fits = ledger.root.reserve(100).live
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)
    if first == second:
        break
print(first == second, fits)
"""
    assert ended(python(code, ledger)) == ["True True"]


def test_everything_of_a_process_goes_with_its_end(ledger: SharedLedger) -> None:
    code = "import ullage\nullage.kept = ledger.root.reserve(90)\nprint(ledger.used)"
    assert ended(python(code, ledger)) == ["90"]
    assert ledger.used == 0, "closed at exit: nobody had to look for the dead"


@pytest.mark.parametrize("spawned", ["0.02", "1"])
def test_a_storm_of_kills_leaves_the_sum_of_the_living(spawned: str) -> None:
    kills = 300 if spawned == "0.02" else 12
    line = [sys.executable, str(STORM), "--kills", str(kills), "--seed", "1", "--spawned", spawned]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S * 3, check=False)  # noqa: S603 - our own script
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] >= kills
    assert counts["booked at checks"] > counts["checks"] // 2


# Waiting.


def test_a_request_waits_for_another_process(ledger: SharedLedger) -> None:
    code = """
held = ledger.root.reserve(90)
print("holds", flush=True)
sys.stdin.readline()
held.release()
time.sleep(60)
"""
    process = python(code, ledger)
    try:
        assert said(process) == "holds"
        with pytest.raises(WaitTimeoutError) as caught:
            ledger.root.reserve(20, wait=0.05)
        assert (caught.value.available, caught.value.waited_s >= 0.05) == (10, True)
        assert process.stdin
        threading.Timer(0.1, lambda: print(file=process.stdin, flush=True)).start()
        assert ledger.root.reserve(20, wait=PATIENCE_S).live
    finally:
        process.kill()
        process.communicate()


def test_a_request_that_waits_for_the_dead_is_served_within_a_second(ledger: SharedLedger) -> None:
    with holder(ledger, "a", 90) as process:
        threading.Timer(0.1, process.kill).start()
        begun = time.monotonic()
        assert ledger.root.reserve(20, wait=PATIENCE_S).live
        assert time.monotonic() - begun < PATIENCE_S / 2, "it did not wait for its time to run out"


async def test_a_request_waits_without_blocking_the_loop(ledger: SharedLedger) -> None:
    held = ledger.root.reserve(90)
    turns = 0

    async def release_later() -> None:
        nonlocal turns
        for _ in range(10):
            await asyncio.sleep(0.005)
            turns += 1
        held.release()

    task = asyncio.create_task(release_later())
    with await ledger.root.reserve_async(20, label="x", timeout=PATIENCE_S) as granted:
        assert (turns, granted.bytes, granted.label) == (10, 20, "x")
        with pytest.raises(WaitTimeoutError) as caught:
            await ledger.root.reserve_async(81, timeout=0.02)
        assert (caught.value.available, caught.value.waited_s >= 0.02) == (80, True)
    await task
    with pytest.raises(BudgetExceeded):
        await ledger.root.reserve_async(101)


async def test_a_cancelled_request_is_in_nobody_s_way(ledger: SharedLedger) -> None:
    held = ledger.root.reserve(50)
    waiting = asyncio.create_task(ledger.root.reserve_async(60))
    await asyncio.sleep(0.01)
    for _ in range(8):
        assert ledger.root.reserve(50).live
    with pytest.raises(BudgetExceeded):
        ledger.root.reserve(50)  # passed often enough
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ledger.root.reserve(50).live
    assert held.release()


def test_an_interrupt_ends_the_wait(ledger: SharedLedger) -> None:
    code = """
held = ledger.root.reserve(90)
print("waits", flush=True)
try:
    ledger.root.reserve(20, wait=600)
except KeyboardInterrupt:
    print("interrupted")
"""
    process = python(code, ledger)
    assert said(process) == "waits"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert ended(process) == ["interrupted"]


def test_threads_never_pass_the_limit_together(ledger: SharedLedger) -> None:
    account = ledger.account("a/b")
    stop = time.monotonic() + 0.5
    seen: list[int] = []

    def book(size: int) -> None:
        while time.monotonic() < stop:
            with contextlib.suppress(BudgetExceeded), account.reserve(size) as held:
                seen.append(ledger.used)
                held.resize(size // 2)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=book, args=(size,)) for size in (30, 50, 70, 90)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert (ledger.used, 0 < max(seen) <= 100, ledger.peak <= 100) == (0, True, True)


# The end, and what is refused.


def test_closing_gives_back_and_ends_every_use(ledger: SharedLedger) -> None:
    other = Ledger.shared(str(ledger.path))
    held, account = other.root.reserve(60), other.account("a")
    assert ledger.used == 60
    assert (other.close(), other.close(), ledger.used, held.live, held.release()) == (True, False, 0, False, False)
    for use in (lambda: other.used, lambda: account.reserve(1), other.snapshot, lambda: account.set_limit(5)):
        with pytest.raises(SharedClosedError) as caught:
            use()
        assert Path(caught.value.path) == ledger.path
    assert "closed" in repr(other)


def test_a_ledger_that_nobody_has_open_takes_new_limits(tmp_path: Path) -> None:
    name = str(tmp_path / "ledger")
    with Ledger.shared(name, 100) as ledger:
        ledger.account("a", 50)
        assert ledger.root.reserve(70).live
    with Ledger.shared(name) as ledger:
        assert (ledger.limit, ledger.account("a").limit, ledger.used, ledger.peak) == (100, 50, 0, 0)
    with Ledger.shared(name, 200) as ledger:
        assert (ledger.limit, ledger.account("a", 60).limit) == (200, 60)


def test_the_file_is_private_and_links_are_not_followed(ledger: SharedLedger, tmp_path: Path) -> None:
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    link = tmp_path / "link"
    link.symlink_to(ledger.path)
    _refused(link, "symbolic link")
    ledger.path.chmod(0o644)
    _refused(ledger.path, "permissions are 644")
    _refused(tmp_path, "not a regular file")


def _refused(path: Path, reason: str = ".") -> SharedLedgerError:
    with pytest.raises(SharedLedgerError, match=reason) as caught:
        Ledger.shared(str(path))
    assert Path(caught.value.path) == path
    assert isinstance(caught.value, ValueError)
    return caught.value


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger.shared(str(path)).close()
    good = path.read_bytes()
    for offset in range(0, 88, 3):
        path.write_bytes(good[:offset] + bytes([good[offset] ^ 0x55]) + good[offset + 1 :])
        assert _refused(path).offset is not None
    for length in (1, 8, 88, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        _refused(path, "bytes, not")
    path.write_bytes(b"a thesis " * 1000)
    _refused(path, "not a shared ledger")
    with pytest.raises(SharedLedgerError):
        SharedLedger.unlink(str(path))
    assert path.exists()
    path.write_bytes(good)
    Ledger.shared(str(path)).close()


@pytest.mark.parametrize(
    "name", ["", "a/b", "a b", "..\\a", "n" * 101, "\N{SNOWMAN}", "/no/such/folder/x", "/dev/null"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(SharedLedgerError):
        Ledger.shared(name)


def test_bad_arguments_are_refused(ledger: SharedLedger) -> None:
    for path in ("a//b", "/a", "a\n", "/".join("a" * 33), "\N{SNOWMAN}" * 90):
        with pytest.raises(AccountPathError):
            ledger.account(path)
    with pytest.raises(QuantityError):
        ledger.root.reserve(-1)
    for wait in (-1, float("nan")):
        with pytest.raises(ArgumentError):
            ledger.root.reserve(1, wait=wait)
        with pytest.raises(ArgumentError):
            _ = ledger.root.reserve_async(1, timeout=wait)
    assert ledger.root.reserve(1, wait=float("inf")).live
    ledger.account("a", 5)
    with pytest.raises(ArgumentError, match="exists with limit 5 B, not 6 B"):
        ledger.account("a", 6)


def test_room_for_accounts_ends_with_an_error(ledger: SharedLedger) -> None:
    for number in range(511):
        ledger.account(f"a{number}")
    with pytest.raises(SharedLedgerError, match="all 512 accounts"):
        ledger.account("one more")
    assert len(ledger.snapshot()) == 512


def test_room_for_processes_ends_with_an_error(ledger: SharedLedger) -> None:
    opened = [Ledger.shared(str(ledger.path)) for _ in range(255)]
    with pytest.raises(SharedLedgerError, match="all 256 places"):
        Ledger.shared(str(ledger.path))
    opened.pop().close()
    Ledger.shared(str(ledger.path)).close()
    assert [(row.pid, row.bytes) for row in ledger.processes()] == [(os.getpid(), 0)]
