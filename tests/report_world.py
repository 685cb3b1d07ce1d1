"""Answers of commands, as files, for the tests of the report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from ullage import Timeline
from ullage.cli.app import app
from ullage.timeline.layout import EVENT

BUFFERS = "id,lower,upper,size\na,0,4,300\nb,2,9,500\nc,4,12,300\nd,9,12,200\n"
MODELS = "model,bytes,load_s\na,10000000000,2.0\nb,20000000000,4.0\nc,15000000000,3.0\n"


def answer(path: Path, *words: object) -> Path:
    """Write what `ullage WORDS --json` answers."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"], prog_name="ullage")
    assert done.exit_code == 0, done.output
    path.write_text(done.stdout, encoding="utf-8")
    return path


def answers(folder: Path) -> dict[str, Path]:
    """Give one file of each kind."""
    (folder / "buffers.csv").write_text(BUFFERS, encoding="utf-8")
    (folder / "models.csv").write_text(MODELS, encoding="utf-8")
    rows = [f"{number * 1.5},{'abacaab'[number * number % 7]},{0.1 + number % 13 / 5:.1f}\n" for number in range(100)]
    (folder / "requests.csv").write_text("time_s,model,duration_s\n" + "".join(rows), encoding="utf-8")
    replay = ("replay", folder / "requests.csv", "--models", folder / "models.csv", "--capacity", "32GB")
    simulate = ("simulate", "all-minilm-l6-v2", "--scheme", "linear:8", "--device", "h100-sxm-80gb")
    commands: dict[str, tuple[object, ...]] = {
        "pack": ("pack", "--models", "7GB x4,13GB x2", "--devices", "rtx-4090 x*"),
        "place": ("place", "--models", "a=6GB,b=5GB,c=5GB", "--devices", "x=10GB,y=8GB"),
        "arena": ("arena", folder / "buffers.csv", "--capacity", "1kB", "--output", folder / "layout.csv"),
        "simulate": (*simulate, "--policy", "just_in_time", "--prefetch", 1),
        "policies": (*simulate, "--policy", "all"),
        "optimize": ("optimize", "all-minilm-l6-v2", "--scheme", "linear:8", "--device", "h100-sxm-80gb"),
        "replay": (*replay, "--history"),
        "compare": (*replay, "--serial", "--compare", "value,lru,lfu"),
        "timeline": ("timeline", Path(__file__).parent / "data" / "traces" / "torch_profiler.json.gz"),
    }
    return {name: answer(folder / f"{name}.json", *words) for name, words in commands.items()}


def long_timeline(events: int, names: tuple[str, ...] = ("weights", "cache", "workspace"), seed: int = 3) -> Timeline:
    """Give a timeline of many events: reservations of random size, each given back after a while."""
    draw = np.random.default_rng(seed)
    half = events // 2
    rows = np.zeros(2 * half, EVENT)
    made = np.sort(draw.integers(0, 10**10, half))
    ends = made + draw.integers(1, 10**8, half)
    sizes = draw.integers(1, 10**9, half)
    label = draw.integers(0, len(names), half)
    for part, time, delta in ((slice(0, half), made, sizes), (slice(half, None), ends, -sizes)):
        rows["time_ns"][part], rows["delta"][part] = time, delta
        rows["id"][part], rows["label"][part], rows["account"][part] = np.arange(half), label, 1
    rows = rows[np.argsort(rows["time_ns"], kind="stable")]
    return Timeline.from_events(rows, ["/", "gpu0"], list(names), [1] * len(names), source="ledger")


def changed(path: Path, keys: tuple[Any, ...], value: object) -> None:
    """Change a field of a JSON file, or take it out by giving `...`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    place = content
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")
