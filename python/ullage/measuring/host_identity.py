"""Which machine this is, without telling anybody: a hash that says only whether two measurements are of one."""

import contextlib
import hashlib
import os
import secrets
import uuid
from pathlib import Path

from ullage import catalog
from ullage.errors import UnknownDeviceError
from ullage.folders import cache_folder

__all__ = ["device_key", "host_key"]

MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
SALT = b"ullage host 1\n"
LENGTH = 16


def host_key() -> str:
    """Give the name under which measurements of this machine are kept: `host-` and part of a salted hash.

    Of the system's machine id; else of the address of a network card; else of a number that is drawn once and kept
    in the cache folder. None of these can be read back from it.
    """
    identity = _machine_id() or _card() or _drawn()
    return f"host-{hashlib.sha256(SALT + identity.encode()).hexdigest()[:LENGTH]}"


def device_key(device: str | None) -> str:
    """Give the key of a device by any of its names; what the catalog does not know stands for itself."""
    if device is None:
        return host_key()
    try:
        return catalog.device(device).key
    except UnknownDeviceError:
        return device


def _machine_id() -> str | None:
    for name in MACHINE_IDS:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found = Path(name).read_text(encoding="ascii").strip()
            if found and found != "uninitialized":
                return found
    return None


def _card() -> str | None:
    number = uuid.getnode()
    is_random = number >> 40 & 1  # the bit that no real card has set
    return None if is_random else f"{number:012x}"


def _drawn() -> str:
    path = cache_folder() / "host-id"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), open(path, "x", encoding="ascii") as file:  # noqa: PTH123 - mode x
        file.write(secrets.token_hex(16))
        file.flush()
        os.fsync(file.fileno())
    return path.read_text(encoding="ascii").strip()
