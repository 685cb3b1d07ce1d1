"""`ullage split`: one model over several devices."""

import shlex
from typing import Any, Literal, Unpack

import click

import ullage
from ullage import Split, SplitPlace, format_bytes, splitting
from ullage._footprint import Workload
from ullage._split import Links, chain_of
from ullage.cli import INTERRUPTED, options
from ullage.cli.show import Page, print_json
from ullage.cli.solving import solved
from ullage.cli.values import SIZE
from ullage.errors import ArgumentError

__all__ = ["split"]

INSTANT_S = 0.001
MOST_ROWS = 60


@click.command(
    epilog="""\b
Exit status: 0 everything has a place, 1 it does not fit or nothing was
found in time, 2 bad usage or input, 130 after Ctrl-C.

\b
Examples:
  ullage split llama-3.1-8b --devices "rtx-3060-12gb,rtx-4060-8gb" \\
               --link 12GB+20us
  ullage split qwen3-30b-a3b --devices "rtx-4090,host=64GiB@60GB" \\
               --tiers in-place --weights gguf:q4_k
  ullage split llama-3-1-405b --devices "h100-sxm-80gb x16" \\
               --per-node 8 --tensor-parallel auto \\
               --link 450GB+3us --between 50GB+10us
"""
)
@click.argument("model")
@click.option(
    "--devices",
    "-d",
    required=True,
    metavar="LIST",
    help="Devices, separated by commas: names of the catalog, NAME=SIZE or NAME=SIZE@BANDWIDTH, each with xN for "
    "copies.",
)
@click.option(
    "--objective",
    type=click.Choice(["latency", "throughput", "devices", "balance"]),
    help="What is to be small. Default: the latency where all bandwidths are known, else the fill of the fullest.",
)
@click.option(
    "--link",
    metavar="RATE[+TIME]",
    help="Between two devices, such as 25GB+10us; with --tiers fetch, what the GPU fetches over.",
)
@click.option("--links", metavar="LIST", help="One link between each two neighbours instead, separated by commas.")
@click.option("--between", metavar="RATE[+TIME]", help="Between two machines, where --link is within one.")
@click.option("--per-node", type=click.IntRange(min=1), metavar="N", help="Devices of one machine. Default: all.")
@click.option(
    "--order", type=click.Choice(["given", "any"]), default="given", show_default=True, help="In which devices follow."
)
@click.option(
    "--tiers",
    type=click.Choice(["in-place", "fetch"]),
    help="The devices are GPU, host and perhaps disk: what lies on the host is computed there, or fetched to the GPU.",
)
@click.option("--contiguous", is_flag=True, help="In tiers, put the last layers on the GPU, as --n-gpu-layers does.")
@click.option(
    "--buffers", type=click.IntRange(1, 2), default=1, show_default=True, help="That the GPU fetches through."
)
@click.option(
    "--tensor-parallel", metavar="N|auto", help="Groups of N alike devices share every layer; auto: the best number."
)
@click.option(
    "--reserve", type=SIZE, metavar="SIZE", default="0", show_default=True, help="Bytes of each device left free."
)
@options.workload
@options.time_limit
@options.as_json
def split(
    *,
    model: str,
    devices: str,
    objective: Literal["latency", "throughput", "devices", "balance"] | None,
    link: str | None,
    links: str | None,
    between: str | None,
    per_node: int | None,
    order: Literal["given", "any"],
    tiers: Literal["in-place", "fetch"] | None,
    contiguous: bool,
    buffers: int,
    tensor_parallel: str | None,
    reserve: str,
    time_limit: float,
    as_json: bool,
    **workload: Unpack[Workload],
) -> int:
    """Divide one model over several devices, by layers.

    Every device takes a run of layers; with --tiers, a GPU, the host and a disk take what is best for each; with
    --tensor-parallel, groups of devices share every layer. Times are estimates by the roofline: bytes by bandwidth,
    operations by peak, plus links. Every answer is checked by an independent validator before it is shown.
    """
    chain = chain_of(model, tiers=tiers, contiguous=contiguous, is_grouped=tensor_parallel is not None, **workload)
    answer, is_interrupted = solved(
        lambda told: ullage.split(
            chain,
            devices,
            objective=objective,
            links=_links(link, links, between),
            order=order,
            tiers=tiers,
            contiguous=contiguous,
            buffers=buffers,
            tensor_parallel=_degree(tensor_parallel),
            per_node=per_node,
            reserve=reserve,
            time_limit=time_limit,
            progress=told,
        ),
        "picoseconds, devices or shares",
        time_limit,
    )
    ullage.validate(answer)
    tools = _tools(answer)
    if as_json:
        print_json(splitting.as_dict(answer) | {"tools": tools})
    else:
        _draw(Page(), answer, tools)
    if is_interrupted:
        return INTERRUPTED
    return 0 if answer.status in {"optimal", "feasible"} else 1


def _links(link: str | None, links: str | None, between: str | None) -> Links:
    if links is not None:
        if link is not None or between is not None:
            raise click.UsageError("give either --links or --link", click.get_current_context())
        return [part.strip() for part in links.split(",")]
    return {"inside": link, "between": between} if between is not None else link


