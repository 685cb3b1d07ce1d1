"""`ullage machine`: the memory there is."""

from dataclasses import asdict

import click

from ullage import format_bytes
from ullage import machine as probe
from ullage.cli import options
from ullage.cli.show import Page, print_json, size
from ullage.machine import Memory, ProcessMemory

__all__ = ["machine"]


@click.command(
    epilog="""\b
Examples:
  ullage machine
  ullage machine --json | jq .available
"""
)
@options.as_json
def machine(*, as_json: bool) -> int:
    """Show the memory of this machine, its limits and this process.

    The limit is the least of the host's memory, the control groups (containers) around this process and its own
    limits. Page cache that can be dropped at once does not count as used.
    """
    memory, process = probe.memory(), probe.process(full=True)
    if as_json:
        print_json(asdict(memory) | {"process": asdict(process)})
    else:
        _draw(Page(), memory, process)
    return 0


def _draw(page: Page, memory: Memory, process: ProcessMemory) -> None:
    page.line(f"{size(memory.available)} can still be had.", "bold")
    page.line(f"The limit is {size(memory.limit)}, from {memory.limit_source}.")
    page.line()
    rows = [("host", memory.host_total - memory.host_available, memory.host_total)]
    if memory.limit_source != "host":
        rows.append(("limit", memory.used, memory.limit))
    rows.append(("this process", process.rss, memory.limit))
    shown = size if page.wide else format_bytes
    cells = page.width - 62 if page.wide else 4
    page.table(
        ("", "", ">used", ">of"),
        [(name, page.fill(used, whole, cells), shown(used), shown(whole)) for name, used, whole in rows],
    )
    page.line()
    counts = {
        "throttled from": memory.high,
        "page cache that can be dropped": memory.reclaimable_cache,
        "swap in use on the host": memory.swap,
        "this process alone (USS)": process.uss,
        "with its share of pages (PSS)": process.pss,
    }
    page.table(("", ""), [(name, size(count)) for name, count in counts.items() if count is not None])
    for note in memory.notes:
        page.line(f"note: {note}")
