"""What this machine really has, and what a process really uses.

Tried on Linux only. Elsewhere psutil alone answers: the host and its processes, no limits.
"""

from ullage.machine.host import Memory, memory
from ullage.machine.usage import ProcessMemory, process

__all__ = ["Memory", "ProcessMemory", "memory", "process"]
