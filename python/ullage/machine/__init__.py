"""What this machine really has, and what a process really uses.

Tried on Linux only, without a GPU. Elsewhere psutil answers for the host and its processes, and what is said of Macs,
Windows and NVML stands on their documentation.
"""

from ullage.machine.control_group import ControlGroup, ControlGroups, Events, control_groups
from ullage.machine.domains import Domain, Domains, domains, domains_of
from ullage.machine.family import Family, Member, family
from ullage.machine.gpu import Gpu, GpuProcess, Gpus, gpus
from ullage.machine.host import Memory, memory
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
