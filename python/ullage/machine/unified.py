"""Macs, whose GPU works in the host's memory and may take only a part of it.

The part is what the system lets the GPU keep resident (wired): `iogpu.wired_limit_mb`, or with 0 there a rule of the
system's own. Apple publishes none. Observed are two thirds of memory up to 36 GiB and three quarters above; macOS 26
was seen to give 84 % of 128 GiB. The lower figure is taken, since more than the limit ends in an abort. Metal's
`recommendedMaxWorkingSetSize` is the truth, for who can ask it. Not run on a Mac so far.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["UnifiedMemory", "unified_memory"]

SMALL_MAC = 36 * 2**30
"""Bytes of memory up to which two thirds are the GPU's."""
LIMITS = (("iogpu.wired_limit_mb", 2**20), ("debug.iogpu.wired_limit", 1))
"""Where the limit stands, in what unit: from macOS 14 on, and before."""
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnifiedMemory:
    """Memory that CPU and GPU share, in bytes."""

    total: int
    gpu_limit: int
    """What the GPU may keep resident of it."""
    gpu_limit_source: str
    """`iogpu.wired_limit_mb`, or the rule."""


def unified_memory(sysctl: Callable[[str], str | None] | None = None) -> UnifiedMemory | None:
    """Give the unified memory of a Mac with Apple silicon; `None` elsewhere. `sysctl` can stand in for the system's."""
    if sysctl is None and sys.platform != "darwin":
        return None
    ask = sysctl or _sysctl
    total = _count(ask("hw.memsize"))
    if not total or _count(ask("hw.optional.arm64")) != 1:
        return None
    for name, unit in LIMITS:
        limit = _count(ask(name))
        if limit:
            return UnifiedMemory(total=total, gpu_limit=min(limit * unit, total), gpu_limit_source=name)
    if total <= SMALL_MAC:
        return UnifiedMemory(total=total, gpu_limit=total * 2 // 3, gpu_limit_source="two thirds of memory, by rule")
    return UnifiedMemory(total=total, gpu_limit=total * 3 // 4, gpu_limit_source="three quarters of memory, by rule")


def _count(text: str | None) -> int | None:
    digits = (text or "").strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= len(str(2**64)) else None


def _sysctl(name: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - names from this file alone
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
