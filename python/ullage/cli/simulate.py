"""`ullage simulate`: what decompressing weights late costs, and whether this machine agrees."""

from pathlib import Path
from typing import Any

import click

import ullage
from ullage import Profile, Simulation, format_bytes
from ullage._jit import SCHEMES, Disturbance
from ullage._jit import verify as hold_against
from ullage._profiles import profile_of
from ullage.cli import options
from ullage.cli.calibrate import draw_disturbance, vars_of
from ullage.cli.show import Page, print_json, size
from ullage.cli.simulate_all import as_dict, simulate_all, write_trace
from ullage.cli.values import OUTPUT, SIZE, Number
from ullage.cli.working import waiting, worked

__all__ = ["simulate"]

TARGETS = {"latency_mape": 0.08, "latency_p95": 0.20, "peak_worst": 0.02, "ranked_right": 0.95}


@click.command(
    epilog="""\b
Policies: load_time, just_in_time[,tile=256KiB], fused, keep_hot, stream, auto,
all.

\b
Examples:
  ullage simulate model.safetensors --scheme palettized:4 --device this-machine
  ullage simulate llama-3.2-1b --scheme linear:8 --device h100-sxm-80gb --policy just_in_time --prefetch 1
  ullage simulate --verify
"""
)
@click.argument("model", required=False)
@click.option("--scheme", metavar="SCHEME", multiple=True, help="How weights are stored, as in `ullage compress`.")
@click.option("--device", metavar="DEVICE", help="this-machine once calibrated, a profile.json, or one of the catalog.")
@click.option("--policy", metavar="POLICY", default="auto", show_default=True, help="When weights are decoded.")
@click.option("--prefetch", type=click.IntRange(0, 64), metavar="N", help="Decode or read so many layers ahead.")
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N", multiple=True, help="Threads that compute.")
@click.option("--batch", type=click.IntRange(1, 1024), default=1, show_default=True, help="Tokens or images of a pass.")
@click.option(
    "--memory-limit",
    type=SIZE,
    metavar="SIZE",
    help="Keep layers hot, or streamed ones in memory, as far as it reaches.",
)
@click.option("--from-storage", is_flag=True, help="Count reading stored weights towards the first output.")
@click.option(
    "--top", type=click.IntRange(min=0), metavar="N", default=10, show_default=True, help="Show so many layers."
)
@click.option(
    "--trace",
    type=OUTPUT,
    metavar="FILE",
    help="Write the pass as a trace that Perfetto and chrome://tracing open.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Calibrate this machine, simulate and execute a grid of plans, and hold one against the other.",
)
@click.option(
    "--seconds",
    type=Number(0, 3600),
    default=200.0,
    show_default=True,
    help="Time for the rounds of --verify, of which two at least.",
)
@options.as_json
def simulate(
    *,
    model: str | None,
    scheme: tuple[str, ...],
    device: str | None,
    policy: str,
    prefetch: int | None,
    threads: tuple[int, ...],
    batch: int,
    memory_limit: str | None,
    from_storage: bool,
    top: int,
    trace: Path | None,
    verify: bool,
    seconds: float,
    as_json: bool,
) -> int:
    """Say what decompressing weights late costs, and check it.

    How long a pass takes on a device, and what memory.

    With --verify no model is needed: predictions for this machine are held against execution, on shapes that were not
    calibrated; exit status 1 where they miss the targets. The machine is calibrated in alternation with that, unless
    --device FILE.json gives a profile of it.
    """
    if verify:
        return _verify(scheme, threads, device, seconds, as_json=as_json)
    if model is None or device is None or len(scheme) != 1:
        raise click.UsageError("a model, --scheme and --device are needed", click.get_current_context())
    if policy == "all":
        return simulate_all(
            model,
            device,
            trace=trace,
            as_json=as_json,
            scheme=scheme[0],
            threads=threads[0] if threads else None,
            batch=batch,
            memory_limit=memory_limit,
            from_storage=from_storage,
        )
    with waiting(f"simulating {model}"):
        found = ullage.simulate(
            model,
            device,
            scheme=scheme[0],
            policy=policy,
            prefetch=prefetch,
            threads=threads[0] if threads else None,
            batch=batch,
            memory_limit=memory_limit,
            from_storage=from_storage,
        )
    if trace is not None:
        write_trace(found, trace, f"{model} on {device}")
    if as_json:
        print_json(as_dict(found) | {"model": model, "scheme": scheme[0], "device": profile_of(device).name})
    else:
        _draw(Page(), found, profile_of(device), top)
    return 0


