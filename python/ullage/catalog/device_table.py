"""Devices: how much memory they hold, and how much of it they let one process use."""

from dataclasses import dataclass, replace
from pathlib import Path

from ullage.catalog.name_index import NameIndex
from ullage.catalog.range import Range
from ullage.catalog.toml_row import TomlRow, read_catalog

__all__ = ["CLASSES", "ORIGINS", "ClassRule", "Device", "Rules", "by_rule", "read_device_file", "read_devices"]

CLASSES = frozenset(
    {
        "gpu-consumer",
        "gpu-datacenter",
        "gpu-workstation",
        "host",
        "host-uma",
        "mac",
        "node",
        "phone-android",
        "phone-ios",
        "tablet-ios",
    }
)
ORIGINS = frozenset({"assumed", "bracket", "measured", "reported", "rule"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as published. GB/s, TFLOPS and TOPS are decimal; `None` where nothing was found."""

    key: str
    name: str
    aliases: tuple[str, ...]
    device_class: str
    """One of `CLASSES`."""
    memory_bytes: int
    usable: Range
    """Bytes that an ordinary process may use."""
    entitled: Range | None
    """Bytes for an iOS app with the increased-memory-limit entitlement; `None` on other systems."""
    bandwidth_gb_s: float | None
    fp16_tflops: float | None
    int8_tops: float | None
    compute_basis: str | None
    """What the compute rates count."""
    source: str
    confidence: str
    vendor: str | None = None
    """Of a row from the GPU table; `None` elsewhere."""
    architecture: str | None = None
    """Likewise."""
    released: str | None = None
    """Likewise: an ISO date."""
    table: str = "devices"
    """`devices` for a row with sources of its own, `gpus` for one of the GPU table, `class` for a class and a size
    alone, `own` for one that the user added."""

    def available(self, *, entitled: bool = False) -> Range:
        """Give the bytes a process may use; the entitlement changes nothing where the system knows none."""
        return self.entitled if entitled and self.entitled is not None else self.usable


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRule:
    """What a class of devices lets a process use, in thousandths of its memory."""

    lo_permille: int
    best_permille: int
    hi_permille: int


Rules = dict[tuple[str, str], ClassRule]


def read_devices(path: Path) -> tuple[Device, ...]:
    """Read a file like `devices.toml`; raises `CatalogError` that names the row and key at fault."""
    return read_device_file(path)[0]


def read_device_file(
    path: Path, *, rules: Rules | None = None, table: str = "devices"
) -> tuple[tuple[Device, ...], Rules]:
    """Read a file like `devices.toml` with its class rules; with `rules`, it needs none of its own."""
    file = read_catalog(path)
    found_rules = dict(rules or {})
    if rules is None or file.has("rule"):
        found_rules |= dict(_rule(row) for row in file.rows("rule"))
    rows = file.rows("device")
    file.finish()
    index: NameIndex[Device] = NameIndex()
    found: list[Device] = []
    for row in rows:
        entry = replace(_device(row, found_rules), table=table)
        taken = index.add(entry, entry.key, (entry.name, *entry.aliases))
        if taken is not None or entry.key in {other.key for other in found}:
            row.fail("key", f"the name {taken or entry.key!r} is already that of another device")
        found.append(entry)
    return tuple(found), found_rules


def by_rule(rule: ClassRule, memory: int, basis: str) -> Range:
    """Give what the rule of a class makes of `memory` bytes."""
    lo, best, hi = (memory * share // 1000 for share in (rule.lo_permille, rule.best_permille, rule.hi_permille))
    return Range(lo=lo, best=best, hi=hi, origin="rule", basis=basis)


def _rule(row: TomlRow) -> tuple[tuple[str, str], ClassRule]:
    device_class, which = row.word("class", CLASSES), row.word("range", {"usable", "entitled"})
    row.texts("from_classes")
    shares = [row.count(f"{bound}_permille") for bound in ("lo", "best", "hi")]
    row.finish()
    if not shares[0] <= shares[1] <= shares[2] <= 1000:  # noqa: PLR2004 - thousandths
        row.fail("lo_permille", "lo <= best <= hi <= 1000 does not hold")
    lo, best, hi = shares
    return (device_class, which), ClassRule(lo_permille=lo, best_permille=best, hi_permille=hi)


def _device(row: TomlRow, rules: Rules) -> Device:
    device_class, memory = row.word("class", CLASSES), row.count("memory_bytes")
    if memory == 0:
        row.fail("memory_bytes", "a device without memory")
    entry = Device(
        key=row.text("key"),
        name=row.text("name"),
        aliases=row.texts("aliases"),
        device_class=device_class,
        memory_bytes=memory,
        usable=_range(row.row("usable"), memory, rules.get((device_class, "usable"))),
        entitled=_range(row.row("entitled"), memory, rules.get((device_class, "entitled")))
        if row.has("entitled")
        else None,
        bandwidth_gb_s=row.number_or_none("bandwidth_gb_s"),
        fp16_tflops=row.number_or_none("fp16_tflops"),
        int8_tops=row.number_or_none("int8_tops"),
        compute_basis=row.text_or_none("compute_basis"),
        source=row.text("source"),
        confidence=row.text("confidence"),
    )
    row.finish()
    return entry


def _range(row: TomlRow, memory: int, rule: ClassRule | None) -> Range:
    stated = [row.count_or_none(bound) for bound in ("lo", "best", "hi")]
    origin, basis = row.word("origin", ORIGINS), row.text("basis")
    row.finish()
    lo, best, hi = _filled(row, stated, memory, rule)
    if not lo <= best <= hi <= memory:
        row.fail("best", f"lo <= best <= hi <= memory_bytes does not hold for {lo}, {best}, {hi}, {memory}")
    return Range(lo=lo, best=best, hi=hi, origin=origin, basis=basis)


def _filled(row: TomlRow, stated: list[int | None], memory: int, rule: ClassRule | None) -> tuple[int, int, int]:
    lo, best, hi = stated
    if lo is not None and best is not None and hi is not None:
        return lo, best, hi
    if rule is None:
        row.fail("lo", "a bound is missing and the class has no rule")
    if best is None:
        best = memory * rule.best_permille // 1000
    if lo is None:
        lo = min(memory * rule.lo_permille // 1000, best)
    if hi is None:
        hi = max(memory * rule.hi_permille // 1000, best)
    return lo, best, hi
