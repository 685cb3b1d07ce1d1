"""How the chapters are told: tables and bars. Every number comes from the facts, none is made here."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ullage import format_bytes

BAR = 32
STRIP = 60
FULL, EMPTY, LOADING, LEAVING = "█", "·", "▒", "░"


def title(console: Console, text: str) -> None:
    """Begin a chapter."""
    console.print()
    console.rule(f"[bold]{text}", align="left")


def bar(part: float, whole: float, width: int = BAR, style: str = "cyan") -> Text:
    """Draw `part` of `whole`."""
    filled = round(width * min(part / whole, 1.0)) if whole else 0
    return Text(FULL * filled, style) + Text(EMPTY * (width - filled), "dim")


def table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """Make an empty table; the columns named in `numbers` are set flush right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", no_wrap=column in numbers)
    return made


def footprint(console: Console, facts: dict[str, Any]) -> None:
    """Tell what the real model needs, beside what was published for it."""
    console.print(
        f"all-MiniLM-L6-v2, read from its header: {facts['tensors']} tensors, {facts['parameters']:,} parameters, "
        f"{facts['tensor_bytes']:,} bytes of tensors in a file of {facts['file_bytes']:,}."
    )
    needs = table("part", "least", "likely", "most", "", "from", numbers=("least", "likely", "most"))
    whole = facts["total"]["hi"]
    for name, part in (*facts["parts"].items(), ("total", facts["total"])):
        sizes = [format_bytes(part[key]) for key in ("lo", "best", "hi")]
        needs.add_row(name, *sizes, bar(part["best"], whole), part["origin"])
    console.print(needs)
    weights = table("weights of", "bytes", "", numbers=("bytes",))
    for name, size in facts["weights_by_part"].items():
        weights.add_row(name, f"{size:,}", bar(size, facts["tensor_bytes"]))
    console.print(weights)
    published = table("published for it", "bytes", "against the likely total", numbers=("bytes",))
    for row in facts["published"]:
        difference = row["bytes"] - facts["total"]["best"]
        sign = "+" if difference > 0 else "-"
        published.add_row(row["where"], format_bytes(row["bytes"]), f"{sign}{format_bytes(abs(difference))}")
    console.print(published)
    console.print(
        "The smallest figure is below the weights themselves: Android does not count pages of the embedding table "
        f"that were never read. Without that table the likely total is "
        f"{format_bytes(facts['without_embedding_table'])}."
    )


def fit(console: Console, facts: dict[str, Any]) -> None:
    """Tell whether it fits, and what makes it fit."""
    required, available = facts["required"], facts["available"]
    console.print(
        f"[bold]{facts['verdict'].capitalize()}.[/] An {facts['phone']} has {format_bytes(facts['memory'])} and gives "
        f"an app {format_bytes(available)} ({facts['basis']}). 12 GB of 16-bit weights need "
        f"{format_bytes(required['best'])}: {format_bytes(facts['short_by'])} too much."
    )
    levers = table(
        "what makes it fit", "needs (at most)", "", "may use", "fits", numbers=("needs (at most)", "may use")
    )
    for remedy in facts["remedies"]:
        needs = remedy["required"]
        levers.add_row(
            " + ".join(remedy["changes"]),
            f"{format_bytes(needs['best'])} ({format_bytes(needs['hi'])})",
            bar(needs["hi"], required["hi"]),
            format_bytes(remedy["available"]),
            remedy["verdict"],
        )
    console.print(levers)


def pack(console: Console, facts: dict[str, Any]) -> None:
    """Tell where the twelve models go."""
    console.print(
        f"Twelve models, {format_bytes(facts['total'])} in all. Best-fit decreasing takes {facts['greedy_bins_used']} "
        f"machines; the search finds a plan with {facts['bins_used']}, proven {facts['status']} (no plan uses fewer "
        f"than {facts['lower_bound']}), in {facts['seconds'] * 1e3:.2f} ms. The validator, which shares no code "
        "with the solvers, agrees."
    )
    plan = table("machine", "load", "of", "", "models", numbers=("load", "of"))
    for machine in facts["machines"]:
        plan.add_row(
            machine["name"],
            format_bytes(machine["load"]),
            format_bytes(machine["capacity"]),
            bar(machine["load"], machine["capacity"], 20),
            ", ".join(machine["models"]) or "-",
        )
    console.print(plan)


def pool(console: Console, facts: dict[str, Any]) -> None:
    """Tell how the pool served, and that it never took more than it had."""
    ends = ", ".join(f"{count} {end}" for end, count in facts["ends"].items())
    console.print(
        f"Seven models of {format_bytes(facts['sum_of_models'])} in all under a budget of "
        f"{format_bytes(facts['budget'])}; {facts['requests']} requests: {ends}. {facts['loads']} loads, "
        f"{facts['evictions']} evictions, {facts['leases']} leases; a request waited {facts['wait_median_s']:.3f} s in "
        f"the median, {facts['wait_max_s']:.2f} s at most."
    )
    models = table(
        "model",
        "estimated",
        "booked",
        "measured",
        "loads",
        "evicted",
        numbers=("estimated", "booked", "measured", "loads", "evicted"),
    )
    for row in facts["models"]:
        measured = "-" if row["measured"] is None else format_bytes(row["measured"])
        name = f"[bold]{row['name']}[/] (real)" if row["real"] else row["name"]
        sizes = (format_bytes(row["estimated"]), format_bytes(row["booked"]), measured)
        models.add_row(name, *sizes, str(row["loads"]), str(row["evictions"]))
    console.print(models)
    _residency(console, facts["residency"])
    peaks = table(
        "peak of the whole pool", "bytes", f"of the budget of {format_bytes(facts['budget'])}", numbers=("bytes",)
    )
    for name in ("estimated", "booked", "measured"):
        peaks.add_row(name, format_bytes(facts[f"{name}_peak"]), bar(facts[f"{name}_peak"], facts["budget"]))
    console.print(peaks)
    console.print(
        f"Measured is what the process really held, read {facts['samples']:,} times. Overcommits: "
        f"[bold]{facts['overcommits']}[/]. Booked at the end: {facts['booked_at_the_end']} bytes."
    )
    for refusal in facts["refusals"][-1:]:
        console.print(f"A refusal as its caller saw it: {refusal['error']}: {refusal['message']}")
    alike, unlike = facts["cosines"].items()
    console.print(
        f'The embeddings are real: "A cat sits on the mat." is to "{alike[0]}" {alike[1]:.2f}, '
        f'to "{unlike[0]}" {unlike[1]:.2f}.'
    )


def _residency(console: Console, residency: dict[str, list[tuple[float, float, str]]]) -> None:
    """Draw when each model was in memory."""
    end = max((span[1] for spans in residency.values() for span in spans), default=1.0)
    marks = {"loading": LOADING, "ready": FULL, "unloading": LEAVING}
    strips = table(f"in memory over {end:.0f} s", f"{LOADING} loading {FULL} ready {LEAVING} unloading")
    for name, spans in residency.items():
        strip = [EMPTY] * STRIP
        for start, stop, state in spans:
            for place in range(int(start / end * STRIP), min(int(stop / end * STRIP) + 1, STRIP)):
                strip[place] = marks[state]
        strips.add_row(name, "".join(strip))
    console.print(strips)