def _degree(text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return "auto" if text else None
    if not text.isdecimal() or not 1 <= int(text) <= 4096:  # noqa: PLR2004 - the most devices
        raise click.BadParameter(f"{text} is neither auto nor a number of devices", param_hint="--tensor-parallel")
    return int(text)


def _tools(answer: Split) -> dict[str, Any]:
    """Give what tools take, as far as they can do what the split says."""
    found: dict[str, Any] = {}
    for name, made in (
        ("device_map", splitting.device_map),
        ("llama_cpp", splitting.llama_cpp),
        ("vllm", splitting.vllm),
    ):
        try:
            found[name] = made(answer)
        except ArgumentError:
            continue
    if answer.kind == "tiers":
        found.pop("vllm", None)
    return found


def _draw(page: Page, answer: Split, tools: dict[str, Any]) -> None:
    page.line(_sentence(answer), "bold")
    if answer.reason:
        page.line(f"Reason: {answer.reason}.")
    if answer.status not in {"optimal", "feasible"}:
        return
    page.line()
    used = [place for place in answer.places if place.pieces]
    columns = ("device", "", ">load", ">of", ">ms", "layers") if page.wide else ("device", ">load", ">of", "layers")
    page.table(columns, [_row(page, answer, place) for place in used[:MOST_ROWS]])
    idle = [place.name for place in answer.places if not place.pieces]
    if idle:
        page.line(f"not needed: {', '.join(idle)}")
    if answer.buffer:
        page.line(f"of which buffers to fetch through: {format_bytes(answer.buffer)}")
    if answer.alternatives:
        _alternatives(page, answer)
    page.title("For the tools that run it")
    if "llama_cpp" in tools:
        page.line(f"llama.cpp: {shlex.join(tools['llama_cpp'])}")
    if "vllm" in tools:
        sizes = tools["vllm"]
        page.line(
            f"vLLM: VLLM_PP_LAYER_PARTITION={sizes['VLLM_PP_LAYER_PARTITION']} --tensor-parallel-size "
            f"{sizes['tensor_parallel_size']} --pipeline-parallel-size {sizes['pipeline_parallel_size']}"
        )
    if "device_map" in tools:
        page.line("Accelerate: the device_map is in --json")


def _row(page: Page, answer: Split, place: SplitPlace) -> tuple[Any, ...]:
    load, room = format_bytes(place.load), format_bytes(place.capacity)
    named = _runs(answer, place.pieces)
    if not page.wide:
        return place.name, load, room, named
    return place.name, page.fill(place.load, place.capacity, 16), load, room, f"{place.time_s * 1000:.3f}", named


def _runs(answer: Split, pieces: list[int]) -> str:
    """Name pieces by the first and last of each run."""
    names = answer.chain.names
    runs: list[list[int]] = []
    for piece in pieces:
        if runs and piece == runs[-1][1] + 1:
            runs[-1][1] = piece
        else:
            runs.append([piece, piece])
    shown = [names[a] if a == b else f"{names[a]} ... {names[b]}" for a, b in runs[:3]]
    if len(runs) > len(shown):
        shown.append(f"{len(pieces):,} in all")
    return ", ".join(shown)


def _alternatives(page: Page, answer: Split) -> None:
    page.title("Groups of each size")
    rows = [
        (
            str(row["tensor_parallel"]),
            str(row["pipeline_parallel"]),
            str(row["devices"]),
            f"{row['latency_s'] * 1000:.3f}",
            f"{row['bottleneck_s'] * 1000:.3f}",
            row["reason"] or row["status"],
        )
        for row in answer.alternatives
    ]
    page.table((">group", ">stages", ">devices", ">ms", ">slowest ms", ""), rows)


def _sentence(answer: Split) -> str:
    took = f"{answer.seconds:.3g} s" if answer.seconds >= INSTANT_S else "under 1 ms"
    count = len(answer.assignment)
    pieces = f"{count:,} piece{'' if count == 1 else 's'}"
    if answer.status == "infeasible":
        return f"Infeasible: the model does not fit these devices ({took})."
    if answer.status == "timeout":
        return f"Timeout: no complete split found in time ({took})."
    used = sum(bool(place.pieces) for place in answer.places) * answer.tensor_parallel
    step = (
        f"{answer.latency_s * 1000:,.3f} ms a step, {1 / answer.latency_s:,.1f} steps a second"
        if answer.latency_s
        else ""
    )
    where = f"{pieces} on {used:,} device{'' if used == 1 else 's'}"
    told = "; ".join(part for part in (where, step) if part)
    proof = {
        "latency": "none is faster",
        "throughput": "no slowest stage is faster",
        "devices": "fewer are impossible",
        "balance": "none is evener",
    }[answer.objective]
    if answer.status == "optimal":
        return f"Optimal: {told}; {proof} ({took})."
    return f"Feasible: {told}; at best {answer.lower_bound:.6g} instead of {answer.value:.6g} ({took})."
