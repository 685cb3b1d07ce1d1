"""Opening damaged models in a process of its own, which may take little memory and little time.

Run as a program it is that process: it reads cases from stdin, opens each, and says which misbehaved.
"""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ullage
from ullage.errors import ArgumentError, ByteOverflowError, ModelFileError, UnreadableError

STATM = Path("/proc/self/statm")

MEMORY = 512 << 20
"""What the process may take beyond what it has when all is imported: hundreds of times what any case justifies."""

PATIENCE_S = 5
"""What one case may take before the process is ended."""

SLOW_S = 2
"""What one case may take: most take a ten-thousandth of it."""

Files = Mapping[str, bytes]
"""Contents by path below a folder; a content of `-> target` is a symbolic link."""


class Case(NamedTuple):
    """Files, and which of them is opened."""

    label: str
    files: Files
    opened: str


def misbehaving(cases: Iterable[Case]) -> list[str]:
    """Open every case, estimate and judge what opens, and describe those that end otherwise than they should."""
    return judged_apart(__file__, [tuple(case) for case in cases])


def judged_apart(program: str, cases: list[Any]) -> list[str]:
    """Hand `cases` to `program` in a process of its own, and give what it says of them, its death included."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - one of these very modules
            [sys.executable, program, folder], input=pickle.dumps(cases), capture_output=True, check=False
        )
        found = done.stdout.decode().splitlines()
        if done.returncode != 0:
            last = (Path(folder) / "last").read_text()
            found.append(f"{last}: died with {done.returncode}: {done.stderr.decode()[-500:]}")
    return found


def cut(seed: Case) -> Iterator[Case]:
    """End the opened file after every byte."""
    data = seed.files[seed.opened]
    for end in range(len(data)):
        yield changed(seed, f"cut at {end}", data[:end])


def flipped(seed: Case, bits: Iterable[int] = range(8)) -> Iterator[Case]:
    """Turn every bit of the opened file, one at a time."""
    data = seed.files[seed.opened]
    for place in range(len(data)):
        for bit in bits:
            value = bytes([data[place] ^ 1 << bit])
            yield changed(seed, f"bit {bit} of byte {place}", data[:place] + value + data[place + 1 :])


HUGE = (
    (1 << 31).to_bytes(4, "little"),
    (1 << 32).to_bytes(8, "little"),
    (1 << 60).to_bytes(8, "little"),
    (1 << 63).to_bytes(8, "little"),
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x80\x80\x80\x80\x08",
    b"\xff" * 9 + b"\x01",
)
"""Numbers that lie, little-endian and as the variable-length integers of protocol buffers."""


def lying(seed: Case) -> Iterator[Case]:
    """Put a huge number over every place of the opened file."""
    data = seed.files[seed.opened]
    for place in range(len(data)):
        for number in HUGE:
            value = data[:place] + number + data[place + len(number) :]
            yield changed(seed, f"{number.hex()} at {place}", value[: max(len(data), place + len(number))])


def changed(seed: Case, what: str, data: bytes) -> Case:
    """Give `seed` with other contents of the opened file."""
    return Case(f"{seed.label}, {what}", {**seed.files, seed.opened: data}, seed.opened)


def write(folder: Path, files: Files) -> None:
    """Lay the files of a case out below `folder`."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data.startswith(b"-> "):
            path.unlink(missing_ok=True)
            path.symlink_to(data[3:].decode())
        else:
            path.write_bytes(data)


def _judge(path: Path) -> str | None:
    """Open what lies at `path`; give what is wrong with how that ends, or nothing."""
    try:
        model = ullage.open_model(path)
    except (ModelFileError, UnreadableError) as error:
        return _misdescribed(error, path)
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        return f"raises {type(error).__name__}: {error}"
    try:
        ullage.fit(ullage.footprint(model), 1)
        total = ullage.footprint(model, context=1 << 32, batch=1 << 20).total
    except (ArgumentError, ByteOverflowError):
        return None
    except BaseException as error:  # noqa: BLE001 - likewise
        return f"estimating raises {type(error).__name__}: {error}"
    return None if total.lo <= total.best <= total.hi else f"total {total}"


def _misdescribed(error: ModelFileError | UnreadableError, path: Path) -> str | None:
    """Tell what an error lacks: the file, and a reason that can be read."""
    if not Path(error.path).is_relative_to(path.parent):
        return f"names {error.path}"
    said = str(error).replace(error.path, "")
    return None if said and len(said) < 1000 else f"says {said}"


def _main(folder: Path) -> None:
    ullage.fit("1GB", "2GB")
    cases = [Case(*case) for case in pickle.load(sys.stdin.buffer)]  # noqa: S301 - from this very module
    if STATM.exists():
        limit = int(STATM.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before: Files = {}
    last = os.open(folder / "last", os.O_WRONLY | os.O_CREAT)
    for case in cases:
        os.pwrite(last, json.dumps(case.label).encode().ljust(300), 0)
        place = folder / "case"
        if before.keys() != case.files.keys():
            shutil.rmtree(place, ignore_errors=True)
            before = {}
        write(place, {name: data for name, data in case.files.items() if before.get(name) != data})
        before = case.files
        start = time.monotonic()
        signal.alarm(PATIENCE_S)
        wrong = _judge(place / case.opened)
        signal.alarm(0)
        if wrong:
            sys.stdout.write(f"{case.label}: {wrong}\n")
        if time.monotonic() - start > SLOW_S:
            sys.stdout.write(f"{case.label}: took {time.monotonic() - start:.1f} s\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
