"""What README and docs show is run: `python` blocks, and the `ullage` commands of `console` blocks.

The blocks of one document run in their order, in one folder and, for Python, in one namespace, as a reader would
type them. In the folder lies a real model, `all-MiniLM-L6-v2`, and nothing else. `await` and `async with` work at the
top level. A Python block that has lines `# > text` must print just these. A command must exit with status 0, or with
the one that a line `# exit N` below it states, and the lines shown below that must be among those it prints, in order;
a line `...` stands for what is left out.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import itertools
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})[ ]*(?P<language>[\w+-]*)")
COMMAND_LIMIT_S = 120
WIDTH = "100"
NEEDED = {"ray.md": ("ray", "ray.serve")}
"""What a document is about that is not installed everywhere."""
PRINTED = "# >"
LEFT_OUT = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    text: str
    path: Path
    line: int
    """Line of the document on which `text` begins, from 1."""


@dataclass(frozen=True)
class Command:
    """A command line of a `console` block with the exit status and the output that the block states."""

    text: str
    status: int
    line: int
    shown: tuple[str, ...] = ()


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of the document at `path`; a fence left open is a `ValueError`."""
    fence, language, first, body = "", "", 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                yield Block(language, "\n".join(body) + "\n", path, first)
                fence = ""
            else:
                body.append(line)
        elif match := FENCE.match(line):
            fence, language, first, body = match["fence"], match["language"], number + 1, []
    if fence:
        msg = f"{path}:{first - 1}: this block never ends"
        raise ValueError(msg)


def commands(block: Block) -> Iterator[Command]:
    """Yield the `$ ullage ...` lines of a console block, continued over a backslash at the end."""
    lines = block.text.splitlines()
    for index, line in enumerate(lines):
        if not re.match(r"\$ +ullage(\s|$)", line):
            continue
        last = index
        while lines[last].endswith("\\") and last + 1 < len(lines):
            last += 1
        text = "\n".join([line.removeprefix("$").strip(), *lines[index + 1 : last + 1]])
        below = list(itertools.takewhile(lambda line: not line.startswith("$"), lines[last + 1 :]))
        stated = re.fullmatch(r"# exit (\d+)", below[0].strip()) if below else None
        shown = tuple(line.rstrip() for line in below[1 if stated else 0 :] if line.strip() not in {"", LEFT_OUT})
        yield Command(text, int(stated[1]) if stated else 0, block.line + index, shown)


def run_python(block: Block, namespace: dict[str, object], runner: asyncio.Runner) -> None:
    """Run a Python block and compare what it prints with what it says that it prints."""
    stated = [found[1] for found in re.finditer(rf"^ *{PRINTED} ?(.*)$", block.text, re.MULTILINE)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        execute(block, namespace, runner)
    if stated and printed.getvalue().splitlines() != stated:
        pytest.fail(f"{block.path}:{block.line}: this block prints\n{printed.getvalue()}")


def execute(block: Block, namespace: dict[str, object], runner: asyncio.Runner) -> None:
    """Run a Python block so that a traceback names the document and its line."""
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, str(block.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)

    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, namespace)  # noqa: S102 - the repository's own documents
        return

    async def awaited() -> None:
        await eval(code, namespace)  # noqa: S307 - the repository's own documents

    runner.run(awaited())


