"""Templates: workers are forked from them, and are born into the same world as if the program had started them."""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import template_world as world
from pool_world import PATIENCE_S, in_thread, row, state, until

from ullage import Ledger, Pool
from ullage.errors import ArgumentError, LoadFailedError, WorkerDiedError
from ullage.isolation import spawner
from ullage.isolation.heritage import CAN_FORK

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux")


def children() -> list[psutil.Process]:
    return psutil.Process().children()


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Give a pool; with it all its processes and files end."""
    before, files = set(children()), psutil.Process().num_fds()
    pool = Pool(Ledger("1GB"))
    yield pool
    pool.close(PATIENCE_S)
    assert set(children()) <= before
    gc.collect()
    assert psutil.Process().num_fds() <= files


def register(pool: Pool, name: str = "a", **options: Any) -> None:
    settings: dict[str, Any] = {"load": world.load_facts, "footprint": "100MB", "isolation": "process", "retries": 0}
    pool.register(name, **settings | options)


def facts(pool: Pool, name: str = "a") -> Any:
    """Load a model anew; gives what its worker says of itself."""
    if row(pool, name)["state"] == "ready":
        pool.evict(name)
        until(lambda: state(pool, name) == "cold")
    with pool.lease_sync(name, timeout=PATIENCE_S) as model:
        return model.copy()


def test_workers_have_one_template_without_threads(pool: Pool) -> None:
    register(pool)
    register(pool, "b")
    one, other = facts(pool), facts(pool, "b")
    assert one["parent"] == other["parent"] != os.getpid()
    template = psutil.Process(one["parent"])
    assert template.ppid() == os.getpid()
    assert (template.num_threads(), len(template.children())) == (1, 2)
    assert one["random"] != other["random"]


def test_a_worker_is_born_into_the_world_of_the_program(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(pool)
    born = facts(pool)
    assert born["environment"].items() >= os.environ.items()
    assert born["path"] == sys.path
    assert (born["folder"], born["group"], born["main"]) == (str(Path.cwd()), True, True)
    hears = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # as a process in the background does
    assert (born["interrupt"], born["child"], born["pipe"], born["blocked"]) == (hears, True, True, [])
    assert born["open"][:3] == [0, 1, 2]
    assert len(born["open"]) == 4, "its connection, and nothing else"
    # Whatever changes, the next one is born into that.
    monkeypatch.setenv("OWN_VARIABLE", "\udcff\N{SNOWMAN}")
    monkeypatch.delenv("PATH")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    after = facts(pool)
    assert after["environment"]["OWN_VARIABLE"] == "\udcff\N{SNOWMAN}"
    assert "PATH" not in after["environment"]
    assert (after["folder"], after["path"][0]) == (str(tmp_path), str(tmp_path))
    assert after["parent"] == born["parent"], "which the same template can do"


@pytest.mark.parametrize("change", ["umask", "limit", "PYTHONHASHSEED"])
def test_what_only_a_start_passes_on_is_passed_on(pool: Pool, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource  # noqa: PLC0415 - not on every system

    register(pool)
    register(pool, "b")
    born = facts(pool)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    umask = os.umask(0o22)
    try:
        os.umask(0o27 if change == "umask" else umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1 if change == "limit" else soft, hard))
        if change.isupper():
            monkeypatch.setenv(change, "7")
        after = facts(pool, "b")
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert after["parent"] != born["parent"], "the template is of another world"
    assert after["umask"] == (0o27 if change == "umask" else umask)
    assert after["files"] == (soft - 1 if change == "limit" else soft)
    assert after["environment"].get("PYTHONHASHSEED") == ("7" if change.isupper() else born["environment"].get(change))
    until(lambda: len(children()) == 2)
    facts(pool)  # the last worker of the old template is gone
    until(lambda: born["parent"] not in {child.pid for child in children()})


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can change its groups")
def test_privileges_given_up_are_given_up_by_workers_too(tmp_path: Path) -> None:
    program = (
        "import os, ullage\n"
        "pool = ullage.Pool(ullage.Ledger('1GB'))\n"
        "for name in 'ab':\n"
        "    pool.register(name, load='template_world:load_facts', footprint='50MB', isolation='process')\n"
        "with pool.lease_sync('a') as a: before = a['groups']\n"
        "os.setgroups([12345])\n"
        "with pool.lease_sync('b') as b: after = b['groups']\n"
        "print(before, after, flush=True); os._exit(0)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.stdout.endswith(" [12345]\n"), done.stderr
    assert not done.stdout.startswith("[12345]")


def test_outputs_are_those_of_the_moment(
    pool: Pool, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    register(pool, load=world.load_loudly, load_args=(str(tmp_path / "trace"),))
    with pool.lease_sync("a", timeout=PATIENCE_S):
        assert capfd.readouterr().out == "loaded\n"
    pool.evict("a")
    until(lambda: state(pool, "a") == "cold")
    assert capfd.readouterr().out == "left in the buffer\n", "what it wrote last is not lost"
    assert (tmp_path / "trace").read_text(encoding="ascii") == "at exit"


# Preloading.


def test_modules_are_imported_once_for_many_workers(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"
    monkeypatch.setenv("PRELOAD_NOTE", str(note))
    for name in "abc":
        register(pool, name, preload=["numpy", "preload_slowly"])
    register(pool, "plain")
    found = [facts(pool, name) for name in "abc"]
    assert all(one["imported"] == ["numpy", "preload_slowly"] for one in found)
    assert note.read_text(encoding="ascii") == "imported\n"
    assert len({one["numpy"] for one in found}) == len({one["random"] for one in found}) == 3, "each has a seed"
    plain = facts(pool, "plain")
    assert plain["imported"] == ["numpy"], "by its loader"
    assert plain["parent"] != found[0]["parent"]
    monkeypatch.setenv("PRELOAD_NOTE", os.devnull)
    assert facts(pool)["parent"] != found[0]["parent"], "modules read the environment when they are imported"


@pytest.mark.parametrize(
    ("preload", "kind", "text"),
    [
        (["no_such_module"], ModuleNotFoundError, "no_such_module"),
        (["preload_threads"], ArgumentError, "preload: preload_threads: 1 thread runs once"),
        (["preload_slowly"], TimeoutError, "preload_slowly was not imported within 3 s"),
    ],
)
def test_what_cannot_be_preloaded_fails_the_load(
    pool: Pool, preload: list[str], kind: type, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(children())
    monkeypatch.setenv("PRELOAD_S", "60")
    register(pool, preload=preload, load_timeout=3)
    with pytest.raises(LoadFailedError) as caught, pool.lease_sync("a", timeout=PATIENCE_S):
        pass
    assert isinstance(caught.value.__cause__, kind)
    assert text in str(caught.value.__cause__)
    assert (set(children()), pool.account.used) == (before, 0)


@pytest.mark.parametrize("preload", ["numpy", ["no module"], [3], 7, ["a..b"]])
def test_bad_names_are_refused_at_once(pool: Pool, preload: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        register(pool, preload=preload)
    assert caught.value.name == "preload"
    with pytest.raises(ArgumentError, match="worker processes"):
        pool.register("t", load=dict, footprint=1, preload=["numpy"])


# Deaths.


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_template_that_is_killed_takes_its_workers_along_and_is_replaced(pool: Pool, number: signal.Signals) -> None:
    register(pool, max_concurrency=2)
    register(pool, "b")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model, pool.lease_sync("b", timeout=PATIENCE_S) as other:
        template = psutil.Process(model.get("parent"))
        template.send_signal(number)
        until(lambda: (state(pool, "a"), state(pool, "b")) == ("cold", "cold"))
        assert pool.account.used == 0
        for one in (model, other):
            with pytest.raises(WorkerDiedError) as caught:
                one.get("parent")
            assert caught.value.signal == signal.SIGKILL
        with pool.lease_sync("a", timeout=PATIENCE_S) as anew:
            assert anew.get("parent") != template.pid
    until(lambda: not template.is_running() or template.status() == psutil.STATUS_ZOMBIE)


def test_an_idle_template_that_was_killed_is_noticed_by_whoever_needs_it(pool: Pool) -> None:
    register(pool)
    for _ in range(3):
        psutil.Process(facts(pool)["parent"]).kill()
        until(lambda: state(pool, "a") == "cold")
    assert facts(pool)["group"]


def test_a_template_that_answers_no_more_is_replaced(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    register(pool)
    template = psutil.Process(facts(pool)["parent"])
    pool.evict("a")
    until(lambda: state(pool, "a") == "cold")
    monkeypatch.setattr(spawner, "FORK_S", 2.0)
    template.suspend()
    assert facts(pool)["parent"] != template.pid
    until(lambda: not template.is_running() or template.status() == psutil.STATUS_ZOMBIE)


def test_many_at_once_from_many_threads(pool: Pool) -> None:
    for number in range(12):
        register(pool, f"m{number}", footprint="20MB", preload=["numpy"] if number % 2 else ())
    dice = random.Random(1)  # noqa: S311 - repeatable

    def ask() -> int:
        done = 0
        for _ in range(10):
            name = f"m{dice.randrange(12)}"
            with pool.lease_sync(name, timeout=PATIENCE_S) as model:
                done += bool(model.get("group"))
            pool.evict(name)
        return done

    assert [asking.result(60) for asking in [in_thread(ask) for _ in range(6)]] == [10] * 6


def test_a_forked_program_has_templates_of_its_own() -> None:
    program = (
        "import os, sys, ullage, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "def use():\n"
        "    with ullage.Pool(ullage.Ledger('1GB')) as pool:\n"
        "        pool.register('a', load='template_world:load_facts', footprint='50MB', isolation='process')\n"
        "        with pool.lease_sync('a') as a: return a['parent']\n"
        "pool = ullage.Pool(ullage.Ledger('1GB'))\n"
        "pool.register('a', load='template_world:load_facts', footprint='50MB', isolation='process')\n"
        "with pool.lease_sync('a') as a: mine = a['parent']\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if use() not in (mine, os.getpid()) else 1)\n"
        "code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "with pool.lease_sync('a') as a: assert a['parent'] == mine\n"
        "pool.close(); print(code)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_ctrl_c_is_for_the_program_alone() -> None:
    program = (
        "import signal, time, ullage\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "pool = ullage.Pool(ullage.Ledger('1GB'))\n"
        "pool.register('a', load='template_world:load_facts', footprint='50MB', isolation='process')\n"
        "with pool.lease_sync('a') as a:\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print(a['group'], flush=True)\n"
        "pool.close()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does
        out, errors = started.communicate(timeout=60)
    assert (started.returncode, out, errors) == (0, "True\n", "")


def test_a_program_that_ends_without_closing_says_nothing() -> None:
    program = (
        "import ullage\n"
        "pool = ullage.Pool(ullage.Ledger('1GB'))\n"
        "pool.register('a', load='template_world:load_facts', footprint='50MB', isolation='process')\n"
        "with pool.lease_sync('a') as a: print(a['parent'], flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    until(lambda: not psutil.pid_exists(int(done.stdout)) or psutil.Process(int(done.stdout)).status() == "zombie")
    assert "Traceback" not in done.stderr


def test_where_workers_cannot_be_forked_they_are_started(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawner, "CAN_FORK", False)
    register(pool, preload=["numpy"])
    for _ in range(2):
        assert facts(pool)["parent"] == os.getpid()
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        os.kill(row(pool, "a")["pid"], signal.SIGKILL)
        until(lambda: state(pool, "a") == "cold")
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            model.get("parent")
    assert facts(pool)["group"]


def test_a_module_written_just_now_is_found(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(5):
        (tmp_path / f"written_{number}.py").write_text("def load():\n    return {'is': 'here'}\n", encoding="ascii")
        register(pool, f"m{number}", load=f"written_{number}:load")
        with pool.lease_sync(f"m{number}", timeout=PATIENCE_S) as model:
            assert model["is"] == "here"


def test_fewer_arenas_where_address_space_is_bounded(pool: Pool) -> None:
    register(pool, load="isolation_world:load", load_args=(10,), memory_limit="200MB")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        waiting = [in_thread(model.wait) for _ in range(4)]  # each in a thread of the worker
        assert model.echo(np.zeros(1000)).sum() == 0
        model.open()
        assert [one.result(PATIENCE_S) for one in waiting] == ["through"] * 4


def test_pools_share_templates_and_the_last_one_ends_them() -> None:
    before = set(children())
    one, other = Pool(Ledger("1GB")), Pool(Ledger("1GB"))
    register(one)
    register(other)
    parents = {facts(one)["parent"], facts(other)["parent"]}
    one.close(PATIENCE_S)
    assert (len(parents), facts(other)["parent"]) == (1, parents.pop())
    other.close(PATIENCE_S)
    assert set(children()) <= before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ullage-pool")]
