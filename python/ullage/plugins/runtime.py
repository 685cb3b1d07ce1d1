"""Runtimes of somebody's own: how one uses memory, as data, with the fields and checks of the built-in ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from ullage._core import add_runtime, runtime_policies
from ullage.errors import ArgumentError
from ullage.plugins.discovery import Plugin, installed
from ullage.plugins.discovery import find as find_plugin

__all__ = ["AnyRuntime", "Formula", "RuntimePolicy", "add", "built_in", "find", "known"]

Formula: TypeAlias = str | Mapping[str, str | bool]
"""A formula such as `"weights/20 + 50*MB"`, or three: `{"lo": ..., "best": ..., "hi": ...}`."""

_OWN: set[str] = set()
"""Names that were added; the others are built in."""


@dataclass(frozen=True, kw_only=True)
class RuntimePolicy:
    """How a runtime of your own uses memory. What is left out stands as in the built-in one that `like` names.

    Formulas are whole numbers of bytes: `+ - * /`, `min`, `max`, `pad(a, step)`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`,
    and variables such as `weights`, `file`, `parameters`, `context`, `batch`, `micro_batch`, `hidden`, `intermediate`,
    `heads`, `vocabulary`, `graph_peak`, `graph_arena`. `ullage.footprint` adds and checks it where it is given as
    `runtime`; under the group `ullage.runtimes` it is known by its name.
    """

    runtime: str
    """Its name."""
    source: str
    """Where the figures come from."""
    version: str = "1"
    """The version of the runtime that they are of."""
    date: str = ""
    """When they were taken, as an ISO date."""
    like: str | None = None
    """The built-in runtime that it is like in everything else; without one, nothing may be left out."""
    aliases: Sequence[str] | None = None
    """Other names of it."""
    residency: Literal["mapped", "copied", "repacked"] | None = None
    """What becomes of the weights."""
    schemes: Sequence[str] | None = None
    """Schemes that it runs weights in, the least lossy first."""
    kv_dtypes: Sequence[str] | None = None
    """Formats that it keeps keys and values in."""
    offload: bool | None = None
    """Whether it can keep some layers in the host's memory."""
    kv_cache: Mapping[str, Any] | None = None
    """`latent`, and the formulas of `cells`, `window` and `chunk`."""
    state: Mapping[str, Sequence[int]] | None = None
    """Bytes of an element of `convolution` and `recurrent` states: least, most likely, most."""
    weights: Mapping[str, Formula] | None = None
    """`bytes`, and `encoder` where that differs."""
    terms: Mapping[str, str] | None = None
    """Formulas that the others may name."""
    activations: Mapping[str, Formula] | None = None
    """Workspace by the kind of model: `decoder`, `decoder_unfused`, `encoder`, `graph`, `unknown`."""
    overhead: Mapping[str, Formula] | None = None
    """What the process holds beside all of these, by the kind of model."""


AnyRuntime: TypeAlias = str | RuntimePolicy | Mapping[str, Any]
"""A name, or a runtime of one's own: a `RuntimePolicy`, or a dictionary with its fields."""


def known(runtime: "AnyRuntime | None") -> str | None:
    """Give the name of a runtime; one of one's own is added first. Raises `ArgumentError` for what is none."""
    return runtime if runtime is None or isinstance(runtime, str) else add(runtime, None)


def add(policy: object, plugin: Plugin | None) -> str:
    """Check a runtime of one's own and make it known; gives its name with its version. Raises `ArgumentError`."""
    if isinstance(policy, RuntimePolicy):
        pairs = ((field.name, getattr(policy, field.name)) for field in fields(policy))
        table = {name: value for name, value in pairs if value is not None}
    elif isinstance(policy, Mapping):
        table = dict(policy)
    elif callable(policy):
        return add(_called(policy), plugin)
    else:
        raise _refused(f"{type(policy).__name__} is neither a RuntimePolicy nor a mapping of its fields")
    if plugin is not None and table.setdefault("runtime", plugin.name) != plugin.name:
        raise _refused(f"it calls itself {table['runtime']!r:.80}, and its entry point {plugin.name!r}")
    for name, value in (("version", "1"), ("date", "")):
        table.setdefault(name, value)
    try:
        text = json.dumps(table, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(f"it is no plain data: {error}") from error
    added = add_runtime(text)
    _OWN.add(added.partition("@")[0])
    return added


def find(name: str) -> bool:
    """Look for a runtime among the plug-ins, and make it known; tells whether there is one of that name.

    The core asks for names that it does not know. Raises `PluginError` for one that cannot be used.
    """
    wanted = _flat(name.partition("@")[0])
    called = next((plugin.name for plugin in installed("runtime") if _flat(plugin.name) == wanted), None)
    found = None if called is None else find_plugin("runtime", called)
    if found is None:
        return False
    plugin, loaded = found
    try:
        add(loaded, plugin)
    except ArgumentError as error:
        raise plugin.refused(error.reason) from error
    return True


def built_in() -> frozenset[str]:
    """Give the names of the built-in runtimes, their other names among them."""
    ours = (policy for policy in runtime_policies() if policy["runtime"] not in _OWN)
    return frozenset(name for policy in ours for name in (policy["runtime"], *policy["aliases"]))


def _called(policy: Any) -> object:  # noqa: ANN401 - a class or function that makes one
    try:
        made: object = policy()
    except Exception as error:
        raise _refused(f"{policy!r:.80} makes no runtime: {type(error).__name__}: {error}") from error
    if callable(made):
        raise _refused(f"{policy!r:.80} makes {type(made).__name__}, no runtime")
    return made


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no text, number, list or mapping")


def _flat(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign not in ".-_ ")


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(f"runtime: {reason}", name="runtime", reason=reason)