def run_command(command: Command, path: Path) -> None:
    """Run a command as a shell would and compare its exit status with the stated one."""
    scripts = sysconfig.get_path("scripts")
    path_variable = os.pathsep.join([scripts, os.environ["PATH"]])
    environment = os.environ | {"PATH": path_variable, "NO_COLOR": "1", "COLUMNS": WIDTH, "PYTHONUTF8": "1"}
    done = subprocess.run(  # noqa: S603 - the repository's own documents
        ["/bin/sh", "-c", command.text],
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    if done.returncode != command.status:
        pytest.fail(
            f"{path}:{command.line}: `{command.text}` exited {done.returncode}, not {command.status}\n"
            f"{done.stdout}{done.stderr}",
        )
    printed = iter(done.stdout.splitlines())
    missing = [line for line in command.shown if line not in printed]  # `in` moves on: the order counts
    if missing:
        pytest.fail(f"{path}:{command.line}: `{command.text}` prints no line {missing[0]!r} there\n{done.stdout}")


def run_document(path: Path) -> int:
    """Run all of a document in the current folder; give the number of blocks and commands that ran."""
    ran = 0
    namespace: dict[str, object] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for block in blocks(path):
            if block.language == "python":
                run_python(block, namespace, runner)
                ran += 1
            elif block.language == "console":
                for command in commands(block):
                    run_command(command, path)
                    ran += 1
    return ran


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=str(path.relative_to(ROOT)), marks=[pytest.mark.cluster] if path.name in NEEDED else [])
        for path in DOCUMENTS
    ],
)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray", "ignore:.*:FutureWarning:ray")
def test_what_the_document_shows_works(
    path: Path, tmp_path: Path, minilm_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in NEEDED.get(path.name, ()):
        pytest.importorskip(package, reason=f"{package} is not installed, which {path.name} is about")
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(minilm_dir)
    monkeypatch.chdir(tmp_path)
    run_document(path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_file_that_the_document_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [path.parent / target for target in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = [ROOT / name for name in re.findall(r"`((?:rust|python|tests|docs|\.ci)/[\w./-]+)`", text)]
    assert links + named, "a document without any would make this test idle"
    assert not [str(target) for target in links + named if not target.exists()]


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the path of a document to write, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "document.md"


def test_blocks_share_a_namespace_a_folder_and_a_loop(document: Path) -> None:
    document.write_text(
        "Text with ```inline``` code.\n\n```python\nimport asyncio\nx = 1\nopen('made', 'w').close()\n```\n"
        "```text\nnot run\n```\n~~~python\nawait asyncio.sleep(0)\nx += 1\nassert x == 2\n~~~\n",
    )
    assert run_document(document) == 2
    assert Path("made").exists()


def test_a_failing_block_is_named_by_document_and_line(document: Path) -> None:
    document.write_text("# Title\n\n```python\nx = 1\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run_document(document)
    last = caught.traceback[-1]
    assert (last.path, last.lineno + 1) == (document, 5)


def test_a_block_without_an_end_is_an_error(document: Path) -> None:
    document.write_text("```python\nx = 1\n")
    with pytest.raises(ValueError, match=r"document\.md:1: this block never ends"):
        run_document(document)


def test_a_longer_fence_holds_a_shorter_one(document: Path) -> None:
    document.write_text("````markdown\n```python\n1 / 0\n```\n````\n")
    assert [block.language for block in blocks(document)] == ["markdown"]
    assert run_document(document) == 0


def test_only_the_commands_of_ullage_are_found(document: Path) -> None:
    document.write_text(
        "```console\n$ pip install ullage\n$ ullage fit a \\\n    --json\n# exit 1\noutput\n"
        "$ ullage machine | head -1\n$ ullage-other\n```\n",
    )
    (block,) = blocks(document)
    assert list(commands(block)) == [
        Command("ullage fit a \\\n    --json", 1, 3, ("output",)),
        Command("ullage machine | head -1", 0, 7),
    ]


@pytest.mark.parametrize(("stated", "given"), [(0, 0), (2, 2)])
def test_a_command_that_keeps_its_word_passes(document: Path, stated: int, given: int) -> None:
    shell = Command(f"exit {given}", stated, 1)
    run_command(shell, document)


def test_a_command_that_breaks_its_word_fails_with_its_output(document: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"document\.md:7: .* exited 3, not 0\nsaid"):
        run_command(Command("echo said; exit 3", 0, 7), document)


def test_what_a_block_says_that_it_prints_is_compared(document: Path) -> None:
    document.write_text("```python\nprint('a')\n# > a\nprint()\n# >\n```\n")
    assert run_document(document) == 1
    document.write_text("```python\nprint('a')\n# > b\n```\n")
    with pytest.raises(pytest.fail.Exception, match=r"document\.md:2: this block prints\na"):
        run_document(document)


@pytest.mark.parametrize("shown", [("one", "three"), ("two",), ()])
def test_shown_lines_that_are_printed_in_order_pass(document: Path, shown: tuple[str, ...]) -> None:
    run_command(Command("printf 'one\\ntwo\\nthree\\n'", 0, 1, shown), document)


@pytest.mark.parametrize("shown", [("three", "one"), ("on",), ("four",), ("one", "one")])
def test_shown_lines_that_are_not_printed_so_fail(document: Path, shown: tuple[str, ...]) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"document\.md:1: .* prints no line"):
        run_command(Command("printf 'one\\ntwo\\nthree\\n'", 0, 1, shown), document)


def test_a_command_finds_the_ullage_of_this_environment(document: Path) -> None:
    found = Path(sysconfig.get_path("scripts"), "ullage")
    run_command(Command(f'test "$(command -v ullage)" = "{found}"', 0, 1), document)
