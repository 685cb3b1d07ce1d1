"""`ullage replay`: what a pool would have done with a trace of requests."""

from pathlib import Path
from typing import Any

import click

from ullage import format_bytes
from ullage.cli import options
from ullage.cli.show import Page, print_json, size
from ullage.cli.values import INPUT, OUTPUT, SIZE, Number
from ullage.cli.working import waiting, worked
from ullage.errors import ArgumentError, ProblemError, UnknownModelError, UnreadableError
from ullage.replaying import Replay, Trace, compare, policies, read_trace
from ullage.replaying import replay as run

__all__ = ["replay"]

PICTURES = (".png", ".svg", ".pdf")


@click.command(
    epilog="""\b
Exit status: 0 the trace was replayed; 1 something was overcommitted; 2 bad usage
or input.

\b
Examples:
  ullage replay requests.csv --models models.csv --capacity 80GB
  ullage replay requests.csv --models models.csv --capacity 80GB --serial --compare all
  ullage replay requests.csv --models models.csv --capacity 80GB --unload-lag 1.5 --estimate-error 0.5 --json
"""
)
@click.argument("requests", type=INPUT)
@click.option("--models", required=True, type=INPUT, metavar="FILE", help="Columns model, bytes and load_s.")
@click.option("--capacity", required=True, type=SIZE, metavar="SIZE", help="What the models share, such as 80GB.")
@click.option(
    "--policy",
    metavar="NAME",
    default="value",
    show_default=True,
    help="Which model goes first: " + ", ".join(policies()),
)
@click.option("--compare", "compared", metavar="NAMES", help="Policies side by side: names with commas, or all.")
@click.option("--serial", is_flag=True, help="One request after another: each takes an instant, a load no time.")
@click.option("--shared-bandwidth", is_flag=True, help="Loads under way share the bandwidth of one.")
@click.option(
    "--unload-lag",
    type=Number(0),
    metavar="SECONDS",
    default=0.0,
    show_default=True,
    help="Until memory is seen to be free.",
)
@click.option(
    "--estimate-error",
    type=Number(0, 1, max_open=True),
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Estimates are wrong by up to it.",
)
@click.option(
    "--timeout", type=Number(0), metavar="SECONDS", help="Longest wait of a request. Default: as long as it takes."
)
@click.option("--max-concurrency", type=click.IntRange(1, 2**32), metavar="N", help="Most leases of a model at once.")
@click.option(
    "--workspace", type=SIZE, metavar="SIZE", default="0", show_default=True, help="What each lease takes on top."
)
@click.option("--pin", "pins", multiple=True, metavar="MODEL", help="A model that stays once loaded; may be repeated.")
@click.option("--no-bound", is_flag=True, help="Leave the lower bound of a serial replay out.")
@click.option("--log", "log_path", type=OUTPUT, metavar="OUT.csv", help="Write what happened, in order.")
@click.option(
    "--history", is_flag=True, help="With --json, also what was loaded and sent away when, as `ullage report` draws it."
)
@click.option("--plot", type=OUTPUT, metavar="OUT.png", help="Draw the policies side by side.")
@click.option(
    "--top", type=click.IntRange(min=0), metavar="N", default=10, show_default=True, help="Show so many models."
)
@options.as_json
def replay(
    *,
    requests: Path,
    models: Path,
    capacity: str,
    policy: str,
    compared: str | None,
    pins: tuple[str, ...],
    no_bound: bool,
    log_path: Path | None,
    history: bool,
    plot: Path | None,
    top: int,
    as_json: bool,
    **conditions: Any,  # noqa: ANN401 - the options that `ullage.replay` takes by the same names
) -> int:
    """Replay a trace of requests through the pool.

    The pool runs on a virtual clock, under the very rule that decides in production.

    REQUESTS has the columns time_s, model and perhaps duration_s, in seconds. Files are CSV, also .csv.gz, or Parquet
    where pyarrow is installed.
    """
    if compared is not None and log_path is not None:
        raise click.UsageError("--log is for one policy, not for --compare", click.get_current_context())
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{plot.name} ends in none of {', '.join(PICTURES)}", param_hint="--plot")
    with waiting("reading the trace"):
        trace = _read(requests, models, pins)
    if history and (compared is not None or not as_json):
        raise click.UsageError("--history goes with --json, and not with --compare", click.get_current_context())
    conditions["bound"] = not no_bound
    if compared is None:
        with waiting("replaying"):
            rows = [run(trace, None, capacity, policy=policy, log=log_path is not None or history, **conditions)]
    else:
        names = None if compared == "all" else [name.strip() for name in compared.split(",")]
        rows = worked(
            lambda tell: compare(trace, None, capacity, policies=names, progress=tell, **conditions), "replaying"
        )
    if log_path is not None:
        _write(log_path, rows[0].log or b"")
    if plot is not None:
        _plot(rows, plot)
    if as_json:
        answer = rows[0].as_dict() if compared is None else {"policies": [row.as_dict() for row in rows]}
        print_json(answer | ({"history": _history(rows[0].log or b"")} if history else {}))
    elif compared is None:
        _draw(Page(), rows[0], top)
    else:
        _draw_table(Page(), rows)
    return 1 if any(row.overcommits for row in rows) else 0


