"""How long an action on the label board takes, from the key to the page as drawn anew.

    python benchmarks/curate_speed.py [--actions 40] [--chromium /usr/bin/chromium]

65 labels of 10,000 tags on 12,500 tracks; tags are moved from label to label. Beside the time on the clock stands the
processor time of the page (Chromium's own count of its tasks) and of the app.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright
from tabulate import tabulate

from folksong.labels.space import Label, LabelSpace
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.table import TagTable

N_LABELS, N_TAGS, N_TRACKS, N_COUNTS = 65, 10_000, 12_500, 110_000
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


WATCH = """() => {
    let began = 0;
    addEventListener("keydown", (event) => { if (event.key === "Enter") began = performance.now(); }, true);
    const told = () => requestAnimationFrame(() => setTimeout(() => { window.took = performance.now() - began; }));
    new MutationObserver(told).observe(document.getElementById("board"), {attributeFilter: ["data-version"]});
}"""
"""From the key until the frame is drawn that shows what it did, in the page's own time."""


def write_inputs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, N_TAGS + 1) ** 0.7
    columns = np.concatenate([rng.choice(N_TAGS, N_COUNTS, p=weights / weights.sum()), np.arange(N_TAGS)])
    rows = rng.integers(0, N_TRACKS, len(columns))
    names = [f"tag {number}" for number in range(N_TAGS)]
    table = TagTable.from_pairs([f"t{row}" for row in rows], [names[column] for column in columns])
    write_tags(table, folder / "tags.db")
    labels = [Label(f"label {n}", tuple(names[n::N_LABELS]), (), f"facet {n % 6}") for n in range(N_LABELS)]
    LabelSpace(tuple(labels)).write(folder / "big.labels.json")


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    command = [
        sys.executable,
        "-m",
        "folksong",
        "curate",
        "--no-open",
        "--labels",
        "big.labels.json",
        "--tags",
        "tags.db",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(r"(http://\S+/)  ", line):
            return process, found[1]
    raise SystemExit("the app did not start")


def measure(address: str, process: int, chromium: str, n_actions: int) -> np.ndarray:
    """Return (n_actions, 3) milliseconds: on the clock, of the page's processor, of the app's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.locator("#board[data-version='0']").wait_for()
        page.evaluate(WATCH)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent() -> np.ndarray:
            metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
            return 1000 * np.array([metrics["TaskDuration"], ticks])

        found = []
        for number in range(n_actions):
            source, target = f"label {number % 20}", f"label {number % 20 + 25}"
            page.locator(f".card[data-label={source!r}] .tag").nth(3).focus()
            page.keyboard.press("m")
            page.keyboard.type(target)
            before = spent()
            page.keyboard.press("Enter")
            page.locator(f"#board[data-version='{number + 1}']").wait_for()
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
            took = page.evaluate("window.took")
            found.append([took, *(spent() - before)])
        browser.close()
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--actions", type=int, default=40)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name))
        process, address = start(Path(name))
        try:
            found = measure(address, process.pid, options.chromium, options.actions)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    rows = [
        [what, np.median(values), np.quantile(values, 0.95), values.max()]
        for what, values in zip(("on the clock", "page's processor", "app's processor"), found.T, strict=True)
    ]
    print(tabulate(rows, ["ms an action", "median", "95%", "most"], floatfmt=".0f"))


if __name__ == "__main__":
    main()
