"""`ullage optimize`: the best policy, and scheme, for every layer."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

import ullage
from ullage import Optimum, format_bytes
from ullage._optimize import optimum_as_dict
from ullage.cli import INTERRUPTED, options
from ullage.cli.show import Page, print_json, size
from ullage.cli.simulate_drawing import advice, draw_policies, draw_timeline, milliseconds
from ullage.cli.solving import solved
from ullage.cli.values import OUTPUT, SIZE, Number
from ullage.cli.working import waiting
from ullage.report import write_pass_trace

__all__ = ["optimize"]

MILLION = 1e6
FLAGS = {"symmetric", "affine", "tensor", "channel", "scale"}
"""Options of schemes that have no value."""


@click.command(
    epilog="""\b
Exit status: 0 an answer within the limits, 1 there is none or none was
found in time, 2 bad usage or input, 130 after Ctrl-C.

\b
Examples:
  ullage optimize model.safetensors --device iphone-14-pro --scheme palettized:4
  ullage optimize llama-3.2-1b --device iphone-16-pro --memory-limit 1GB \\
                  --schemes dense:f16,linear:8,palettized:4 --min-snr 25
  ullage optimize model.safetensors --device rtx-4090 --scheme linear:8 \\
                  --latency-limit 2ms --trace pass.json
"""
)
@click.argument("model")
@click.option("--device", "-d", required=True, metavar="NAME", help="A device of the catalog.")
@click.option("--scheme", metavar="SCHEME", help="How all weights are stored.")
@click.option(
    "--schemes",
    metavar="LIST",
    help="Schemes to choose from for every layer, separated by commas or blanks.",
)
@click.option(
    "--policies", metavar="LIST", help="Policies to choose from, separated by commas or blanks. Default: all."
)
@click.option("--memory-limit", type=SIZE, metavar="SIZE", help="The most memory: the latency is made small.")
@click.option("--latency-limit", metavar="TIME", help="The longest pass, such as 5ms: the memory is made small.")
@click.option("--min-snr", type=Number(), metavar="DB", help="The least signal to noise of all weights together.")
@click.option("--objective", type=click.Choice(["latency", "memory"]), help="What is made small, if not as above.")
@click.option("--batch", type=click.IntRange(1, 2**32), default=1, show_default=True, help="Tokens or images at once.")
@options.time_limit
@click.option(
    "--trace",
    type=OUTPUT,
    metavar="FILE",
    help="Write the pass as a trace that Perfetto and chrome://tracing open.",
)
@options.as_json
def optimize(
    *,
    model: str,
    device: str,
    scheme: str | None,
    schemes: str | None,
    policies: str | None,
    memory_limit: str | None,
    latency_limit: str | None,
    min_snr: float | None,
    objective: Any,  # noqa: ANN401 - one of two words, as click has checked
    batch: int,
    time_limit: float,
    trace: Path | None,
    as_json: bool,
) -> int:
    """Choose for every layer when its weights are decompressed.

    With --schemes, also how they are stored. MODEL is what `ullage footprint` takes. What a device does is simulated:
    with figures fitted to published latencies for the iPhone 14 Pro, with published peaks for others, so that only
    ratios are worth something.
    """
    if (scheme is None) == (schemes is None):
        raise click.UsageError("give either --scheme or --schemes", click.get_current_context())
    with waiting(f"sizing {model}"):
        found = None if schemes is not None else ullage.compress(model, scheme or "")
    answer, is_interrupted = solved(
        lambda told: ullage.optimize(
            model if found is None else found,
            device,
            schemes=_list(schemes, "--schemes") if schemes else None,
            policies=_list(policies, "--policies") if policies else None,
            memory_limit=memory_limit,
            latency_limit=None if latency_limit is None else _seconds(latency_limit),
            min_snr_db=min_snr,
            objective=objective,
            batch=batch,
            time_limit=time_limit,
            progress=told,
        ),
        "picoseconds or bytes",
        time_limit,
    )
    if trace is not None and answer.latency_s is not None:
        write_pass_trace(answer, trace, f"{model} on {device}")
    if as_json:
        print_json(optimum_as_dict(answer))
    else:
        _draw(Page(), answer, memory_limit)
    if is_interrupted:
        return INTERRUPTED
    return 0 if answer.latency_s is not None else 1


def _list(text: str, option: str) -> list[str]:
    """Split at blanks and commas, except before what is an option of the entry before it, such as `group=16`."""
    entries: list[str] = []
    for part in re.split(r"[\s,]+", text.strip(" ,")):
        if entries and (part in FLAGS or ("=" in part and ":" not in part)):
            entries[-1] += f",{part}"
        else:
            entries.append(part)
    if not all(entries):
        raise click.BadParameter("names nothing", param_hint=option)
    return entries


def _seconds(text: str) -> float:
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(s|ms|us|)\s*", text)
    try:
        seconds = float(found[1]) * {"ms": 1e-3, "us": 1e-6}.get(found[2], 1.0) if found else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise click.BadParameter(f"{text!r} is no time, such as 5ms", param_hint="--latency-limit")
    return seconds


def _draw(page: Page, answer: Optimum, memory_limit: str | None) -> None:
    page.line(_sentence(answer), "bold")
    if answer.reason:
        page.line(f"Reason: {answer.reason}.")
    page.title("One policy for all layers")
    draw_policies(page, answer.uniform, limit=ullage.parse_bytes(memory_limit) if memory_limit else None)
    best = {"latency_s": answer.latency_s, "peak_bytes": answer.peak_bytes} if answer.latency_s is not None else None
    page.line()
    page.line(advice(answer.uniform, best))
    if best is None or answer.latency_s is None:
        return
    page.title("What was chosen")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in answer.layers:
        groups.setdefault((row["policy"], row["scheme"]), []).append(row)
    page.table(
        (">layers", "policy", "scheme", ">stored", ">ms", "bound by"),
        [
            (
                str(len(rows)),
                policy,
                scheme,
                format_bytes(sum(row["bytes"] for row in rows)),
                milliseconds(sum(row["seconds"] for row in rows)),
                _bound(row["bound"] for row in rows),
            )
            for (policy, scheme), rows in sorted(groups.items(), key=lambda group: -len(group[1]))
        ],
    )
    page.title("A pass")
    draw_timeline(page, answer.timeline, answer.latency_s)
    if len(answer.front) > 1:
        page.title("Nothing that was looked at beats these in both")
        page.table(
            (">peak", ">ms", "policies"),
            [
                (
                    format_bytes(row["peak_bytes"]),
                    milliseconds(row["latency_s"]),
                    ", ".join(f"{count} {policy}" for policy, count in row["policies"].items()),
                )
                for row in answer.front[:12]
            ],
        )


def _bound(bounds: Iterable[str]) -> str:
    """Name what bounds most."""
    return Counter(bounds).most_common(1)[0][0].removesuffix("-bound")


def _sentence(answer: Optimum) -> str:
    if answer.latency_s is None or answer.peak_bytes is None:
        word = "Infeasible" if answer.status == "infeasible" else "Timeout"
        return f"{word}: nothing within the limits was found on {answer.device}."
    told = f"{milliseconds(answer.latency_s)} ms a pass at {size(answer.peak_bytes)} on {answer.device}"
    if answer.snr_db is not None:
        told += f", {answer.snr_db:.1f} dB signal to noise (assumed)" if answer.snr_db < float("inf") else ", lossless"
    if answer.status == "optimal":
        return f"Optimal: {told}."
    return f"Feasible: {told}; at best {answer.gap or 0.0:.2%} less."
