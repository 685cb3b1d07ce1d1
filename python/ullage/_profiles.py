"""What device a simulation is for: a profile, one that is kept of this machine, or what is published of a device."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TypeAlias

from ullage import catalog
from ullage._core import Profile
from ullage.catalog import Device
from ullage.catalog.profile import profile_json
from ullage.errors import ArgumentError, UnreadableError, not_utf8
from ullage.errors import ModelNotFoundError as FileMissingError
from ullage.folders import cache_folder

__all__ = ["THIS_MACHINE", "ProfileOf", "keep", "kept", "kept_path", "profile_of"]

ProfileOf: TypeAlias = Profile | Device | str | os.PathLike[str]
"""A profile, or what names one: `"this-machine"` once it was calibrated, a JSON file, or a device of the catalog."""

THIS_MACHINE = "this-machine"
HERE = {THIS_MACHINE, "this machine", "here", "localhost"}


def kept_path() -> Path:
    """Give the file that the calibration of this machine is kept in."""
    return cache_folder() / "calibration.json"


def keep(profile: Profile) -> Path:
    """Keep the calibration of this machine; the file is replaced as a whole."""
    path = kept_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(profile.to_json())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return path


def kept() -> Profile:
    """Read the calibration of this machine; raise `ArgumentError` where there is none."""
    path = kept_path()
    try:
        return Profile.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        reason = "this machine was not calibrated yet: run `ullage calibrate`"
        raise ArgumentError(f"device: {reason}", name="device", reason=reason) from None


def profile_of(device: ProfileOf) -> Profile:
    """Find the profile that `device` names; of a device of the catalog, what is published or fitted of it."""
    if isinstance(device, Profile):
        return device
    if isinstance(device, Device):
        return _published(device)
    text = os.fspath(device)
    if text.casefold() in HERE:
        return kept()
    if text.endswith(".json"):
        return _written(Path(text))
    return _published(catalog.device(text))


def _written(path: Path) -> Profile:
    """Read a profile; what is wrong with the file names it."""
    try:
        profile = Profile.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileMissingError(f"{path}: no such file", path=str(path)) from error
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}", path=str(path)) from error
    except UnicodeDecodeError as error:
        reason = f"{path}: {not_utf8(error)}"
        raise ArgumentError(f"profile: {reason}", name="profile", reason=reason) from None
    except ArgumentError as error:
        reason = f"{path}: {error.reason}"
        raise ArgumentError(f"profile: {reason}", name="profile", reason=reason) from None
    if not profile.as_dict()["read"]:
        reason = f"{path}: it has no rate of reading memory, without which no pass can be timed"
        raise ArgumentError(f"profile: {reason}", name="profile", reason=reason)
    return profile


def _published(device: Device) -> Profile:
    return Profile.from_json(profile_json(device))
