"""What a `Split` means to the tools that run it: Accelerate, llama.cpp, vLLM."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ullage._core import Split
from ullage._split import DISKS, HOSTS
from ullage.errors import ArgumentError

__all__ = ["as_dict", "device_map", "llama_cpp", "vllm"]


def as_dict(split: Split) -> dict[str, Any]:
    """Give a split as a dictionary ready for JSON."""
    names = split.chain.names
    return {
        "status": split.status,
        "kind": split.kind,
        "objective": split.objective,
        "value": split.value,
        "lower_bound": split.lower_bound,
        "gap": split.value - split.lower_bound,
        "latency_s": split.latency_s,
        "bottleneck_s": split.bottleneck_s,
        "tensor_parallel": split.tensor_parallel,
        "buffer": split.buffer,
        "seconds": split.seconds,
        "reason": split.reason,
        "places": [
            {
                "name": place.name,
                "load": place.load,
                "capacity": place.capacity,
                "time_s": place.time_s,
                "transfer_s": place.transfer_s,
                "pieces": [names[piece] for piece in place.pieces],
            }
            for place in split.places
        ],
        "assignment": dict(zip(names, split.assignment, strict=True)),
        "alternatives": split.alternatives,
    }


def device_map(split: Split, names: Mapping[str, int | str] | None = None) -> dict[str, int | str]:
    """Give the modules with their devices, as `device_map` of Transformers and Accelerate takes it.

    `names` says what each device is called there; by default accelerators are counted from 0, what is called host or
    cpu is `"cpu"`, and what is called disk, nvme or ssd is `"disk"`. Raises `ArgumentError` where nothing was placed.
    """
    _refuse_unplaced(split)
    if split.tensor_parallel > 1:
        raise _refused("a device map cannot divide a module over a tensor-parallel group")
    called = names if names is not None else _called(split)
    chain = split.chain
    places = [place.name for place in split.places]
    return {
        module: called[places[place]]
        for modules, place in zip(chain.modules, split.assignment, strict=True)
        if place is not None
        for module in modules
    }


def llama_cpp(split: Split) -> list[str]:
    """Give the options of llama.cpp that place the layers so.

    `--n-gpu-layers` counts the last layers and the output, `--tensor-split` those of each GPU; `--n-cpu-moe` and
    `--override-tensor` keep experts and whole layers on the host. The embedding stays there in any case. Raises
    `ArgumentError` where nothing was placed, or GPUs do not take the layers in their order.
    """
    _refuse_unplaced(split)
    if split.tensor_parallel > 1:
        raise _refused("llama.cpp has no tensor-parallel groups")
    chain, names = split.chain, [place.name for place in split.places]
    on_gpu = {index for index, name in enumerate(names) if not _is_slow(name)}
    places = split.assignment
    rows = [
        (layer, is_experts, place)
        for index, (layer, is_experts, place) in enumerate(zip(chain.layers, chain.experts, places, strict=True))
        if place is not None and (layer is not None or index == len(chain) - 1)
    ]
    whole = [(layer, place) for layer, is_experts, place in rows if not is_experts]
    low = [layer for layer, place in whole if place not in on_gpu]
    high = [place for _, place in whole if place in on_gpu]
    options = ["--n-gpu-layers", str(len(high))]
    overrides: list[str] = []
    if low and [layer for layer, _ in whole[: len(low)]] != low:
        options = ["--n-gpu-layers", str(len(whole))]
        blocks = [str(layer) for layer in low if layer is not None]
        overrides += [f"blk\\.({'|'.join(blocks)})\\.=CPU"] if blocks else []
        overrides += ["output\\.weight=CPU"] if None in low else []
    if any(before > after for before, after in pairwise(high)):
        raise _refused("llama.cpp gives the layers to its GPUs in their order")
    if len(on_gpu) > 1:
        options += ["--tensor-split", ",".join(str(high.count(place)) for place in sorted(on_gpu))]
    with_experts = [layer for layer, is_experts, _ in rows if is_experts and layer is not None]
    kept = [layer for layer, is_experts, place in rows if is_experts and layer is not None and place not in on_gpu]
    if kept and kept == [layer for layer in with_experts if layer <= kept[-1]]:
        options += ["--n-cpu-moe", str(kept[-1] + 1)]
    elif kept:
        overrides.append(f"blk\\.({'|'.join(map(str, kept))})\\.ffn_.*_exps\\.=CPU")
    return options + [word for override in overrides for word in ("--override-tensor", override)]


def vllm(split: Split) -> dict[str, int | str]:
    """Give `tensor_parallel_size`, `pipeline_parallel_size` and the variable that states the layers of each stage."""
    _refuse_unplaced(split)
    layers = split.chain.layers
    stages = [place for place in split.places if place.pieces]
    counts = [sum(layers[piece] is not None for piece in place.pieces) for place in stages]
    return {
        "tensor_parallel_size": split.tensor_parallel,
        "pipeline_parallel_size": len(stages),
        "VLLM_PP_LAYER_PARTITION": ",".join(map(str, counts)),
    }


def _called(split: Split) -> dict[str, int | str]:
    called: dict[str, int | str] = {}
    gpus = 0
    for place in split.places:
        name = place.name.casefold()
        if name.startswith(DISKS):
            called[place.name] = "disk"
        elif name.startswith(HOSTS):
            called[place.name] = "cpu"
        else:
            called[place.name] = gpus
            gpus += 1
    return called


def _is_slow(name: str) -> bool:
    return name.casefold().startswith((*DISKS, *HOSTS))


def _refuse_unplaced(split: Split) -> None:
    if None in split.assignment:
        raise _refused(f"nothing was placed: {split.status}")


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(f"split: {reason}", name="split", reason=reason)
