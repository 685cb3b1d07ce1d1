"""Under which runtime a measurement is kept, and under which an estimate looks for one."""

from ullage._core import Model, estimate, runtime_policies

__all__ = ["ANY", "runtime_key", "runtime_wanted", "usual_runtime"]

ANY = "*"
"""Whichever runtime: what the span of all of them is narrowed by."""
GENERIC = "generic"
"""The policy of no runtime in particular."""


def runtime_key(runtime: str) -> str:
    """Give the name that a runtime goes by here, by any of its names, no version; others stand as they are."""
    named = _plain(runtime.partition("@")[0])
    for policy in runtime_policies():
        if named in {_plain(name) for name in (policy["runtime"], *policy["aliases"])}:
            return str(policy["runtime"])
    return runtime


def runtime_wanted(runtime: str) -> str:
    """Give the runtime whose measurements narrow an estimate for `runtime`: for the generic one, any."""
    key = runtime_key(runtime)
    return ANY if key == GENERIC else key


def usual_runtime(model: Model) -> str:
    """Give the runtime that `footprint` assumes for the files of `model`."""
    return estimate(model, context=1).runtime.partition("@")[0]


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in ".-_ ")
