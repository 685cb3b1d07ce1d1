"""What moving a page of `ullage report` costs: times between frames as a timeline and an arena are zoomed and dragged.

In Chromium, run by hand: `python benches/report_frames.py [EVENTS]`. The pointer moves more often than the page is
drawn, so that every frame is one of a movement; `moved` says in how many it really had. The browser itself takes
16.7 ms, which is the floor, printed as `still`.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from playwright.async_api import async_playwright
from report_world import long_timeline

from ullage.report import read, save_timeline, write_report

LISTEN = """() => {
  globalThis.gaps = []; globalThis.drawn = 0
  let before = performance.now(), moved = false
  const note = () => { moved = true }
  for (const kind of ["pointermove", "wheel"]) addEventListener(kind, note, {capture: true, passive: true})
  const next = (now) => {
    gaps.push(now - before); before = now
    drawn += moved; moved = false
    requestAnimationFrame(next)
  }
  requestAnimationFrame(next)
}"""
NAMES = ("timeline.npz", "arena.csv")
SECONDS = 3.0
TICK_S = 0.008
"""Between two movements of the pointer."""


def arena(buffers: int, path: Path) -> None:
    """Write a layout of so many buffers, as `ullage arena --output` does."""
    draw = np.random.default_rng(5)
    lower = draw.integers(0, 10**6, buffers)
    columns = (lower, lower + draw.integers(1, 2000, buffers), draw.integers(1, 10**6, buffers))
    rows = np.stack((*columns, draw.integers(0, 10**9, buffers)), axis=1)
    np.savetxt(path, rows, "b,%d,%d,%d,%d", header="id,lower,upper,size,offset", comments="")


async def main(events: int) -> None:
    """Print the frames of each movement."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder:
        save_timeline(long_timeline(events), Path(folder) / "timeline.npz")
        arena(events, Path(folder) / "arena.csv")
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=found, args=["--no-sandbox"])
            for name in NAMES:
                path = Path(folder) / f"{name}.html"
                write_report([read(Path(folder) / name)], path)
                _print(f"{name}: {events:,} events, a page of {path.stat().st_size / 1e6:.1f} MB")
                await _measure(browser, path)
            await browser.close()
    _print(f"load average {os.getloadavg()[0]:.1f}")


async def _measure(browser: Any, path: Path) -> None:  # noqa: ANN401 - Playwright's
    page = await browser.new_page(viewport={"width": 1200, "height": 900})
    await page.goto(path.as_uri())
    await page.wait_for_function("globalThis.Bokeh?.documents?.[0]?.is_idle === true", timeout=60_000)
    box = await page.locator(".bk-Canvas").first.bounding_box()
    x, y = box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2
    await page.evaluate(LISTEN)
    await asyncio.sleep(SECONDS)
    await _say("still", page)
    await page.mouse.move(x, y)
    for times, direction in (("in", -1), ("out", 1)):
        for _ in range(10):
            await _together([page.mouse.wheel(0, direction * 60) for _ in range(4)], 4 * TICK_S)
        await _say(f"zoomed {times}", page)
        if times == "in":
            await page.mouse.down()
            steps = [200 * ((step % 80) / 40 - 1) for step in range(int(SECONDS / TICK_S))]
            await _together([page.mouse.move(x + step, y) for step in steps])
            await page.mouse.up()
            await _say("dragged", page)
    await page.close()


async def _together(movements: list[Any], pause_s: float = 0.0) -> None:
    """Begin one movement a tick, whether the one before was answered or not."""
    tasks = []
    for movement in movements:
        tasks.append(asyncio.create_task(movement))
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*tasks)
    await asyncio.sleep(pause_s)


async def _say(what: str, page: Any) -> None:  # noqa: ANN401 - Playwright's
    found = json.loads(await page.evaluate("() => JSON.stringify([gaps.splice(0), drawn])"))
    await page.evaluate("() => { drawn = 0 }")
    gaps = sorted(found[0][2:])
    worst = gaps[int(len(gaps) * 0.95)]
    _print(
        f"{what:>10}: {len(gaps)} frames, moved {found[1]}, median {statistics.median(gaps):.1f} ms, "
        f"95 % within {worst:.1f} ms, mean {statistics.fmean(gaps):.1f} ms"
    )


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
