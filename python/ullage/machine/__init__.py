"""What this machine really has, and what a process really uses.

Tried on Linux only, without a GPU. Elsewhere psutil answers for the host and its processes, and what is said of Macs,
Windows and NVML stands on their documentation.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ullage.machine.control_group import ControlGroup, ControlGroups, Events, control_groups
    from ullage.machine.domain import Domain, Domains, domains, domains_of
    from ullage.machine.gpu import Gpu, GpuProcess, Gpus, gpus
    from ullage.machine.host import Memory, memory
    from ullage.machine.lineage import Family, Member, family
    from ullage.machine.pressure import Pressure, Stall
    from ullage.machine.reconcile import Drift, Mover, Reconciliation
    from ullage.machine.unified import UnifiedMemory, unified_memory
    from ullage.machine.usage import ProcessMemory, process
    from ullage.machine.watch import Reading, Watch

__all__ = [
    "ControlGroup",
    "ControlGroups",
    "Domain",
    "Domains",
    "Drift",
    "Events",
    "Family",
    "Gpu",
    "GpuProcess",
    "Gpus",
    "Member",
    "Memory",
    "Mover",
    "Pressure",
    "ProcessMemory",
    "Reading",
    "Reconciliation",
    "Stall",
    "UnifiedMemory",
    "Watch",
    "control_groups",
    "domains",
    "domains_of",
    "family",
    "gpus",
    "memory",
    "process",
    "unified_memory",
]

_MODULES = {
    "control_group": ("ControlGroup", "ControlGroups", "Events", "control_groups"),
    "domain": ("Domain", "Domains", "domains", "domains_of"),
    "gpu": ("Gpu", "GpuProcess", "Gpus", "gpus"),
    "host": ("Memory", "memory"),
    "lineage": ("Family", "Member", "family"),
    "pressure": ("Pressure", "Stall"),
    "reconcile": ("Drift", "Mover", "Reconciliation"),
    "unified": ("UnifiedMemory", "unified_memory"),
    "usage": ("ProcessMemory", "process"),
    "watch": ("Reading", "Watch"),
}
"""Each module is imported when one of its names is first asked for: a pool needs one of them, and they add up."""
_LAZY = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a lazy name."""
    if name not in _LAZY:
        raise AttributeError(f"module 'ullage.machine' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ullage.machine.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
