"""Which kind of trace a file is, by its content."""

from os import PathLike
from pathlib import Path

from ullage.timeline import Timeline
from ullage.tracking import memray_file, trace_json
from ullage.tracking.chrome_trace import import_chrome_trace
from ullage.tracking.fault import fault, read_head
from ullage.tracking.memray_file import import_memray
from ullage.tracking.torch_snapshot import import_torch_snapshot

__all__ = ["import_trace"]

PICKLE = b"\x80"
"""Opcode PROTO, with which every pickle since protocol 2 begins."""
UTF8_MARK = b"\xef\xbb\xbf"
HEAD = 4096


def import_trace(path: str | PathLike[str]) -> Timeline:
    """Read a memory trace of any kind that is known: a PyTorch snapshot, a memray capture or a Chrome trace."""
    place = Path(path)
    head = read_head(place, HEAD)
    if head.startswith(PICKLE):
        return import_torch_snapshot(place)
    if head.startswith((memray_file.MAGIC, memray_file.LZ4)):
        return import_memray(place)
    if head.startswith(trace_json.GZIP) or head.removeprefix(UTF8_MARK).lstrip()[:1] in {b"{", b"["}:
        return import_chrome_trace(place)
    raise fault(place, "is no trace of a known kind: no PyTorch snapshot, memray capture or Chrome trace", offset=0)
