"""How the chapters are told: sentences, tables and bars. Every number comes from the facts, none is made here."""

from typing import Any

from ullage import format_bytes
from ullage.cli.show import Page, size

CELLS = 24
NARROWEST_STRIP = 20
ABSENT, LOADING, READY, LEAVING = "·", "▒", "█", "░"


def footprint(page: Page, facts: dict[str, Any]) -> None:
    """Tell what the real model needs, beside what was published for it."""
    page.line(
        f"all-MiniLM-L6-v2, read from its header: {facts['tensors']} tensors, {facts['parameters']:,} parameters, "
        f"{facts['tensor_bytes']:,} bytes of tensors in a file of {facts['file_bytes']:,}."
    )
    page.line()
    whole = facts["total"]["hi"]
    page.table(
        ["part", ">least", ">most likely", ">most", "", "from"],
        [
            [
                name.replace("_", " "),
                *(format_bytes(part[key]) for key in ("lo", "best", "hi")),
                page.bar(part["lo"], part["best"], part["hi"], whole, CELLS),
                part["origin"],
            ]
            for name, part in (*facts["parts"].items(), ("total", facts["total"]))
        ],
    )
    page.line(page.legend(), "dim")
    page.line()
    page.table(
        ["weights of", ">bytes", ""],
        [
            [name, f"{bytes_:,}", page.fill(bytes_, facts["tensor_bytes"], CELLS)]
            for name, bytes_ in facts["weights_by_part"].items()
        ],
    )
    page.line()
    page.table(
        ["published for it", ">bytes", ">against the likely total"],
        [[row["where"], format_bytes(row["bytes"]), _difference(row, facts)] for row in facts["published"]],
    )
    page.line()
    page.line(
        "The smallest figure is below the weights themselves: Android does not count pages of the embedding table that "
        f"were never read. Without that table the likely total is {format_bytes(facts['without_embedding_table'])}."
    )


def _difference(row: dict[str, Any], facts: dict[str, Any]) -> str:
    difference = row["bytes"] - facts["total"]["best"]
    return f"{'+' if difference > 0 else '-'}{format_bytes(abs(difference))}"


def fit(page: Page, facts: dict[str, Any]) -> None:
    """Tell whether it fits, and what makes it fit."""
    required = facts["required"]
    page.line(
        f"{facts['verdict'].capitalize()}. An {facts['phone']} has {size(facts['memory'])} and gives an app "
        f"{format_bytes(facts['available'])} ({facts['basis']}). 12 GB of 16-bit weights need "
        f"{format_bytes(required['best'])}: {format_bytes(facts['short_by'])} too much."
    )
    page.line()
    page.table(
        ["what makes it fit", ">needs", ">at most", "", ">may use", "fits"],
        [
            [
                " + ".join(remedy["changes"]),
                format_bytes(remedy["required"]["best"]),
                format_bytes(remedy["required"]["hi"]),
                page.fill(remedy["required"]["hi"], required["hi"], CELLS // 2),
                format_bytes(remedy["available"]),
                remedy["verdict"],
            ]
            for remedy in facts["remedies"]
        ],
    )


def pack(page: Page, facts: dict[str, Any]) -> None:
    """Tell where the twelve models go."""
    page.line(
        f"Twelve models, {format_bytes(facts['total'])} in all. Best-fit decreasing takes {facts['greedy_bins_used']} "
        f"machines; the search finds a plan with {facts['bins_used']}, {facts['status']}: no plan uses fewer than "
        f"{facts['lower_bound']}. The validator, which shares no code with the solvers, agrees."
    )
    page.line()
    page.table(
        ["machine", ">load", ">of", "", "models"],
        [
            [
                machine["name"],
                format_bytes(machine["load"]),
                format_bytes(machine["capacity"]),
                page.fill(machine["load"], machine["capacity"], CELLS // 2),
                ", ".join(machine["models"]) or "-",
            ]
            for machine in facts["machines"]
        ],
    )


def pool(page: Page, facts: dict[str, Any]) -> None:
    """Tell how the pool served, and that it never took more than it had."""
    ends = ", ".join(f"{count} {end}" for end, count in facts["ends"].items())
    page.line(
        f"Seven models of {format_bytes(facts['sum_of_models'])} in all under a budget of "
        f"{format_bytes(facts['budget'])}; {facts['requests']} requests: {ends}. {facts['loads']} loads, "
        f"{facts['evictions']} evictions, {facts['leases']} leases; a request waited {facts['wait_median_s']:.3f} s in "
        f"the median, {facts['wait_max_s']:.2f} s at most."
    )
    page.line()
    page.table(
        ["model", ">estimated", ">booked", ">measured", ">loads", ">evicted"],
        [
            [
                f"{row['name']} (real)" if row["real"] else row["name"],
                *(
                    "-" if row[kind] is None else format_bytes(row[kind])
                    for kind in ("estimated", "booked", "measured")
                ),
                str(row["loads"]),
                str(row["evictions"]),
            ]
            for row in facts["models"]
        ],
    )
    page.line()
    _residency(page, facts["residency"])
    page.line()
    page.table(
        ["peak of the whole pool", ">bytes", f"of the budget of {format_bytes(facts['budget'])}"],
        [
            [name, format_bytes(facts[f"{name}_peak"]), page.fill(facts[f"{name}_peak"], facts["budget"], CELLS)]
            for name in ("estimated", "booked", "measured")
        ],
    )
    page.line()
    page.line(
        f"Measured is what the process really held, read {facts['samples']:,} times. "
        f"Overcommits: {facts['overcommits']}. Booked at the end: {facts['booked_at_the_end']} bytes."
    )
    for refusal in facts["refusals"][-1:]:
        page.line(f"A refusal as its caller saw it: {refusal['error']}: {refusal['message']}.")
    alike, unlike = facts["cosines"].items()
    page.line(
        f'The embeddings are real: "{facts["text"]}" is to "{alike[0]}" {alike[1]:.2f}, '
        f'to "{unlike[0]}" {unlike[1]:.2f}.'
    )


def _residency(page: Page, residency: dict[str, list[tuple[float, float, str]]]) -> None:
    """Draw when each model was in memory."""
    end = max((span[1] for spans in residency.values() for span in spans), default=1.0)
    cells = max(page.width - max(map(len, residency)) - 4, NARROWEST_STRIP)
    marks = {"loading": LOADING, "ready": READY, "unloading": LEAVING}
    rows = []
    for name, spans in residency.items():
        strip = [ABSENT] * cells
        for start, stop, state in spans:
            for place in range(int(start / end * cells), min(int(stop / end * cells) + 1, cells)):
                strip[place] = marks[state]
        rows.append([name, "".join(strip)])
    page.table([f"in memory over {end:.0f} s", f"{LOADING} loading {READY} ready {LEAVING} unloading"], rows)