def _draw(page: Page, found: Simulation, profile: Profile, top: int) -> None:
    page.line(f"{_time(found.latency_s)} a pass on {profile.name}", "bold")
    page.line(f"first output after {_time(found.first_output_s)}; {format_bytes(found.bytes_moved)} moved in a pass")
    page.line(f"peak {size(found.peak_bytes)}, {size(found.resident_bytes)} between passes")
    page.line({"timed": "from timings of this machine"}.get(found.basis or "", "composed from rates: a rough figure"))
    bounds: dict[str, float] = {}
    for row in found.layers:
        bounds[row["bound"]] = bounds.get(row["bound"], 0.0) + row["seconds"]
    whole = max(found.latency_s, 1e-12)
    page.title("What bounds it")
    cells = 24 if page.wide else 6
    page.table(
        ("", "", ">share"),
        [
            (name, page.fill(round(1e6 * part / whole), 10**6, cells), f"{part / whole:.0%}")
            for name, part in sorted(bounds.items(), key=lambda item: -item[1])
        ],
    )
    rows = sorted(found.layers, key=lambda row: -row["seconds"])[:top]
    if rows:
        policy, *others = {row["policy"] for row in found.layers}
        # A policy that all layers have is said once.
        page.title("The slowest layers" if others else f"The slowest layers, all {policy}")
        page.table(
            (">time", "policy", "bound by", "layer"),
            [(_time(row["seconds"]), row["policy"], row["bound"].removesuffix("-bound"), row["name"]) for row in rows],
            None if others else (0, 2, 3),
        )
    if 0 < top < len(found):
        page.line(f"and {len(found) - top:,} more; --top shows more, --json all")


def _verify(
    schemes: tuple[str, ...], threads: tuple[int, ...], device: str | None, seconds: float, *, as_json: bool
) -> int:
    watch = Disturbance.begin()
    chosen = schemes or SCHEMES
    known = profile_of(device) if device is not None and Path(device).suffix == ".json" else None
    found = worked(
        lambda tell: hold_against(known, schemes=chosen, threads=threads or None, seconds=seconds, progress=tell),
        "verifying",
    )
    disturbance = watch.end()
    profile = found.pop("profile")
    summary = found["summary"]
    pairs = summary["pairs"]
    summary["ranked_right"] = summary["pairs_right"] / pairs if pairs else None
    missed = [name for name, target in TARGETS.items() if _misses(name, summary[name], target)]
    if as_json:
        print_json(
            found
            | {
                "targets": TARGETS,
                "missed": missed,
                "profile": {"name": profile.name, "note": profile.note},
                "disturbance": vars_of(disturbance),
            }
        )
    else:
        _draw_verdict(Page(), found, missed, profile)
        draw_disturbance(Page(), disturbance)
    return 1 if missed else 0


def _misses(name: str, value: float | None, target: float) -> bool:
    if value is None:
        return False
    return value < target if name == "ranked_right" else value > target


def _draw_verdict(page: Page, found: dict[str, Any], missed: list[str], profile: Profile) -> None:
    cases, summary = found["cases"], found["summary"]
    page.line(f"{len(cases)} cases on {profile.name}, predicted and measured", "bold")
    page.line(profile.note)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in cases:
        groups.setdefault(f"{row['model']} x{row['layers']}, {row['scheme']}", []).append(row)
    for name, rows in groups.items():
        page.title(name)
        page.table(
            ("=policy", ">threads", ">predicted", ">measured", ">error", ">peak", ">error"),
            [
                (
                    row["policy"],
                    str(row["threads"]),
                    _time(row["predicted_s"]),
                    _time(row["measured_s"]),
                    f"{row['error']:+.1%}",
                    format_bytes(row["measured_peak"]),
                    f"{row['peak_error']:+.1%}",
                )
                for row in rows
            ],
        )
    page.title("Verdict")
    ranked = summary["ranked_right"]
    page.table(
        ("", ">found", ">target", ""),
        [
            _verdict("latency, mean error", summary["latency_mape"], "latency_mape", missed),
            _verdict("latency, 95th percentile", summary["latency_p95"], "latency_p95", missed),
            _verdict("peak memory, largest error", summary["peak_worst"], "peak_worst", missed),
            _verdict(f"ranked right of {summary['pairs']} pairs", ranked, "ranked_right", missed),
        ],
    )
    page.line("Pairs are two policies for one model, scheme and number of threads, more than 15 % apart as measured.")


def _verdict(what: str, value: float | None, name: str, missed: list[str]) -> tuple[str, ...]:
    shown = "-" if value is None else f"{value:.1%}"
    sign = "at least" if name == "ranked_right" else "at most"
    return what, shown, f"{sign} {TARGETS[name]:.0%}", "missed" if name in missed else "met"


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
