"""Every relative link of the documents leads to a file that is there, and every anchor to a heading of it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
INLINE = re.compile(
    r"(?<!\\)\]\(\s*<?(?P<target>[^()<>\s]+(?:\([^()\s]*\)[^()<>\s]*)*)>?(?:\s+[\"'][^\"']*[\"'])?\s*\)"
)
REFERENCE = re.compile(r" {0,3}\[[^\]^]+\]:\s*<?(?P<target>[^<>\s]+)>?")
HEADING = re.compile(r" {0,3}#{1,6}\s+(?P<text>.*?)\s*#*\s*$")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that stand in no fenced block, with their numbers and without their code."""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if fence:
            fence = "" if line.strip().startswith(fence) and not line.strip().strip(fence[0]) else fence
        elif match := FENCE.match(line):
            fence = match[1]
        else:
            yield number, line


def links(text: str) -> Iterator[tuple[int, str]]:
    """Yield the targets of links, and the lines on which they stand; a link may go over a line's end."""
    lines = [(number, re.sub(r"`[^`]*`", "``", line)) for number, line in prose(text)]
    for index, (number, line) in enumerate(lines):
        following = lines[index + 1][1] if index + 1 < len(lines) else ""
        for match in INLINE.finditer(f"{line}\n{following}"):
            if match.start() <= len(line):
                yield number, match["target"]
        if reference := REFERENCE.match(line):
            yield number, reference["target"]


def anchors(text: str) -> set[str]:
    """Give the anchors of a document's headings, as GitHub and MyST make them, and those that HTML names."""
    found = set(re.findall(r"<a\s+(?:id|name)=[\"']([^\"']+)", text)) | set(
        re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    )
    seen = Counter[str]()
    for _, line in prose(text):
        if match := HEADING.match(line):
            plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", match["text"]).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def dead(path: Path) -> list[str]:
    """Give the links of a document that lead nowhere."""
    found = []
    for number, target in links(path.read_text(encoding="utf-8")):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        other = (path.parent / name).resolve() if name else path
        if not other.exists():
            found.append(f"{path.name}:{number}: {target}: there is no {name}")
        elif anchor and other.suffix == ".md" and anchor not in anchors(other.read_text(encoding="utf-8")):
            found.append(f"{path.name}:{number}: {target}: {other.name} has no such heading")
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_link_leads_somewhere(path: Path) -> None:
    assert dead(path) == []


def test_the_documents_have_links_to_look_at() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert names >= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/index.md"}
    assert sum(len(list(links(path.read_text(encoding="utf-8")))) for path in DOCUMENTS) > len(DOCUMENTS)


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text(
        "# A `b` & C!\n\n## Twice\n\n## Twice\n\n```\n# no heading\n[x](absent.md)\n```\n"
    )
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-b--c) [c](other.md#twice-1)\n[d](https://example.org/x) `[e](absent.md)`\n"
        "[over\na line](absent.md), [f](other.md#no-heading) [g](#nowhere)\n\n[h]: absent.txt\n"
    )
    assert dead(page) == [
        "page.md:4: absent.md: there is no absent.md",
        "page.md:4: other.md#no-heading: other.md has no such heading",
        "page.md:4: #nowhere: page.md has no such heading",
        "page.md:6: absent.txt: there is no absent.txt",
    ]
    assert dead(tmp_path / "other.md") == []
