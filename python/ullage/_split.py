"""`split`: have found the model and the devices, then let the core divide the one over the others."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias, Unpack

from ullage._core import Chain, Split, parse_bytes, split_pipeline, split_rack, split_tiers
from ullage._footprint import Workload, known_runtime
from ullage._subject import Subject, in_form, resolve, target
from ullage._types import ByteCount
from ullage.catalog import Device
from ullage.errors import ArgumentError, QuantityError
from ullage.solving import Progress

if TYPE_CHECKING:
    from ullage.plugins.runtime import AnyRuntime

__all__ = ["Link", "Links", "SplitDevice", "Tiers", "chain_of", "devices_of", "split"]

Link: TypeAlias = str | tuple[ByteCount | None, float] | None
"""Bytes a second and seconds until the first arrives: `"25GB"`, `"25GB+10us"`, `(25e9, 1e-5)`; `None` costs nothing."""
Links: TypeAlias = Link | Sequence[Link] | Mapping[str, Link]
"""One link for all, a list with one between each two neighbours, or `{"inside": ..., "between": ...}` of machines."""
Tiers: TypeAlias = Literal["in-place", "fetch"]

COPIES = re.compile(r"(?P<text>.*\S)\s+x(?P<copies>[1-9]\d{0,3})\s*", re.DOTALL)
LATENCY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|ms|us|µs|ns)")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
DISKS = ("disk", "nvme", "ssd")
HOSTS = ("host", "cpu", "ram")
TERA = 10**12
GIGA = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDevice:
    """A device that takes part of a model."""

    name: str
    memory: int
    """Bytes for the model, its caches and what the runtime needs."""
    bandwidth: int | None = None
    """Bytes of its memory that it reads a second; `None` where unknown."""
    flops: int | None = None
    """Operations a second; `None` where unknown or no limit."""
    node: int = 0
    """The machine it is in."""

    @property
    def is_disk(self) -> bool:
        """Whether its name says that it computes nothing."""
        return self.name.casefold().startswith(DISKS)

    @property
    def is_host(self) -> bool:
        """Whether its name says that it is no accelerator."""
        return self.name.casefold().startswith(HOSTS)


Devices: TypeAlias = str | Iterable[str | int | Device | SplitDevice]


def split(
    model: Subject | Chain,
    devices: Devices,
    *,
    objective: Literal["latency", "throughput", "devices", "balance"] | None = None,
    links: Links = None,
    order: Literal["given", "any"] = "given",
    tiers: Tiers | None = None,
    contiguous: bool = False,
    buffers: int = 1,
    tensor_parallel: int | Literal["auto"] | None = None,
    per_node: int | None = None,
    reserve: ByteCount = 0,
    context: int | None = None,
    batch: int = 1,
    kv_dtype: str = "f16",
    micro_batch: int | None = None,
    flash_attention: bool = True,
    runtime: "AnyRuntime | None" = None,
    weights: str | int | None = None,
    time_limit: float | None = 10.0,
    progress: Callable[[Progress], object] | None = None,
) -> Split:
    """Divide a model over devices so that a token is fast, and prove that no other division is better.

    `model` is whatever `footprint` takes but a size, or a `Chain`. `devices` are names of the catalog, `NAME=SIZE`,
    `NAME=SIZE@BANDWIDTH`, with `xN` after a space for copies, or `SplitDevice` objects: a list, or a text with
    commas.

    Without `tiers` and `tensor_parallel` every device takes a run of layers, in the order given or in any, and what is
    small is the `objective`: the `latency` of a step, the slowest stage (`throughput`), the number of `devices`, or how
    full the fullest is (`balance`). By default it is the latency where the bandwidths are known, else the balance.
    With `tiers`, the devices are a GPU, the host and perhaps a disk: `"in-place"` computes on the host what lies
    there, `"fetch"` brings it to the GPU over `links`, through one buffer or two; `contiguous` puts the last layers on
    the GPU.
    With `tensor_parallel`, the devices are alike, `per_node` in each machine, and groups of so many (`"auto"`: the best
    number) share every layer.

    Without a `runtime` it is llama.cpp for tiers in place and GGUF files, vLLM for groups, else Transformers.
    Raises `ArgumentError` for what makes no sense and what `footprint` raises. A model that does not fit is no error:
    see `Split.reason`.
    """
    found = devices_of(devices, reserve)
    chain = (
        model
        if isinstance(model, Chain)
        else chain_of(
            model,
            tiers=tiers,
            contiguous=contiguous,
            is_grouped=tensor_parallel is not None,
            context=context,
            batch=batch,
            kv_dtype=kv_dtype,
            micro_batch=micro_batch,
            flash_attention=flash_attention,
            runtime=runtime,
            weights=weights,
        )
    )
    if tiers is not None:
        if tensor_parallel is not None:
            _refuse("tiers", "tensor-parallel groups have no tiers")
        if objective not in {None, "latency"}:
            _refuse("objective", f"in tiers it is the latency, not {objective!r}")
        rows = _tiers(found, tiers, links)
        return split_tiers(chain, rows, buffers=buffers, is_cut=contiguous, time_limit=time_limit, progress=progress)
    if contiguous or buffers != 1:
        _refuse("tiers", "contiguous and buffers are of tiers, which are not asked for")
    wanted = objective or ("latency" if all(device.bandwidth for device in found) else "balance")
    if wanted in {"latency", "throughput"}:
        _needs_bandwidths(found)
    if tensor_parallel is not None:
        inside, between = _of_nodes(links)
        device, nodes, each = _alike(found, per_node)
        degree = None if tensor_parallel == "auto" else tensor_parallel
        return split_rack(
            chain,
            device,
            nodes,
            each,
            inside,
            between,
            degree=degree,
            objective=wanted,
            time_limit=time_limit,
            progress=progress,
        )
    places = [_row(device, index // per_node if per_node else device.node) for index, device in enumerate(found)]
    return split_pipeline(
        chain,
        places,
        _links(links),
        any_order=_is_any(order),
        objective=wanted,
        time_limit=time_limit,
        progress=progress,
    )


def chain_of(
    model: Subject,
    *,
    tiers: Tiers | None = None,
    contiguous: bool = False,
    is_grouped: bool = False,
    **workload: Unpack[Workload],
) -> Chain:
    """Give a model as the chain that `split` divides: for tiers, and not `contiguous`, experts are pieces apart.

    Without a runtime it is the one that does such a thing: llama.cpp in place and for its files, vLLM where devices are
    grouped, else Transformers.
    """
    found = in_form(resolve(model, is_computed=True), workload.get("weights"))
    runtime = workload.get("runtime")
    if runtime is None:
        is_llama = tiers == "in-place" or (tiers is None and found.format == "gguf")
        runtime = "vllm" if is_grouped else "llama.cpp" if is_llama else "transformers"
    return Chain.of(
        found,
        context=workload.get("context"),
        batch=workload.get("batch", 1),
        kv_dtype=workload.get("kv_dtype", "f16"),
        micro_batch=workload.get("micro_batch"),
        flash_attention=workload.get("flash_attention", True),
        runtime=known_runtime(runtime),
        experts_apart=tiers is not None and not contiguous,
    )


def devices_of(devices: Devices, reserve: ByteCount = 0) -> list[SplitDevice]:
    """Find the devices that are named, each with `reserve` bytes less; copies are called `name:0`, `name:1`."""
    given = devices.split(",") if isinstance(devices, str) else list(devices)
    kept = parse_bytes(reserve)
    found: list[SplitDevice] = []
    for entry in given:
        found.extend(_copies(entry))
    if not found:
        _refuse("devices", "there is none")
    names = [device.name for device in found]
    seen: dict[str, int] = {}
    numbered = []
    for device in found:
        name = device.name
        if names.count(name) > 1:
            number = seen.get(name, 0)
            seen[name] = number + 1
            name = f"{name}:{number}"
        numbered.append(
            SplitDevice(
                name=name,
                memory=max(device.memory - kept, 0),
                bandwidth=device.bandwidth,
                flops=device.flops,
                node=device.node,
            )
        )
    return numbered


def _copies(entry: str | int | Device | SplitDevice) -> list[SplitDevice]:
    if isinstance(entry, SplitDevice):
        return [entry]
    if isinstance(entry, Device):
        return [_of_catalog(entry)]
    if isinstance(entry, int):
        return [SplitDevice(name="device", memory=parse_bytes(entry))]
    if not entry.strip():
        _refuse("devices", "an entry between two commas is empty")
    match = COPIES.fullmatch(entry)
    text, copies = (match["text"], int(match["copies"])) if match else (entry, 1)
    return [_one(text.strip())] * copies


def _one(text: str) -> SplitDevice:
    text, at, rate = text.partition("@")
    bandwidth = parse_bytes(rate) if at else None
    name, equals, amount = text.partition("=")
    found = parse_bytes(amount) if equals else target(text)
    if isinstance(found, Device):
        known = _of_catalog(found)
        return SplitDevice(
            name=known.name, memory=known.memory, bandwidth=bandwidth or known.bandwidth, flops=known.flops
        )
    return SplitDevice(name=name.strip() if equals else "device", memory=found, bandwidth=bandwidth)


def _of_catalog(device: Device) -> SplitDevice:
    rate, peak = device.bandwidth_gb_s, device.fp16_tflops
    return SplitDevice(
        name=device.key,
        memory=device.usable.best,
        bandwidth=None if rate is None else round(rate * GIGA),
        flops=None if peak is None else round(peak * TERA),
    )


def _row(device: SplitDevice, node: int) -> tuple[str, int, int, int | None, int | None, int]:
    return device.name, device.memory, 0, device.bandwidth, device.flops, node


def _needs_bandwidths(devices: Iterable[SplitDevice]) -> None:
    for device in devices:
        if device.bandwidth is None:
            _refuse("devices", f"the bandwidth of {device.name} is not known; write {device.name}=SIZE@BANDWIDTH")


CoreLink: TypeAlias = tuple[ByteCount | None, float]
Tier: TypeAlias = tuple[str, int, int, int | None, int | None, int, CoreLink]


def _tiers(devices: list[SplitDevice], mode: Tiers, links: Links) -> list[Tier]:
    if mode not in {"in-place", "fetch"}:
        _refuse("tiers", f"{mode!r} is neither 'in-place' nor 'fetch'")
    if links is not None and not isinstance(links, str | tuple):
        _refuse("links", "tiers have one link, that over which the GPU fetches")
    wire = _link(links)
    if mode == "fetch" and len(devices) > 1 and wire[0] is None:
        _refuse("links", "what the GPU fetches over is not given, such as 25GB")
    _needs_bandwidths(devices)
    rows: list[Tier] = []
    for index, device in enumerate(devices):
        worker = index
        link: CoreLink = (None, 0.0)
        if index and mode == "fetch":
            worker, link = 0, wire
            if device.is_disk and device.bandwidth is not None:
                rate = parse_bytes(wire[0]) if wire[0] is not None else device.bandwidth
                link = (min(rate, device.bandwidth), wire[1])
        elif index and device.is_disk:
            worker, link = index - 1, (device.bandwidth, 0.0)
        rows.append((device.name, device.memory, 0, device.bandwidth, device.flops, worker, link))
    return rows


def _alike(
    devices: list[SplitDevice], per_node: int | None
) -> tuple[tuple[str, int, int, int | None, int | None, int], int, int]:
    first = devices[0]
    kinds = {(device.memory, device.bandwidth, device.flops) for device in devices}
    if len(kinds) > 1:
        _refuse("tensor_parallel", "the devices of a group must be alike")
    each = per_node or len(devices)
    if each < 1 or len(devices) % each:
        _refuse("per_node", f"{len(devices)} devices are not a whole number of machines with {each}")
    name = first.name.removesuffix(":0")
    return (name, first.memory, 0, first.bandwidth, first.flops, 0), len(devices) // each, each


def _is_any(order: str) -> bool:
    if order not in {"given", "any"}:
        _refuse("order", f"{order!r} is neither 'given' nor 'any'")
    return order == "any"


def _links(links: Links) -> tuple[str, list[CoreLink]]:
    if isinstance(links, Mapping):
        return "nodes", list(_of_nodes(links))
    if links is None or isinstance(links, str | tuple):
        return "alike", [_link(links)]
    return "neighbours", [_link(link) for link in links]


def _of_nodes(links: Links) -> tuple[CoreLink, CoreLink]:
    if isinstance(links, Mapping):
        unknown = set(links) - {"inside", "between"}
        if unknown:
            _refuse("links", f"{min(unknown)!r} is neither 'inside' nor 'between'")
        return _link(links.get("inside")), _link(links.get("between"))
    if links is None or isinstance(links, str | tuple):
        return _link(links), _link(links)
    return _refuse("links", "machines have two kinds of link, 'inside' and 'between'")


def _link(link: Link) -> CoreLink:
    if link is None:
        return None, 0.0
    if not isinstance(link, str):
        rate, latency = link
        return (None if rate is None else parse_bytes(rate)), float(latency)
    text, plus, after = link.partition("+")
    latency = 0.0
    if plus:
        match = LATENCY.fullmatch(after.strip())
        if match is None:
            _refuse("links", f"{after.strip()!r} is no time, such as 10us")
        latency = float(match["number"]) * UNITS[match["unit"]]
    try:
        return parse_bytes(text.strip().removesuffix("/s")), latency
    except QuantityError:
        return _refuse("links", f"{text.strip()!r} is no rate, such as 25GB or 25GB/s")


def _refuse(name: str, reason: str) -> NoReturn:
    raise ArgumentError(f"{name}: {reason}", name=name, reason=reason)
