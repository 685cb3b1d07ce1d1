"""Strategies by name: ours, installed ones, and any Python function."""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import ullage
from ullage import _core
from ullage.benchmark.answer import Answer
from ullage.benchmark.instance import ArenaInstance, Instance, PackingInstance
from ullage.errors import ArgumentError
from ullage.plugins import discovery

__all__ = ["Solve", "Strategy", "own_names", "problem_of", "strategies"]

Solve: TypeAlias = Callable[[Instance, float], Any]
"""What a strategy is: called with an instance and the seconds it has; gives places, or places and a lower bound, or an
`Answer`. It raises `NotImplementedError` for an instance of a kind that it does not solve."""


@dataclass(frozen=True)
class Strategy:
    """A strategy that any process can load."""

    name: str
    """What it is called in tables."""
    spec: str
    """Where it is found: `ullage:NAME`, `entry:NAME`, `module:function` or `path.py:function`."""

    @property
    def version(self) -> str:
        """What changes with the code: a digest of our extension or of the file, nothing for other modules."""
        where = self.spec.rpartition(":")[0]
        if where == "ullage":
            return _digest(Path(_core.__file__))
        return _digest(Path(where)) if where.endswith(".py") else ""

    def load(self) -> Solve:
        """Import the function; raises whatever its import raises."""
        where, _, name = self.spec.rpartition(":")
        if where == "ullage":
            return _own(name)
        if where == "entry":
            found = discovery.find("strategy", name)
            if found is None:
                raise ImportError(f"no strategy {name!r} is installed any more")
            loaded: object = found[1]
        else:
            loaded = _attribute(_from_file(Path(where)) if where.endswith(".py") else _module(where), name)
        if not callable(loaded):
            raise TypeError(f"{self.spec} is {type(loaded).__name__}, not a function")
        return loaded


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def problem_of(instance: Instance) -> str:
    """Say which of our solvers an instance is for: `packing`, `vector packing` or `arena`."""
    if isinstance(instance, PackingInstance) and len(instance.capacities) > 1:
        return "vector packing"
    return instance.kind


@cache
def own_names() -> dict[str, tuple[str, ...]]:
    """Give the names of our own strategies, by `problem_of` an instance, as the solvers list them themselves."""
    calls: dict[str, Callable[[], object]] = {
        "packing": lambda: ullage.pack([1], 1, "?"),
        "vector packing": lambda: ullage.place({"a": {"memory": 1}}, {"b": {"memory": 1}}, strategy="?"),
        "arena": lambda: ullage.plan_arena([1], [0], [1], strategy="?"),
    }
    names = {}
    for kind, call in calls.items():
        try:
            call()
        except ArgumentError as error:
            names[kind] = tuple(re.findall(r"\w+", error.reason.rpartition(" is none of ")[2]))
    return names


def strategies(names: Iterable[str]) -> list[Strategy]:
    """Find strategies: a name of ours or of an entry point, `module:function`, `path.py:function`, `NAME=` before each.

    Raises `ArgumentError` for a name that nobody has, or one given twice.
    """
    found: dict[str, Strategy] = {}
    for text in names:
        label, equals, spec = text.strip().rpartition("=")
        label, spec = label.strip() or spec.strip(), spec.strip()
        strategy = Strategy(label if equals else _label(spec), _spec(spec))
        if strategy.name in found:
            raise _refused(f"{strategy.name!r} is given twice; write NAME={spec} for another name")
        found[strategy.name] = strategy
    return list(found.values())


def _label(spec: str) -> str:
    """Give what a strategy is called that was given no name: the function, and the file or module where it is."""
    where, _, name = spec.rpartition(":")
    if not where:
        return name
    return f"{Path(where).stem if where.endswith('.py') else where}:{name}"


def _spec(text: str) -> str:
    where, _, name = text.rpartition(":")
    own = sorted({name for names in own_names().values() for name in names})
    if where == "" or where in {"ullage", "entry"}:
        if name in own and where in {"", "ullage"}:
            return f"ullage:{name}"
        installed = discovery.names("strategy")
        if name in installed and where in {"", "entry"}:
            return f"entry:{name}"
        raise _refused(f"{name!r} is none of {', '.join(own + installed)}, nor module:function, nor path.py:function")
    if not name.isidentifier():
        raise _refused(f"{text!r} names no function after its colon")
    if where.endswith(".py"):
        path = Path(where).expanduser().resolve()
        if not path.is_file():
            raise _refused(f"{where}: no such file")
        return f"{path}:{name}"
    if not all(part.isidentifier() for part in where.split(".")):
        raise _refused(f"{text!r} is neither module:function nor path.py:function")
    return text


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(f"strategies: {reason}", name="strategies", reason=reason)


def _module(name: str) -> object:
    """Import a module, also one that lies in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return importlib.import_module(name)


def _from_file(path: Path) -> object:
    """Import a file; what lies beside it can be imported by it, as by a script."""
    beside = str(path.parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)
    spec = importlib.util.spec_from_file_location(f"ullage_strategy_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _attribute(module: object, name: str) -> object:
    try:
        return getattr(module, name)
    except AttributeError:
        raise ImportError(f"{getattr(module, '__name__', module)} has no {name!r}") from None


def _own(name: str) -> Solve:
    """Give one of our own strategies; its proof is checked along with its answer."""
    known = own_names()  # here, so that what it imports is not counted as time of solving

    def solve(instance: Instance, time_limit: float) -> Answer:
        problem = problem_of(instance)
        if name not in known[problem]:
            raise NotImplementedError(f"{name} is no strategy for {problem}")
        if isinstance(instance, ArenaInstance):
            layout = ullage.plan_arena(
                list(instance.sizes),
                list(instance.starts),
                list(instance.ends),
                alignments=list(instance.alignments),
                strategy=name,
                time_limit=time_limit,
            )
            ullage.validate(layout)
            return Answer([int(offset) for offset in layout.offsets], layout.lower_bound)
        if problem == "vector packing":
            return _placed(instance, name, time_limit)
        plan = ullage.pack(instance.sizes, instance.capacity, name, time_limit)
        ullage.validate(plan)
        return Answer(plan.assignment, plan.lower_bound)

    return solve


def _placed(instance: PackingInstance, name: str, time_limit: float) -> Answer:
    """Place the items of a vector packing instance on as few equal devices as possible."""
    resources = ["memory", *(f"resource {index}" for index in range(1, len(instance.capacities)))]
    items = {str(index): dict(zip(resources, demand, strict=True)) for index, demand in enumerate(instance.items)}
    device = {**dict(zip(resources, instance.capacities, strict=True)), "count": None}
    placement = ullage.place(items, {"bin": device}, strategy=name, time_limit=time_limit)
    ullage.validate(placement)
    if placement.unplaced:
        return Answer(None, int(placement.lower_bound))
    bins = [placement.assignment[str(index)][0] for index in range(len(items))]
    number = {used: index for index, used in enumerate(dict.fromkeys(bins))}
    return Answer([number[used] for used in bins], int(placement.lower_bound))
