"""The group of all commands: it loads one only when asked for, and turns every failure into a sentence."""

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from ullage import UllageError, __version__
from ullage.cli import INTERRUPTED
from ullage.cli.suggesting import meant, near
from ullage.cli.text import printable

__all__ = ["COMMANDS", "Commands", "app"]

COMMANDS = {
    "footprint": "Show what a model needs, part by part.",
    "fit": "Say whether a model fits a device, and what makes it fit.",
    "compress": "Say what a model takes with its weights compressed.",
    "calibrate": "Measure what this machine does in a second.",
    "simulate": "Say what decompressing weights late costs, and check it.",
    "optimize": "Choose for every layer when its weights are decompressed.",
    "score": "Compare estimates with what was measured.",
    "pack": "Place models on as few devices as possible.",
    "place": "Decide which model goes onto which of unlike devices.",
    "split": "Divide one model over several devices, by layers.",
    "arena": "Lay buffers with lifetimes out in one block of memory.",
    "replay": "Replay a trace of requests through the pool.",
    "report": "Draw plans, layouts, passes, replays and memory traces.",
    "top": "Watch a running pool: memory, models, queues, decisions.",
    "bench": "Compare strategies on public instances.",
    "timeline": "Show when a memory trace peaked, and who held what then.",
    "machine": "Show the memory of this machine: limits, GPUs, this process.",
    "catalog": "Look up models, devices, runtimes and what was measured.",
    "plugins": "List policies, schemes and so on that others add.",
    "demo": "Run the demonstration.",
}
"""Each command, which is a module of this package, and its help in one line: enough to list them all unloaded."""

BAD_INPUT = 2
NUMBERS = {
    "a valid float range": "a number",
    "a valid float": "a number",
    "a valid integer range": "a whole number",
    "a valid integer": "a whole number",
}
"""What click calls the numbers it wants, and what they are."""
RANGES = (
    (r"is not in the range (\S+?)<=x<=(\S+)", r"is not between \1 and \2"),
    (r"is not in the range (\S+?)<=x<(\S+)", r"is not from \1 to below \2"),
    (r"is not in the range x>=(\S+)", r"is less than \1"),
    (r"is not in the range x>(\S+)", r"is not more than \1"),
)
"""How click states a range, and how a sentence does."""


class Commands(click.Group):
    """Commands by name, loaded when first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Give the names of the commands that are installed."""
        return [name for name in COMMANDS if _installed(f"ullage.cli.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: object = getattr(importlib.import_module(f"ullage.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one has nearly that name."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(f"no such command {args[0]!r}{near(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def main(  # type: ignore[override] # standalone or not is decided here
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,  # noqa: ANN401 - click's
    ) -> None:
        """Run a command and end the process: 0 done, 1 the answer is no, 2 bad usage or input, 130 Ctrl-C."""
        words = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            status = super().main(words, prog_name, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            status = BAD_INPUT
        except click.Abort:
            status = INTERRUPTED
        except click.ClickException as error:
            status = _explain(_usage(error), type(error).__name__, words)
        except UllageError as error:
            status = _explain(meant(str(error)), type(error).__name__, words, error.as_dict())
        except OSError as error:  # such as a full disk below stdout
            status = _explain(_system(error), type(error).__name__, words)
        sys.exit(status)


def _installed(module: str) -> bool:
    """Tell whether there is such a module; a mere folder is none."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def _usage(error: click.ClickException) -> str:
    """Give a click error as one sentence that says where to read on."""
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    message = re.sub(r"'\[([A-Z]+)\]'", r"'\1'", message)
    message = re.sub(r"\. Choose from:\s*", ": one of ", message)
    message = message.replace(". Did you mean", "; did you mean").replace("\n\t", " ")
    for kind, word in NUMBERS.items():
        message = message.replace(kind, word)
    for range_, words in RANGES:
        message = re.sub(range_, words, message)
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message} (see '{context.command_path} --help')" if context else message


def _system(error: OSError) -> str:
    """Give what the operating system said, without its number."""
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error.strerror or str(error)


def _explain(message: str, kind: str, words: list[str], fields: dict[str, Any] | None = None) -> int:
    """Say what was wrong on stderr, and for programs on stdout; give the exit status."""
    click.echo(f"error: {printable(message)}", err=True)
    if "--json" in words:
        click.echo(json.dumps(fields or {"error": kind, "message": message}, default=str))
    return BAD_INPUT


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    epilog="""\b
A MODEL is a file or directory (safetensors, GGUF, ONNX, PyTorch, Core ML,
ExecuTorch, TFLite, config.json), a name of the catalog, or a plain size
such as 12GB.
Exit status: 0 done, 1 the answer is no or depends, 2 bad usage or input.
""",
)
@click.version_option(__version__, "-V", "--version", prog_name="ullage", message="%(prog)s %(version)s")
def app() -> None:
    """Say what a machine-learning model needs, where it fits, and how to pack many."""
