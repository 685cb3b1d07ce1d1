"""Packing by the heuristics of PyPI: binpacking, prtpy and rectpack."""

from typing import Any

from packing_model import Shape


def binpacking(instance: Any, _time_limit: float) -> list[int | None]:  # noqa: ANN401
    """Take `to_constant_volume` of binpacking."""
    import binpacking as peer  # noqa: PLC0415 - each alone

    sizes = dict(enumerate(instance.sizes))
    bins = peer.to_constant_volume(sizes, instance.capacity)
    return _places(instance.count, (list(held) for held in bins))


def prtpy_ffd(instance: Any, _time_limit: float) -> list[int | None]:  # noqa: ANN401
    """Take first fit decreasing of prtpy."""
    import prtpy  # noqa: PLC0415 - each alone

    sizes = {str(index): size for index, size in enumerate(instance.sizes)}
    bins = prtpy.pack(algorithm=prtpy.packing.first_fit_decreasing, items=sizes, binsize=instance.capacity)
    return _places(instance.count, ([int(name) for name in held] for held in bins))


def prtpy_bin_completion(instance: Any, _time_limit: float) -> tuple[list[int | None], int]:  # noqa: ANN401
    """Take bin completion of prtpy, an exact method; it knows no time limit."""
    import prtpy  # noqa: PLC0415 - each alone

    shape = Shape(instance, _time_limit)
    bins = prtpy.pack(algorithm=prtpy.packing.bin_completion, items=instance.sizes, binsize=instance.capacity)
    kinds = {demand: kind for kind, demand in enumerate(shape.demands)}
    held: list[dict[int, int]] = []
    for sizes in bins:
        held.append({})
        for size in sizes:
            kind = kinds[size,]
            held[-1][kind] = held[-1].get(kind, 0) + 1
    return shape.places(held), len(held)


def rectpack(instance: Any, _time_limit: float) -> list[int | None]:  # noqa: ANN401
    """Take rectpack on rectangles of height 1, offline, over all its orders of bins."""
    import rectpack as peer  # noqa: PLC0415 - each alone

    packer = peer.newPacker(mode=peer.PackingMode.Offline, bin_algo=peer.PackingBin.BFF, rotation=False)
    for index, size in enumerate(instance.sizes):
        packer.add_rect(max(size, 1), 1, rid=index)
    packer.add_bin(instance.capacity, 1, count=float("inf"))
    packer.pack()
    places: list[int | None] = [None] * instance.count
    for place, *_, index in packer.rect_list():
        places[index] = place
    return places


def _places(count: int, bins: Any) -> list[int | None]:  # noqa: ANN401
    places: list[int | None] = [None] * count
    for place, held in enumerate(bins):
        for index in held:
            places[index] = place
    return places
