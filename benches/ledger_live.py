"""What millions of live reservations take in Python, each form in a process of its own: resident memory, pages and all.

`python benches/ledger_live.py` prints all forms; `--json FILE` also writes them.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peers import ledger_c
from peers.ledger_python import tree_account

from ullage import Ledger

LIVE = 10_000_000
PATH = "host/gpu0/kv"


def resident() -> int:
    """Give this process's resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def ours() -> object:
    """Hold each by an object in a list."""
    account = Ledger(1 << 40).account(PATH)
    return [account.reserve(1) for _ in range(LIVE)]


def batch() -> object:
    """Hold all by one batch."""
    return Ledger(1 << 40).account(PATH).reserve_many(np.ones(LIVE, dtype=np.uint8).astype(np.int64))


def in_c() -> object:
    """Hold each by an object of the ledger in C."""
    account = ledger_c.account()
    return [account.reserve(1) for _ in range(LIVE)]


def in_python() -> object:
    """Hold each by an object of the ledger in Python."""
    account = tree_account()
    return [account.reserve(1) for _ in range(LIVE)]


FORMS: dict[str, Callable[[], object]] = {
    "objects in a list": ours,
    "a batch": batch,
    "objects of the ledger in C": in_c,
    "objects of the ledger in Python": in_python,
}


def each(form: str) -> float:
    """Measure a form in this process."""
    fill = FORMS[form]
    if form == "objects of the ledger in C":
        ledger_c.load()
    gc.disable()  # it would look at the list again and again, and frees nothing
    before = resident()
    held = fill()
    after = resident()
    del held
    return (after - before) / LIVE


def main() -> None:
    """Measure every form, each in a fresh process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--form", choices=FORMS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.form:
        print(each(given.form))  # noqa: T201 - for the parent
        sys.stdout.flush()
        os._exit(0)  # freeing millions of objects proves nothing
    rows = []
    for form in FORMS:
        command = [sys.executable, "-W", "ignore", __file__, "--form", form]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this file
        if done.returncode:
            print(f"{form}: {done.stderr.strip().splitlines()[-1:]}")  # noqa: T201
            continue
        rows.append({"form": form, "live": LIVE, "bytes_each": float(done.stdout)})
        print(f"{LIVE:,} x {form:<34} {rows[-1]['bytes_each']:.1f} B each")  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
