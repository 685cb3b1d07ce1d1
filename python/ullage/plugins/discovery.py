"""What is installed under the four groups of entry points, and the loading of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from ullage.errors import ArgumentError, PluginError, UllageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUPS", "Kind", "Plugin", "find", "installed", "names"]

Kind: TypeAlias = Literal["policy", "strategy", "scheme", "runtime"]
"""What a plug-in can be."""

GROUPS: Final[dict[Kind, str]] = {
    "policy": "ullage.policies",
    "strategy": "ullage.strategies",
    "scheme": "ullage.schemes",
    "runtime": "ullage.runtimes",
}
"""The group of entry points of each kind: eviction policies, packing strategies, compression schemes, runtimes."""


@dataclass(frozen=True)
class Plugin:
    """An entry point under one of the groups. Nothing of it was imported."""

    kind: Kind
    """What it is."""
    name: str
    """What it is called."""
    value: str
    """Where it is: `module:object`."""
    distribution: str | None
    """The package that it came with, if that is known."""
    version: str | None
    """That package's version."""
    _entry: "EntryPoint" = field(repr=False, compare=False)

    @property
    def group(self) -> str:
        """The group of entry points that it stands under."""
        return GROUPS[self.kind]

    def load(self) -> object:
        """Import it. Raises `PluginError` for one that cannot be imported, or that has the name of one of ours."""
        if self.name in _built_in(self.kind):
            raise self.refused(f"{self.name!r} is a built-in name, which nothing else may have")
        try:
            return self._entry.load()
        except (Exception, SystemExit) as error:
            raise self.refused(f"it cannot be imported: {type(error).__name__}: {error}") from error

    def check(self) -> None:
        """Import it and see that it is what its group asks for. Raises `PluginError`."""
        loaded = self.load()
        try:
            _CHECKS[self.kind](self, loaded)
        except PluginError:
            raise
        except UllageError as error:
            raise self.refused(str(error)) from error
        except Exception as error:  # an object that raises when it is looked at
            raise self.refused(f"{type(error).__name__}: {error}") from error

    def refused(self, reason: str) -> PluginError:
        """Give the error that says what is wrong with it."""
        origin = "an unknown package" if self.distribution is None else f"{self.distribution} {self.version or ''}"
        return PluginError(
            f"{self.group}: {self.name} = {self.value!r} of {origin.strip()}: {reason}",
            group=self.group,
            name=self.name,
            distribution=self.distribution,
            reason=reason,
        )


def installed(kind: Kind | None = None) -> list[Plugin]:
    """Give what is installed, of one kind or of all, by kind and name. Nothing is imported.

    Raises `ArgumentError` for a kind that is none.
    """
    if kind is not None and kind not in GROUPS:
        reason = f"{kind!r} is none of {', '.join(get_args(Kind))}"
        raise ArgumentError(f"kind: {reason}", name="kind", reason=reason)
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, and rarely needed

    every = entry_points()
    found = []
    for one in [kind] if kind is not None else GROUPS:
        entries = sorted(every.select(group=GROUPS[one]), key=lambda entry: (entry.name, entry.value))
        found += [_plugin(one, entry) for entry in dict.fromkeys(entries)]
    return found


def names(kind: Kind) -> list[str]:
    """Give the names of what is installed of a kind, but for those that are built in."""
    ours = _built_in(kind)
    return list(dict.fromkeys(plugin.name for plugin in installed(kind) if plugin.name not in ours))


def find(kind: Kind, name: str) -> tuple[Plugin, object] | None:
    """Load what is called `name`; `None` where nothing is.

    Raises `PluginError` for what cannot be imported, and for a name that two packages claim.
    """
    found = [plugin for plugin in installed(kind) if plugin.name == name]
    if not found:
        return None
    first, *others = found
    if others:
        rival = others[0]
        raise first.refused(f"{rival.value!r} of {rival.distribution or 'another package'} has the same name")
    return first, first.load()


def _plugin(kind: Kind, entry: "EntryPoint") -> Plugin:
    package = entry.dist
    return Plugin(
        kind,
        entry.name,
        entry.value,
        None if package is None else package.name,
        None if package is None else package.version,
        entry,
    )


def _built_in(kind: Kind) -> frozenset[str]:
    """Give the names that are ours; each kind says its own."""
    if kind == "policy":
        from ullage.plugins.policy import BUILT_IN  # noqa: PLC0415 - nothing of a kind that nobody asked for

        return BUILT_IN
    if kind == "strategy":
        from ullage.benchmark.strategy import own_names  # noqa: PLC0415 - as above

        return frozenset(name for every in own_names().values() for name in every)
    if kind == "scheme":
        from ullage.plugins.scheme import BUILT_IN as SCHEMES  # noqa: PLC0415 - as above

        return SCHEMES
    from ullage.plugins.runtime import built_in  # noqa: PLC0415 - as above

    return built_in()


def _check_policy(_plugin: Plugin, loaded: object) -> None:
    from ullage._core import Brain, Ledger  # noqa: PLC0415 - as above
    from ullage.plugins.policy import made  # noqa: PLC0415 - as above

    Brain({"memory": Ledger(limit=1).account("check")}, made(loaded))


def _check_strategy(plugin: Plugin, loaded: object) -> None:
    if not callable(loaded):
        raise plugin.refused(f"it is {type(loaded).__name__}, not a function")


def _check_scheme(plugin: Plugin, loaded: object) -> None:
    from ullage.plugins.scheme import made  # noqa: PLC0415 - as above

    made(loaded, plugin.name)


def _check_runtime(plugin: Plugin, loaded: object) -> None:
    from ullage.plugins.runtime import add  # noqa: PLC0415 - as above

    add(loaded, plugin)


_CHECKS: dict[Kind, Callable[[Plugin, object], None]] = {
    "policy": _check_policy,
    "strategy": _check_strategy,
    "scheme": _check_scheme,
    "runtime": _check_runtime,
}
