"""`split`: models over devices, tiers and groups, beside figures counted by hand and brute force."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

import ullage
from ullage import Chain, Split, SplitDevice, splitting
from ullage._split import chain_of, devices_of
from ullage.errors import ArgumentError, ProblemError

GIB = 2**30
LLAMA = "llama-3.1-8b"
MIXTURE = "mixtral-8x7b"


def device(name: str, memory: int, bandwidth: int | None = None, **more: Any) -> SplitDevice:
    return SplitDevice(name=name, memory=memory, bandwidth=bandwidth, **more)


def checked(split: Split) -> Split:
    ullage.validate(split)
    return split


def layers(count: int, weights: int = 10, **more: Any) -> Chain:
    return Chain([f"layer.{index}" for index in range(count)], [weights] * count, **more)


def cuts(pieces: int, places: int) -> Iterator[list[int]]:
    """Give every way of giving each place a run, as the ends of the runs."""
    for ends in itertools.combinations_with_replacement(range(pieces + 1), places - 1):
        yield [*ends, pieces]


def naive_latency(weights: list[int], outputs: list[int], devices: list[SplitDevice], link: tuple[int, float]) -> float:
    """Count the fastest split from scratch, in seconds."""
    best = float("inf")
    for ends in cuts(len(weights), len(devices)):
        start, seconds, crossed = 0, 0.0, False
        for end, place in zip(ends, devices, strict=True):
            load = sum(weights[start:end])
            if load > place.memory:
                break
            if end > start:
                if crossed:
                    seconds += outputs[start - 1] / link[0] + link[1]
                seconds += load / (place.bandwidth or 1)
                crossed = True
            start = end
        else:
            best = min(best, seconds)
    return best


def test_the_fastest_split_is_that_of_brute_force() -> None:
    draw = random.Random(5)  # noqa: S311 - cases, no secrets
    met = 0
    for _ in range(300):
        count = draw.randint(1, 7)
        weights = [draw.randint(1, 9) for _ in range(count)]
        outputs = [draw.randint(0, 4) for _ in range(count)]
        places = [device(str(index), draw.randint(4, 25), draw.randint(1, 9)) for index in range(draw.randint(1, 4))]
        chain = Chain([str(index) for index in range(count)], weights, outputs=outputs)
        split = checked(ullage.split(chain, places, objective="latency", links=(3, 0.5)))
        best = naive_latency(weights, outputs, places, (3, 0.5))
        if split.status == "infeasible":
            assert best == float("inf")
        else:
            met += 1
            assert split.status == "optimal"
            assert split.latency_s == pytest.approx(best, abs=1e-9)
    assert met > 100


def test_every_objective_is_what_it_says() -> None:
    places = [device("slow", 40, 10), device("fast", 60, 100), device("also fast", 60, 100)]
    found = {
        objective: checked(ullage.split(layers(8), places, objective=objective))
        for objective in ("latency", "throughput", "devices", "balance")
    }
    assert all(split.status == "optimal" for split in found.values())
    assert found["latency"].latency_s == pytest.approx(0.8)
    assert found["throughput"].bottleneck_s == pytest.approx(0.4)
    assert found["devices"].value == 2
    assert found["balance"].value == pytest.approx(0.5)
    assert not found["latency"].places[0].pieces


def test_devices_of_unequal_size_are_filled_as_far_as_each_goes() -> None:
    split = checked(ullage.split(layers(10), [device("a", 75), device("b", 30)]))
    assert split.objective == "balance"
    assert [place.load for place in split.places] == [70, 30]
    assert splitting.device_map(split)["layer.7"] == 1


def test_an_order_can_be_free_and_a_machine_has_links_of_its_own() -> None:
    places = [device("small", 20, 10), device("large", 80, 100)]
    given = checked(ullage.split(layers(9), places))
    free = checked(ullage.split(layers(9), places, order="any"))
    assert [given.latency_s, free.latency_s] == pytest.approx([1.8, 1.8])
    four = [device(str(index), 20, 100) for index in range(4)]
    chain = layers(8, outputs=[10] * 8)
    split = checked(ullage.split(chain, four, per_node=2, links={"inside": (100, 0.0), "between": (10, 0.0)}))
    assert [place.transfer_s for place in split.places] == [0.1, 1.0, 0.1, 0.0]
    row = checked(ullage.split(chain, four, links=[(100, 0.0), (50, 0.25), (20, 0.0)]))
    assert [place.transfer_s for place in row.places] == pytest.approx([0.1, 0.45, 0.5, 0.0])


def test_shared_tensors_lie_once_in_each_place() -> None:
    chain = layers(4, shared=[(5, [0, 3])])
    one = checked(ullage.split(chain, [device("a", 45)]))
    two = checked(ullage.split(chain, [device("a", 25), device("b", 25)]))
    assert (one.places[0].load, [place.load for place in two.places]) == (45, [25, 25])
    assert ullage.split(chain, [device("a", 24), device("b", 26)]).reason is not None


@pytest.mark.parametrize(
    ("rooms", "reason"),
    [
        ([9, 9, 9, 9, 9, 9, 9], "layer.0 needs 10 B, the largest device has room for 9 B"),
        ([20, 19], "40 B are needed, all devices together have room for 39 B"),
        ([15, 15, 15], "layer.0 to layer.3 cannot be cut"),
    ],
)
def test_what_does_not_fit_says_why(rooms: list[int], reason: str) -> None:
    split = checked(ullage.split(layers(4), [device(str(index), room) for index, room in enumerate(rooms)]))
    assert split.status == "infeasible"
    assert split.reason is not None
    assert reason in split.reason
    assert split.assignment == [None] * 4
    with pytest.raises(ArgumentError, match="nothing was placed"):
        splitting.device_map(split)


def test_a_model_of_the_catalog_goes_over_two_unlike_gpus() -> None:
    split = checked(ullage.split(LLAMA, "rtx-3060-12gb, rtx-4060-8gb", links="12GB/s+20us", runtime="transformers"))
    assert split.status == "optimal"
    modules = splitting.device_map(split)
    assert set(modules.values()) == {0, 1}
    assert modules["model.embed_tokens"] == 0
    assert modules["lm_head"] == modules["model.norm"] == 1
    assert len(modules) == 32 + 3
    counts = [len(place.pieces) for place in split.places]
    assert splitting.vllm(split)["VLLM_PP_LAYER_PARTITION"] == f"{counts[0] - 1},{counts[1] - 1}"
    options = splitting.llama_cpp(split)
    assert options[:2] == ["--n-gpu-layers", "33"]
    assert options[2:] == ["--tensor-split", f"{counts[0] - 1},{counts[1]}"]


def test_the_bytes_are_those_of_the_footprint() -> None:
    needs = ullage.footprint(LLAMA, context=4096, batch=2, runtime="vllm")
    chain = chain_of(LLAMA, context=4096, batch=2, is_grouped=True)
    assert sum(chain.weights) == needs.weights.best
    assert sum(chain.state) == needs.kv_cache.best
    assert chain.workspace[0] == needs.activations.best + needs.overhead.best


def test_in_place_the_last_layers_are_on_the_gpu() -> None:
    tiers = "gpu=9GiB@400GB, host=64GiB@50GB"
    split = checked(ullage.split(LLAMA, tiers, tiers="in-place", contiguous=True, runtime="llama.cpp"))
    assert split.status == "optimal"
    on_gpu = sum(place == 0 for place in split.assignment)
    assert split.assignment == [1] * (34 - on_gpu) + [0] * on_gpu
    assert splitting.llama_cpp(split) == ["--n-gpu-layers", str(on_gpu)]
    anywhere = checked(ullage.split(LLAMA, tiers, tiers="in-place", runtime="llama.cpp"))
    assert anywhere.latency_s <= split.latency_s
    one_more = ullage.parse_bytes("9GiB") + max(split.chain.weights)
    more = checked(
        ullage.split(
            LLAMA, [device("gpu", one_more, 400 * 10**9), device("host", 64 * GIB, 50 * 10**9)], tiers="in-place"
        )
    )
    assert more.latency_s < split.latency_s


def test_several_gpus_follow_the_host_in_a_row() -> None:
    row = checked(ullage.split(LLAMA, "host=64GiB@50GB, a=6GiB@400GB, b=6GiB@400GB", runtime="llama.cpp"))
    counts = [len(place.pieces) for place in row.places]
    assert (row.status, min(counts) > 0, sum(counts)) == ("optimal", True, 34)
    gpus = f"{counts[1]},{counts[2]}"
    assert splitting.llama_cpp(row) == ["--n-gpu-layers", str(sum(counts[1:])), "--tensor-split", gpus]
    assert list(splitting.device_map(row, {"host": "cpu", "a": 0, "b": 1}).values()).count("cpu") == counts[0]


def test_of_a_mixture_the_experts_go_to_the_host_first() -> None:
    split = checked(
        ullage.split(
            MIXTURE, "gpu=24GiB@1000GB, host=256GiB@80GB", tiers="in-place", weights="gguf:q4_k", runtime="llama.cpp"
        )
    )
    assert split.status == "optimal"
    chain = split.chain
    low = [index for index, place in enumerate(split.assignment) if place == 1]
    assert low
    assert all(chain.experts[index] or chain.names[index] == "embedding" for index in low)
    options = splitting.llama_cpp(split)
    moved = [chain.layers[index] for index in low if chain.experts[index]]
    assert options[-2:] == ["--n-cpu-moe", str(len(moved))]
    assert moved == list(range(len(moved)))
    modules = splitting.device_map(split)
    assert modules["model.layers.0.block_sparse_moe.experts"] == "cpu"
    assert modules["model.layers.0.self_attn"] == 0


def test_fetched_layers_need_a_buffer_and_the_cable() -> None:
    tiers = [device("gpu", 35, 1000), device("host", 100, 50), device("disk", 1000, 2)]
    one = checked(ullage.split(layers(5), tiers, tiers="fetch", links=(10, 0.0)))
    assert (one.status, one.buffer) == ("optimal", 10)
    assert [len(place.pieces) for place in one.places] == [2, 3, 0]
    assert one.latency_s == pytest.approx(5 * 0.01 + 3 * 1.0)
    two = checked(ullage.split(layers(5), tiers, tiers="fetch", links=(10, 0.0), buffers=2))
    assert (two.buffer, [len(place.pieces) for place in two.places]) == (20, [1, 4, 0])
    assert two.latency_s == pytest.approx(0.01 + 4 * 1.0)
    low = checked(
        ullage.split(layers(5), [*tiers[:1], device("host", 15, 50), tiers[2]], tiers="fetch", links=(10, 0.0))
    )
    assert [len(place.pieces) for place in low.places] == [2, 1, 2]
    assert set(splitting.device_map(low).values()) == {0, "cpu", "disk"}


def test_tiers_that_are_too_small_name_the_limits() -> None:
    tiers = [device("gpu", 15, 100), device("host", 15, 10), device("disk", 15, 1)]
    split = checked(ullage.split(layers(4), tiers, tiers="in-place"))
    assert (split.status, split.reason) == (
        "infeasible",
        "nothing is within the limits of gpu and host and disk at once",
    )
    split = checked(ullage.split(layers(5), tiers, tiers="in-place"))
    assert split.reason == "50 B are needed, all tiers together have room for 45 B"


def test_groups_share_layers_and_the_best_degree_is_found() -> None:
    split = checked(
        ullage.split(
            "llama-3-1-405b",
            "gpu=76GiB@3350GB x16",
            tensor_parallel="auto",
            per_node=8,
            links={"inside": "450GB+3us", "between": "50GB+10us"},
            context=8192,
        )
    )
    assert (split.status, split.tensor_parallel) == ("optimal", 8)
    assert next(row["tensor_parallel"] for row in split.alternatives if row["status"] == "optimal") == 8
    assert {row["tensor_parallel"] for row in split.alternatives} == {1, 2, 4, 8}
    sizes = splitting.vllm(split)
    assert (sizes["tensor_parallel_size"], sizes["pipeline_parallel_size"]) == (8, 2)
    assert sum(map(int, str(sizes["VLLM_PP_LAYER_PARTITION"]).split(","))) == 126
    with pytest.raises(ArgumentError, match="tensor-parallel"):
        splitting.device_map(split)
    with pytest.raises(ArgumentError, match="tensor-parallel"):
        splitting.llama_cpp(split)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": ""}, "devices: an entry"),
        ({"devices": []}, "devices: there is none"),
        ({"devices": "24GiB", "objective": "latency"}, "bandwidth of device is not known"),
        ({"devices": "24GiB", "objective": "speed"}, "objective"),
        ({"devices": "24GiB", "order": "some"}, "order"),
        ({"devices": "24GiB", "tiers": "somewhere"}, "tiers"),
        ({"devices": "24GiB", "contiguous": True}, "tiers"),
        ({"devices": "a=1GiB@1GB,b=1GiB@1GB", "tiers": "fetch"}, "links"),
        ({"devices": "a=1GiB@1GB", "tiers": "in-place", "objective": "balance"}, "objective"),
        ({"devices": "a=1GiB@1GB", "tiers": "in-place", "tensor_parallel": 2}, "tiers"),
        ({"devices": "a=1GiB@1GB", "links": "1GB+soon"}, "links"),
        ({"devices": "a=1GiB@1GB", "links": "fast/s"}, "links"),
        ({"devices": "a=1GiB@1GB", "links": {"outside": "1GB"}}, "links"),
        ({"devices": "a=1GiB@1GB x3", "tensor_parallel": 3}, "tensor_parallel"),
        ({"devices": "a=1GiB@1GB x4", "tensor_parallel": 2, "per_node": 3}, "per_node"),
        ({"devices": "a=1GiB@1GB,b=2GiB@1GB", "tensor_parallel": 2}, "tensor_parallel"),
        ({"devices": "a=1GiB@1GB", "time_limit": -1.0}, "time_limit"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    chain = layers(4, heads=32, kv_heads=8, state=[8] * 4)
    with pytest.raises(ArgumentError, match=message):
        ullage.split(chain, **arguments)


def test_problems_that_make_no_sense_name_the_part_at_fault() -> None:
    with pytest.raises(ProblemError, match=r"pieces\[1\]"):
        Chain(["a", "a"], [1, 2])
    with pytest.raises(ProblemError, match="weights: 1 for 2 names"):
        Chain(["a", "b"], [1])
    with pytest.raises(ProblemError, match=r"shared\[0\]"):
        Chain(["a", "b"], [1, 2], shared=[(3, [1, 0])])
    with pytest.raises(ProblemError, match="links: 1 links between 3 devices"):
        ullage.split(layers(2), [device(name, 30) for name in "abc"], links=["1GB"])
    with pytest.raises(ProblemError, match=r"devices\[1\]"):
        ullage.split(layers(2), [device("a", 30), device("a:0", 30), device("a", 30)])
    with pytest.raises(ArgumentError, match="size alone"):
        ullage.split("12GB", "24GiB")


def test_devices_are_read_as_they_are_written() -> None:
    found = devices_of("rtx-4090 x2, host=64GiB@50GB, 8GiB", reserve="1GiB")
    assert [place.name for place in found] == ["rtx-4090:0", "rtx-4090:1", "host", "device"]
    assert (found[2].memory, found[2].bandwidth) == (63 * GIB, 50 * 10**9)
    assert found[0].bandwidth == 1008 * 10**9
    assert found[3].bandwidth is None


def test_a_split_is_plain_values_for_json() -> None:
    split = checked(ullage.split(layers(3), [device("a", 20, 10), device("b", 20, 5)]))
    found = splitting.as_dict(split)
    assert found["assignment"] == {"layer.0": 0, "layer.1": 0, "layer.2": 1}
    assert found["places"][1]["pieces"] == ["layer.2"]
    assert (found["status"], found["gap"], found["reason"]) == ("optimal", 0.0, None)
    assert "optimal: 3 pieces" in repr(split)


def test_progress_is_told_and_what_it_raises_ends_the_work() -> None:
    def stop(_progress: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ullage.split(layers(6), [device("a", 40, 10), device("b", 40, 10)], progress=stop)
