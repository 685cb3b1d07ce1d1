"""The options that commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ullage.cli.values import Number

__all__ = ["as_json", "book", "time_limit", "workload"]

Function = TypeVar("Function", bound=Callable[..., Any])

MOST = 2**32

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead; every size is a whole number of bytes."
)

book = click.option(
    "--book",
    type=click.Choice(["best", "hi"]),
    default="best",
    show_default=True,
    help="Of each model, book the most likely need or the most it can be.",
)

time_limit = click.option(
    "--time-limit",
    type=Number(0),
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    help="Longest search, in seconds.",
)


class Count(click.ParamType):  # type: ignore[type-arg] # generic in newer versions of click alone
    """A whole number, or one with `k` for 1,024, as context lengths are written."""

    name = "count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read `8192` or `8k`."""
        if isinstance(value, int):
            return value
        text = str(value).strip().lower()
        digits, factor = (text[:-1], 1024) if text.endswith("k") else (text, 1)
        try:
            return int(digits) * factor
        except ValueError:
            self.fail(f"{value!r} is not a whole number, such as 8192 or 8k", param, ctx)


def _in_range(_context: click.Context, _option: click.Parameter, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MOST:
        raise click.BadParameter(f"{value} is not between 1 and 2^32")
    return value


def workload(command: Function) -> Function:
    """Add the options that say what a model is asked to do, and in which runtime."""
    context = click.option(
        "--context",
        type=Count(),
        callback=_in_range,
        metavar="TOKENS",
        help="Length of one sequence in tokens, such as 8192 or 8k. Default: the longest the model allows, at most "
        "4,096.",
    )
    batch = click.option(
        "--batch",
        type=Count(),
        callback=_in_range,
        metavar="SEQUENCES",
        default=1,
        show_default=True,
        help="Sequences at once.",
    )
    kv_dtype = click.option(
        "--kv-dtype",
        metavar="FORMAT",
        default="f16",
        show_default=True,
        help="Number format of the KV cache: f32, f16, bf16, fp8, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl or nvfp4.",
    )
    micro_batch = click.option(
        "--micro-batch",
        type=Count(),
        callback=_in_range,
        metavar="TOKENS",
        help="Tokens taken through the network at once while a prompt is read. Default: 512.",
    )
    flash_attention = click.option(
        "--flash-attention/--no-flash-attention",
        default=True,
        show_default=True,
        help="Whether attention is computed without writing its scores out.",
    )
    runtime = click.option(
        "--runtime",
        metavar="RUNTIME",
        help="llama.cpp, vllm, transformers, onnxruntime, executorch-xnnpack, coreml, tflite, numpy or generic; with @ "
        "and a version where several are known (see: ullage catalog runtimes). Default: what such files are usually "
        "run with, else generic, the span of all.",
    )
    weights = click.option(
        "--weights",
        metavar="SCHEME|SIZE",
        help="Think of the weights in another form: gguf:q4_k, palettized:4, linear:8, dense:f16, or the size of a "
        "file such as 1.14GB.",
    )
    measured = click.option(
        "--measured/--estimated",
        default=True,
        show_default=True,
        help="Whether what was measured before counts (see: ullage catalog measured).",
    )
    return context(batch(kv_dtype(micro_batch(flash_attention(runtime(weights(measured(command))))))))
