"""Directories that stand in for a machine: its `/proc` and its control groups."""

from collections.abc import Mapping
from pathlib import Path

MIB = 2**20
GIB = 2**30
UNLIMITED_V1 = "9223372036854771712"
MEMINFO = """MemTotal:       67108864 kB
MemFree:        10485760 kB
MemAvailable:   41943040 kB
Inactive(file): 20971520 kB
SwapTotal:       4194304 kB
SwapFree:        3145728 kB
"""
V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
V1_CPU_MOUNT = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"

Files = Mapping[str, str | bytes]


def tree(root: Path, files: Files, *, meminfo: str = MEMINFO) -> Path:
    """Lay `files` below `root`, with a host of 64 GiB of which 40 are available."""
    for name, content in {"proc/meminfo": meminfo, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def v2(directory: str, limit: str, current: int, inactive: int = 0, high: str = "max") -> Files:
    """Give the files of one group of version 2."""
    base = f"sys/fs/cgroup{directory}"
    return {
        f"{base}/memory.max": f"{limit}\n",
        f"{base}/memory.high": f"{high}\n",
        f"{base}/memory.current": f"{current}\n",
        f"{base}/memory.stat": f"anon 1\nfile 2\ninactive_file {inactive}\nactive_file 3\nfile_mapped 3\n",
    }


def v1(directory: str, limit: str, usage: int, inactive: int = 0, hierarchical: str = UNLIMITED_V1) -> Files:
    """Give the files of one group of version 1."""
    base = f"sys/fs/cgroup/memory{directory}"
    stat = f"inactive_file 7\nhierarchical_memory_limit {hierarchical}\ntotal_inactive_file {inactive}\n"
    return {
        f"{base}/memory.limit_in_bytes": f"{limit}\n",
        f"{base}/memory.usage_in_bytes": f"{usage}\n",
        f"{base}/memory.stat": stat,
    }


def in_v2(group: str, *groups: Files) -> Files:
    """Put this process into a group of version 2."""
    found = {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": V2_MOUNT}
    return {**found, **{name: text for files in groups for name, text in files.items()}}


def in_v1(group: str, *groups: Files) -> Files:
    """Put this process into a memory group of version 1, beside an unused mount of version 2."""
    found = {
        "proc/self/cgroup": f"9:name=systemd:/\n4:memory:{group}\n1:cpu:/elsewhere\n0::/\n",
        "proc/self/mountinfo": V1_CPU_MOUNT + V1_MOUNT + V2_MOUNT.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
        "sys/fs/cgroup/unified/cgroup.controllers": "hugetlb\n",
    }
    return {**found, **{name: text for files in groups for name, text in files.items()}}