def _read(requests: Path, models: Path, pins: tuple[str, ...]) -> Trace:
    """Read a trace; what is wrong with one of its files is said with that file's name."""
    try:
        return read_trace(requests, models, pins=pins)
    except ProblemError as error:
        kind, _, rest = str(error).partition(", ")
        file = {"requests": requests, "models": models}.get(kind)
        if file is not None:
            error.args = (f"{file}: {rest.removeprefix('file: ')}",)
        raise
    except UnknownModelError as error:
        error.args = (f"--pin: {models} has no model {error.name!r}",)
        raise


def _history(log: bytes) -> dict[str, Any]:
    """Give what was loaded and sent away when: times, `load` or `evict`, and the model's place; and when all ended."""
    lines = [line.split(",") for line in log.decode().splitlines()[1:]]
    moves = [move for move in lines if move[1] in {"load", "evict"}]
    return {
        "time_s": [int(when) / 1e9 for when, _, _ in moves],
        "event": [what for _, what, _ in moves],
        "model": [int(model) for _, _, model in moves],
        "end_s": max((int(line[0]) for line in lines), default=0) / 1e9,
    }


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error


def _share(row: Replay) -> str:
    return f"{row.cold_starts / row.requests:.1%}" if row.requests else "-"


def _draw(page: Page, row: Replay, top: int) -> None:
    cold = f"{row.cold_starts:,} of {row.requests:,} requests cold ({_share(row)})"
    page.line(f"{row.policy} in {format_bytes(row.capacity)}: {cold}, {row.load_seconds:,.0f} s of loading.", "bold")
    page.line()
    facts = [
        ("evicted", f"{row.evictions:,} models, {size(row.evicted_bytes)}"),
        ("refused", f"{row.refused:,}"),
        ("overcommitted", f"{row.overcommits:,}"),
        ("peak", size(row.peak_bytes)),
    ]
    if row.lower_bound_load_seconds is not None:
        facts.insert(0, ("lower bound", f"{row.lower_bound_load_seconds:,.0f} s of loading, whatever the policy"))
    if not row.serial:
        facts.append(
            ("waited", f"half {_wait(row.delays.p50_s)}, 99 % {_wait(row.delays.p99_s)}, all {_wait(row.delays.max_s)}")
        )
    page.table(("", ""), facts)
    busiest = sorted(row.models, key=lambda model: (-model.cold_starts, -model.requests))[:top]
    if busiest:
        page.title("The most cold starts")
        columns = (">requests", ">cold", ">size", *((">p50", ">p99", ">max") if not row.serial else ()), "model")
        page.table(columns, [_model(model, serial=row.serial) for model in busiest])


def _model(model: Any, *, serial: bool) -> tuple[str, ...]:  # noqa: ANN401 - one of `Replay.models`
    waits = (model.delays.p50_s, model.delays.p99_s, model.delays.max_s)
    shown = () if serial else tuple(f"{wait:.1f} s" for wait in waits)
    return f"{model.requests:,}", f"{model.cold_starts:,}", format_bytes(model.bytes), *shown, model.model


def _wait(seconds: float) -> str:
    return f"up to {seconds:.1f} s"


def _draw_table(page: Page, rows: list[Replay]) -> None:
    least = rows[0].lower_bound_load_seconds
    page.line(f"{rows[0].requests:,} requests in {format_bytes(rows[0].capacity)}", "bold")
    page.line()
    columns = ("policy", ">cold", ">share", ">load s", ">evicted", ">p99 wait", ">refused", ">over")
    page.table(
        columns if not rows[0].serial else tuple(name for name in columns if name != ">p99 wait"),
        [_compared(row) for row in rows],
    )
    if least is not None:
        page.line()
        page.line(f"No policy loads for less than {least:,.0f} s; clairvoyant knows the future, and is greedy.")


def _compared(row: Replay) -> tuple[str, ...]:
    wait = () if row.serial else (f"{row.delays.p99_s:.1f} s",)
    return (
        row.policy,
        f"{row.cold_starts:,}",
        _share(row),
        f"{row.load_seconds:,.0f}",
        format_bytes(row.evicted_bytes),
        *wait,
        f"{row.refused:,}",
        f"{row.overcommits:,}",
    )


def _plot(rows: list[Replay], path: Path) -> None:
    """Draw the seconds of loading of each policy, the lower bound as a line."""
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError:
        reason = "drawing needs matplotlib: pip install 'ullage[report]'"
        raise ArgumentError(f"plot: {reason}", name="plot", reason=reason) from None
    figure = Figure(figsize=(8, 0.35 * len(rows) + 1.8), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    names = [row.policy for row in reversed(rows)]
    bars = axes.barh(names, [row.load_seconds for row in reversed(rows)])
    axes.bar_label(bars, [f"{row.load_seconds:,.0f} s" for row in reversed(rows)], padding=3, fontsize="small")
    axes.margins(x=0.15)
    least = rows[0].lower_bound_load_seconds
    if least is not None:
        axes.axvline(least, color="black", linestyle="--", label=f"lower bound, {least:,.0f} s")
        # Beside the bars, which may reach into any corner.
        figure.legend(loc="outside lower right", frameon=False, fontsize="small")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("seconds of loading")
    axes.set_title(f"{rows[0].requests:,} requests in {format_bytes(rows[0].capacity)}", fontsize="medium")
    try:
        # Text stays text in a drawing of lines.
        with rc_context({"svg.fonttype": "none"}):
            figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: {error}", path=str(path)) from error
