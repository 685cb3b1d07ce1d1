"""Devices that no table has, known by a class and a size: `MacBook Pro M4 Pro 24 GB`, `gpu-24gb`, `android-12gb`."""

import re

from ullage.catalog.device_table import Device, Rules, by_rule
from ullage.catalog.name_index import fold

__all__ = ["class_device", "mac_key"]

MAC = re.compile(
    r"(?:apple)?(?:i?mac(?:book)?(?:air|pro|mini|studio)?)?(?P<chip>m[1-9](?:pro|max|ultra)?)?(?:mac)?(?P<size>[1-9]\d{0,3})gb"
)
PLAIN = (
    (re.compile(r"(?:apple)?iphone(?P<size>[1-9]\d{0,2})gb"), "phone-ios", "iPhone"),
    (re.compile(r"(?:apple)?ipad(?:air|pro|mini)?(?P<size>[1-9]\d{0,2})gb"), "tablet-ios", "iPad"),
    (re.compile(r"android(?:phone)?(?P<size>[1-9]\d{0,2})gb"), "phone-android", "Android phone"),
    (re.compile(r"(?:nvidia|amd|intel)?gpu(?P<size>[1-9]\d{0,3})gb"), "gpu-consumer", "GPU"),
    (re.compile(r"(?:laptop|computer|pc|desktop|server|host|cpu)(?P<size>[1-9]\d{0,4})gb"), "host", "Computer"),
)
GIB = 2**30


def mac_key(name: str) -> str | None:
    """Give the key that the table would have for a Mac however named, or `None` for what is none."""
    found = MAC.fullmatch(fold(name))
    if not found or not ("mac" in found[0] or found["chip"]):
        return None
    chip = re.sub(r"(?<=\d)(?=[a-z])", "-", found["chip"] or "")
    return "-".join(part for part in ("mac", chip, f"{found['size']}gb") if part)


def class_device(name: str, rules: Rules) -> Device | None:
    """Give a device of the class and memory that `name` states, its usable memory by the rule of that class."""
    mac = mac_key(name)
    if mac:
        size = int(mac.rpartition("-")[2].removesuffix("gb"))
        chip = " ".join(word.capitalize() for word in mac.split("-")[1:-1])
        return _device(mac, " ".join(word for word in ("Mac", chip, f"{size} GB") if word), "mac", size, rules)
    for pattern, device_class, noun in PLAIN:
        found = pattern.fullmatch(fold(name))
        if found:
            size = int(found["size"])
            key = f"{noun.split(maxsplit=1)[0].casefold()}-{size}gb"
            return _device(key, f"{noun} of {size} GB", device_class, size, rules)
    return None


def _device(key: str, name: str, device_class: str, size: int, rules: Rules) -> Device:
    basis = f"class rule of {device_class}; this device was not measured"
    entitled = rules.get((device_class, "entitled"))
    memory = size * GIB
    return Device(
        key=key,
        name=name,
        aliases=(),
        device_class=device_class,
        memory_bytes=memory,
        usable=by_rule(rules[device_class, "usable"], memory, basis),
        entitled=by_rule(entitled, memory, basis) if entitled else None,
        bandwidth_gb_s=None,
        fp16_tflops=None,
        int8_tops=None,
        compute_basis=None,
        source="the class and the memory that its name states",
        confidence="rule",
        table="class",
    )
