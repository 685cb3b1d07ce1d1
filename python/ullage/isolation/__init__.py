"""Models in worker processes: a process can be killed, its end can be seen, and what it holds can be measured.

`Pool.register(..., isolation="process")` is the way in; what stands here is what it is made of.
"""

from ullage.isolation.proxy import AsyncCalls, Method, Proxy
from ullage.isolation.task import Task
from ullage.isolation.worker import Worker

__all__ = ["AsyncCalls", "Method", "Proxy", "Task", "Worker"]
