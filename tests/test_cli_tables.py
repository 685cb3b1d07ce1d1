"""Tables on narrow terminals: figures and names stay whole, and what must break does so behind a mark."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as some
from rich.cells import cell_len
from rich.text import Text

from ullage.cli import show, simulate
from ullage.cli.app import app
from ullage.cli.columns import GAP, fitted, wrapped

LONGEST_NAME = 36
"""Names up to so many characters, such as those of devices, stay whole at 80 columns; tensors' names may be longer."""
MAY_BREAK = re.compile(r"/|,\w+=")
"""Pages of the web, and schemes and policies with options, may go on in the next line."""
COMMANDS = {
    "footprint": "footprint MODEL",
    "footprint of a name": "footprint llama-3.1-8b --runtime llama.cpp --weights gguf:q4_k",
    "fit": "fit llama-3.1-8b --device iphone-15-pro --runtime llama.cpp --weights gguf:q4_k --context 8192",
    "compress": "compress MODEL --scheme palettized:4,group=16 --container coreml:ios18",
    "simulate": "simulate MODEL --scheme palettized:4,group=16 --device iphone-14-pro "
    "--policy just_in_time,tile=256KiB",
    "simulate all": "simulate MODEL --scheme linear:8 --device iphone-14-pro --policy all",
    "optimize": "optimize MODEL --schemes dense:f16,linear:8,palettized:4,group=16 --device iphone-14-pro "
    "--memory-limit 30MB --time-limit 0.2",
    "pack": "pack --models all-minilm-l6-v2,7GB,13GB,llama3-2-3b --devices h100-sxm-80gb,rtx-4090",
    "place": "place --models chat=llama-3.1-8b,embed=all-minilm-l6-v2 --devices node=h100-sxm-80gb,iphone-15-pro",
    "split": "split llama-3.1-8b --devices rtx-3060-12gb,rtx-4090 --link 32GB",
    "split in groups": "split llama-3.1-8b --devices rtx-4090,rtx-4090,rtx-4090,rtx-4090 --tensor-parallel auto",
    "devices": "catalog devices",
    "models": "catalog models",
    "a model": "catalog show all-minilm-l6-v2",
    "a device": "catalog show rtx-4090",
    "rule": "catalog rule",
    "audit": "catalog audit",
    "architectures": "catalog architectures --search llama",
    "ratios": "score compression",
    "latencies": "score latency",
}


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[list[list[str]]]:
    """Give what is put into tables, texts only, while a command runs."""
    seen: list[list[list[str]]] = []
    real = show.Page.table

    def table(page: show.Page, columns: Any, rows: Any, keep: Any = None) -> None:
        shown = range(len(columns)) if keep is None else keep
        given = [list(row) for row in rows]
        texts = [[row[index] for index in shown if not isinstance(row[index], Text)] for row in given]
        seen.append([[columns[index].lstrip("=>") for index in shown], *texts])
        real(page, columns, given, keep)

    monkeypatch.setattr(show.Page, "table", table)
    return seen


def printed(*arguments: str, width: int) -> str:
    done = CliRunner(env={"COLUMNS": str(width)}).invoke(app, arguments, prog_name="ullage")
    assert done.exit_code in {0, 1}, done.output
    assert max(map(cell_len, done.stdout.splitlines())) <= width
    return done.stdout


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_of_a_table_breaks(
    command: str,
    width: int,
    minilm_dir: Path,
    tables: list[list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL").symlink_to(minilm_dir)
    text = printed(*COMMANDS[command].split(), width=width)
    words = set(text.split())
    given_words = {word for table in tables for row in table for cell in row for word in cell.split()}
    assert given_words, "a command without a table would make this test idle"
    broken = {word for word in given_words - words if width > 80 or len(word) <= LONGEST_NAME}
    assert {word for word in broken if not MAY_BREAK.search(word)} == set()
    assert all("group=16" in words for word in broken if "group=16" in word), "it breaks before its option"


def test_predictions_beside_measurements_have_a_table_for_each_model_and_scheme() -> None:
    cases = [
        {
            "model": model,
            "layers": 78,
            "scheme": scheme,
            "policy": policy,
            "threads": 16,
            "predicted_s": 0.1234,
            "measured_s": 0.2345,
            "error": -0.474,
            "measured_peak": 831_610_000,
            "peak_error": 0.0001,
        }
        for model in ("narrow", "wide")
        for scheme in ("palettized:4", "sparse:0.5+palettized:4,group=16")
        for policy in ("load_time", "just_in_time,tile=256KiB", "just_in_time,prefetch=1")
    ]
    summary = {"latency_mape": 0.1, "latency_p95": 0.1, "peak_worst": 0.01, "ranked_right": 1.0, "pairs": 3}
    profile = type("Profile", (), {"name": "here", "note": "calibrated in 2 rounds"})

    def verdict() -> None:
        simulate._draw_verdict(show.Page(), {"cases": cases, "summary": summary}, [], profile)  # type: ignore[arg-type] # noqa: SLF001

    import click  # noqa: PLC0415 - for one command

    done = CliRunner(env={"COLUMNS": "80"}).invoke(click.command()(verdict))
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    for case in cases:
        assert f"\n{case['model']} x78, {case['scheme']}\n" in done.stdout
    assert (
        len(
            re.findall(
                r"^just_in_time,tile=256KiB +16 +123 ms +234 ms +-47.4% +831.61 MB +\+0.0%$", done.stdout, re.MULTILINE
            )
        )
        == 4
    )


texts = some.text("ab /_:.-,=", max_size=30)


@given(
    some.lists(some.tuples(some.lists(texts, min_size=1, max_size=4), some.booleans()), min_size=1, max_size=5),
    some.integers(1, 100),
)
def test_columns_fit_or_nothing_is_decided(columns: list[tuple[list[str], bool]], width: int) -> None:
    rigid = [is_rigid for _, is_rigid in columns]
    widths = fitted([cells for cells, _ in columns], rigid, width)
    widest = [max(map(len, cells)) for cells, _ in columns]
    if widths is None:
        return
    assert sum(widest) + GAP * (len(columns) - 1) > width, "nothing had to give"
    assert sum(widths) + GAP * (len(columns) - 1) <= width
    for (cells, is_rigid), share, wide in zip(columns, widths, widest, strict=True):
        assert share == wide if is_rigid else share <= wide
        for cell in cells:
            lines = wrapped(cell, share).split("\n")
            assert is_rigid or max(map(len, lines)) <= share


@given(texts, some.integers(1, 40))
def test_wrapping_loses_nothing_but_blanks(text: str, width: int) -> None:
    lines = wrapped(text, width).split("\n")
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("palettized:4,group=16", 14, ["palettized:4,", "group=16"]),
        ("TinyLlama/TinyLlama-1.1B", 20, ["TinyLlama/TinyLlama-", "1.1B"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("", 5, [""]),
    ],
)
def test_a_text_breaks_at_blanks_then_behind_marks(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width).split("\n") == lines


def test_json_has_what_a_narrow_table_leaves_out() -> None:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["catalog", "devices", "--search", "iphone", "--json"])
    row = json.loads(done.stdout)["devices"][0]
    assert set(row["usable"]) >= {"lo", "best", "hi", "origin"}
