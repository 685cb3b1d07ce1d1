"""How the documentation is built: `make docs`."""

import re
import shutil
import tomllib
import warnings
from pathlib import Path

import click
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python/ullage"

project = "ullage"
author = copyright = "the developers of ullage"
version = release = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]

extensions = ["myst_parser", "autoapi.extension", "sphinx_click", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"ullage {version}"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
python_use_unqualified_type_names = True
default_role = "code"  # docstrings mark code with single backticks
nitpicky = False  # many names in docstrings are words of the field, not targets
suppress_warnings = [
    "myst.xref_missing",  # links to files of the repository, which a test checks
    "autoapi.python_import_resolution",  # a stub may import types from modules that import it
    "ref.python",  # `bytes` and such are also names of attributes
]


def sources() -> Path:
    """Copy the package, as plain as what reads it without running it wants it."""
    copy = ROOT / "target/docs-sources/ullage"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "cli"))
    for start in copy.rglob("__init__.py"):
        text = start.read_text(encoding="utf-8").replace("if TYPE_CHECKING:\n", "")
        text = re.sub(r"^    (from ullage)", r"\1", text, flags=re.MULTILINE)
        text = re.sub(r"^def __getattr__\b.*?(?=^\w|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
        start.write_text(text, encoding="utf-8")
    for stub in copy.rglob("*.pyi"):  # constructors are looked for under one name only
        text = re.sub(r"def __new__\((\s*)cls", r"def __init__(\1self", stub.read_text(encoding="utf-8"))
        stub.write_text(text, encoding="utf-8")
    return copy


warnings.filterwarnings("ignore", message="Astroid was unable to transform")  # lazy imports, which nothing here needs

# The reference is read from stubs and sources; nothing of it is imported. Its pages say what they show.
autoapi_dirs = [str(sources())]
autoapi_file_patterns = ["*.pyi", "*.py"]
autoapi_generate_api_docs = False
autoapi_member_order = "groupwise"
autoapi_python_class_content = "both"


def escape_stars(_app: Sphinx, _context: click.Context, lines: list[str]) -> None:
    """Keep the patterns in the examples of commands from being read as emphasis."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("sphinx-click-process-epilog", escape_stars)
