"""`ullage plugins`: what is installed under our groups of entry points."""

import click

from ullage.cli import options
from ullage.cli.show import Page, print_json
from ullage.errors import PluginError
from ullage.plugins import GROUPS, Plugin, installed

__all__ = ["plugins"]


@click.command(
    epilog="""\b
Exit status: 0 all can be used, or there are none; 1 some cannot; 2 bad usage.

\b
Examples:
  ullage plugins
  ullage plugins --json
"""
)
@options.as_json
def plugins(*, as_json: bool) -> int:
    """List policies, schemes and so on that others add.

    Each is imported and checked. A package adds them by entry points under ullage.policies, ullage.strategies,
    ullage.schemes and ullage.runtimes.
    """
    rows = [(plugin, _fault(plugin)) for plugin in installed()]
    if as_json:
        print_json({"groups": list(GROUPS.values()), "plugins": [_as_dict(plugin, fault) for plugin, fault in rows]})
    else:
        _draw(Page(), rows)
    return 1 if any(fault is not None for _, fault in rows) else 0


def _fault(plugin: Plugin) -> str | None:
    try:
        plugin.check()
    except PluginError as error:
        return error.reason
    return None


def _as_dict(plugin: Plugin, fault: str | None) -> dict[str, str | bool | None]:
    return {
        "kind": plugin.kind,
        "group": plugin.group,
        "name": plugin.name,
        "value": plugin.value,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "usable": fault is None,
        "fault": fault,
    }


def _draw(page: Page, rows: list[tuple[Plugin, str | None]]) -> None:
    if not rows:
        page.line(f"Nothing is installed under {', '.join(GROUPS.values())}.")
        return
    page.table(
        ("kind", "name", "", "from", "object"),
        [
            (
                plugin.kind,
                plugin.name,
                "usable" if fault is None else "broken",
                f"{plugin.distribution or '?'} {plugin.version or ''}".strip(),
                plugin.value,
            )
            for plugin, fault in rows
        ],
    )
    for plugin, fault in rows:
        if fault is not None:
            page.line()
            page.line(f"{plugin.kind} {plugin.name}: {fault}", "bold")
