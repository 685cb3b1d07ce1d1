"""`place` and `repack`: have found what was named, then let the core decide."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ullage._core import Footprint, Model, Placement, parse_bytes, place_items, repack_items
from ullage._footprint import footprint
from ullage._subject import LIKE_A_SIZE, target
from ullage._types import ByteCount
from ullage.catalog import Device
from ullage.errors import ProblemError, QuantityError
from ullage.solving import Progress

__all__ = ["place", "repack"]

MEMORY = "memory"
Amounts: TypeAlias = Mapping[str, Any]
Needs: TypeAlias = "ByteCount | Footprint | Model | os.PathLike[str] | Amounts"
Models: TypeAlias = "Mapping[str, Needs] | Iterable[str]"
Has: TypeAlias = "ByteCount | Device | tuple[ByteCount | Device, int | None] | Amounts"
Devices: TypeAlias = "Mapping[str, Has] | Iterable[str]"
Pins: TypeAlias = Mapping[str, str | Sequence[str]]
Groups: TypeAlias = Iterable[Iterable[str]]
Number: TypeAlias = float
Listener: TypeAlias = Callable[[Progress], object]

OF_A_MODEL = {"model", "value", "replicas", "on"}
OF_A_DEVICE = {"device", "count", "cost", "reserve"}


def place(
    models: Models,
    devices: Devices,
    *,
    pins: Pins | None = None,
    together: Groups = (),
    apart: Groups = (),
    replicas: Mapping[str, int] | None = None,
    reserve: ByteCount | Mapping[str, Any] = 0,
    values: Mapping[str, Number] | None = None,
    costs: Mapping[str, Number] | None = None,
    keep: Literal["all", "best_value"] = "all",
    book: Literal["best", "hi"] = "best",
    strategy: str = "auto",
    time_limit: float | None = 10.0,
    seed: int = 0,
    progress: Listener | None = None,
) -> Placement:
    """Decide which model goes onto which of unlike devices, under rules.

    `models` has for each name what it needs: bytes such as `"40GB"`, a `Footprint`, whatever `footprint` takes, or a
    dict of amounts by resource, such as `{"memory": "500MB", "bandwidth": 10}`; there `model` may name a model instead
    of `memory`, and `value`, `replicas` and `on` may stand for the arguments below. A resource that is not named is not
    needed. A list of catalog names will do too.

    `devices` has for each name the bytes that a process may use, a catalog name or `Device`, a pair of that and the
    number of copies (`None`: as many as needed), or a dict of amounts with `device`, `count`, `cost` and `reserve`.
    Each must state every resource that a model needs; `None` is no limit.

    `pins` says where a model may go: a device such as `"h100"` or `"h100:3"`, or several. Those of a group in
    `together` share their devices, of those in `apart` no two share one. `replicas` go onto different devices.
    `reserve` stays free on every device: bytes, or a dict from device to bytes or to amounts by resource.

    First, all models are placed; or with `keep="best_value"` those that are worth most by `values` (1 unless given).
    Then the devices in use cost as little as possible by `costs` (1 unless given, so that few are used).
    `book` says which figure of a footprint counts. `strategy` is `auto`, `greedy`, `local_search` or `exact`;
    `time_limit` is in seconds. The same `seed` gives the same placement unless time runs out. Ctrl-C raises
    `Interrupted` with the best so far. Raises `ProblemError` naming the model, device or rule at fault. That not
    everything fits is no error: see `Placement.status` and `Placement.reason`.
    """
    needs = _models(models, book)
    has = _devices(devices)
    resources = _resources(needs, has)
    return place_items(
        [(name, name == MEMORY or name.endswith("_memory")) for name in resources],
        _items(needs, resources, values, replicas),
        _kinds(has, needs, resources, costs, reserve),
        pins=_pins(needs, pins),
        together=_groups(together),
        apart=_groups(apart),
        keep=keep,
        strategy=strategy,
        time_limit=time_limit,
        seed=seed,
        progress=progress,
    )


def repack(
    placement: Placement,
    *,
    add: Models | None = None,
    remove: Iterable[str] = (),
    max_migrations: int | None = None,
    pins: Pins | None = None,
    together: Groups = (),
    apart: Groups = (),
    replicas: Mapping[str, int] | None = None,
    values: Mapping[str, Number] | None = None,
    book: Literal["best", "hi"] = "best",
    strategy: str = "auto",
    time_limit: float | None = 10.0,
    seed: int = 0,
    progress: Listener | None = None,
) -> Placement:
    """Take models in and out of a placement, and move as few bytes as possible.

    `add` is as the `models` of `place`, `remove` has names. At most `max_migrations` replicas may move. The rules of
    the placement stay; those given here are added. First everything is placed (or what is worth most), then as few
    bytes as possible move, then the devices cost as little as possible. The answer lists in `steps` the moves in an
    order in which no device is ever over-full; where moves wait for each other's room, a step `unload` takes a model
    out of service until its `load`.
    """
    needs = {} if add is None else _models(add, book)
    resources = [name for name, _ in placement.resources]
    for name, amounts in needs.items():
        for resource in amounts:
            if resource not in resources and resource not in OF_A_MODEL:
                raise _wrong(f"models[{name!r}]", f"no device states {resource!r}")
    return repack_items(
        placement,
        _items(needs, resources, values, replicas),
        list(remove),
        pins=_pins(needs, pins),
        together=_groups(together),
        apart=_groups(apart),
        max_migrations=max_migrations,
        strategy=strategy,
        time_limit=time_limit,
        seed=seed,
        progress=progress,
    )


def _wrong(field: str, reason: str) -> ProblemError:
    return ProblemError(f"{field}: {reason}", field=field, reason=reason)


def _is_size(value: object) -> bool:
    return not isinstance(value, str) or LIKE_A_SIZE.match(value) is not None


def _models(models: Models, book: str) -> dict[str, dict[str, Any]]:
    """Give for each model its amounts, `memory` among them, and what else was said of it."""
    if book not in {"best", "hi"}:
        raise _wrong("book", f"{book!r} is none of best, hi")
    given = models if isinstance(models, Mapping) else {name: name for name in _names("models", models)}
    found = {}
    for name, needs in given.items():
        amounts = dict(needs) if isinstance(needs, Mapping) else {"model": needs}
        if "model" in amounts and MEMORY not in amounts:
            amounts[MEMORY] = _memory(amounts["model"], book)
        if MEMORY not in amounts:
            raise _wrong(f"models[{name!r}]", "it says nothing of memory")
        found[name] = amounts
    return found


def _memory(model: Any, book: str) -> Any:  # noqa: ANN401 - whatever names a model or its size
    if isinstance(model, str) and _is_size(model) and not os.path.exists(model):  # noqa: PTH110 - as `footprint` asks
        try:
            return parse_bytes(model)
        except QuantityError:
            return _booked(footprint(model), book)
    if isinstance(model, Footprint):
        return _booked(model, book)
    if isinstance(model, str | os.PathLike | Model):
        return _booked(footprint(model), book)
    return model


def _booked(needs: Footprint, book: str) -> int:
    return needs.total.hi if book == "hi" else needs.total.best


def _devices(devices: Devices) -> dict[str, dict[str, Any]]:
    given = devices if isinstance(devices, Mapping) else {name: name for name in _names("devices", devices)}
    found = {}
    for name, has in given.items():
        amounts = dict(has) if isinstance(has, Mapping) else {"device": has}
        if isinstance(amounts.get("device"), tuple | list):
            pair = amounts["device"]
            if len(pair) != 2:  # noqa: PLR2004 - a pair
                raise _wrong(f"devices[{name!r}]", "expected a capacity, or a pair of capacity and count")
            amounts["device"], amounts["count"] = pair
        if MEMORY not in amounts and "device" in amounts:
            on = amounts["device"]
            on = target(on) if isinstance(on, str) else on
            amounts[MEMORY] = on.usable.best if isinstance(on, Device) else on
        if MEMORY not in amounts:
            raise _wrong(f"devices[{name!r}]", "it says nothing of memory")
        found[name] = amounts
    return found


def _names(field: str, names: object) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise _wrong(field, f"expected a dict or a list of names, not {type(names).__name__}")
    listed = list(names)
    for name in listed:
        if not isinstance(name, str):
            raise _wrong(field, f"a name is a str, not {type(name).__name__}")
    repeated = [name for name in dict.fromkeys(listed) if listed.count(name) > 1]
    if repeated:
        raise _wrong(field, f"{repeated[0]!r} stands there twice; give a dict with a name for each, or replicas")
    return listed


def _resources(needs: dict[str, dict[str, Any]], has: dict[str, dict[str, Any]]) -> list[str]:
    """Give all resources that any model or device names, memory first."""
    named = [key for amounts in needs.values() for key in amounts if key not in OF_A_MODEL]
    named += [key for amounts in has.values() for key in amounts if key not in OF_A_DEVICE]
    return list(dict.fromkeys([MEMORY, *named]))


def _items(
    needs: dict[str, dict[str, Any]],
    resources: list[str],
    values: Mapping[str, Number] | None,
    replicas: Mapping[str, int] | None,
) -> list[tuple[str, list[Any], Any, int]]:
    for field, given in (("values", values), ("replicas", replicas)):
        _all_known(field, given, needs, "model")
    return [
        (
            name,
            [amounts.get(resource, 0) for resource in resources],
            (values or {}).get(name, amounts.get("value", 1)),
            _count(f"replicas[{name!r}]", (replicas or {}).get(name, amounts.get("replicas", 1))),
        )
        for name, amounts in needs.items()
    ]


def _count(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**32:
        raise _wrong(field, f"{value!r} is not a whole number from 1 to 2^32 - 1")
    return value


def _all_known(field: str, given: Mapping[str, Any] | None, known: Mapping[str, Any], noun: str) -> None:
    for name in given or {}:
        if name not in known:
            raise _wrong(field, f"there is no {noun} {name!r}")


def _kinds(
    has: dict[str, dict[str, Any]],
    needs: dict[str, dict[str, Any]],
    resources: list[str],
    costs: Mapping[str, Number] | None,
    reserve: ByteCount | Mapping[str, Any],
) -> list[tuple[str, list[Any], list[Any], Any, int | None]]:
    _all_known("costs", costs, has, "device")
    if isinstance(reserve, Mapping):
        _all_known("reserve", reserve, has, "device")
    needed = {key: name for name, amounts in needs.items() for key in amounts if key not in OF_A_MODEL}
    kinds = []
    for name, amounts in has.items():
        for resource, model in needed.items():
            if resource not in amounts:
                raise _wrong(f"devices[{name!r}]", f"it says nothing of {resource}, which {model!r} needs")
        count = amounts.get("count", 1)
        kept = _reserve(amounts.get("reserve", reserve.get(name, 0) if isinstance(reserve, Mapping) else reserve))
        kinds.append(
            (
                name,
                [amounts.get(resource) for resource in resources],
                [kept.get(resource, 0) for resource in resources],
                (costs or {}).get(name, amounts.get("cost", 1)),
                None if count is None or count == "*" else _count(f"devices[{name!r}]['count']", count),
            )
        )
    return kinds


def _reserve(reserve: Any) -> Mapping[str, Any]:  # noqa: ANN401 - bytes, or amounts by resource
    return reserve if isinstance(reserve, Mapping) else {MEMORY: reserve}


def _pins(needs: dict[str, dict[str, Any]], pins: Pins | None) -> list[tuple[str, list[str]]]:
    given = [(name, amounts["on"]) for name, amounts in needs.items() if "on" in amounts]
    given += list((pins or {}).items())
    return [(name, [on] if isinstance(on, str) else list(on)) for name, on in given]


def _groups(groups: Groups) -> list[list[str]]:
    return [[group] if isinstance(group, str) else list(group) for group in groups]
