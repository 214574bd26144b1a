"""Measures an explorer page in headless Chromium, drawn in software, against the budgets; adds a row to a CSV file.

    python tests/speed/explorer.py PAGE [--csv figures/results/benchmark-explorer.csv]

Budgets for 93,724 points: 35 MB, first paint within 3 s from disk, 30 frames/s of panning and zooming at 1280 x 800, a
hover answered within 50 ms, 700 MB of memory of all the browser's processes. Times are those of the machine it runs on;
its load is written down with them.
"""

import argparse
import csv
import os
import platform
import statistics
import sys
import threading
import time
from pathlib import Path

from measured import cpu_seconds, memory
from playwright.sync_api import sync_playwright

from alkit.study.figures.files import find_browser

ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
SECONDS = 5  # of panning, and of zooming
HOVERS = 60
FRAMES = """async ([kind, seconds]) => {
  const overlay = document.querySelector('.overlay'), box = overlay.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const send = (type, dx, dy) => overlay.dispatchEvent(new PointerEvent(type,
    {pointerId: 1, clientX: x + dx, clientY: y + dy, button: 0, bubbles: true}));
  overlay.setPointerCapture = () => {};
  const times = [];
  if (kind === 'pan') send('pointerdown', 0, 0);
  await new Promise((done) => {
    const start = performance.now();
    const step = (now) => {
      times.push(now);
      const share = (now - start) / 1000;
      if (kind === 'pan') send('pointermove', 150 * Math.sin(2 * share), 100 * Math.cos(2 * share));
      else overlay.dispatchEvent(new WheelEvent('wheel', {deltaY: 60 * Math.cos(2 * share), clientX: x, clientY: y}));
      if (share < seconds) requestAnimationFrame(step); else done();
    };
    requestAnimationFrame(step);
  });
  if (kind === 'pan') send('pointerup', 150, 100);
  return times;
}"""
WATCH = """() => {
  window.answers = [];
  let moved = 0;
  document.querySelector('.overlay').addEventListener('pointermove', (event) => { moved = event.timeStamp; }, true);
  const card = document.querySelector('#card');
  new MutationObserver(() => {
    if (!card.dataset.index) return;
    const [from, index] = [moved, card.dataset.index];
    const told = performance.now() - from;
    const wait = () => {
      const image = card.querySelector('canvas.image');
      if (card.dataset.index !== index) return;
      if (image && image.dataset.drawn === index) window.answers.push([told, performance.now() - from]);
      else setTimeout(wait, 1);
    };
    wait();
  }).observe(card, {attributes: true, attributeFilter: ['data-index']});
}"""


class Peak(threading.Thread):
    """The most memory that the browser had, looked at ten times a second."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.most, self.ended = pid, 0.0, threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            self.most = max(self.most, memory(self.pid))


def browser_pid(profile: Path) -> int:
    """The browser's first process: the one that was given this profile folder and has no `--type`."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(profile) in words and "--type=" not in words:
                return int(entry.name)
    raise RuntimeError("the browser's process was not found")


def measure(path: Path, profile: Path) -> dict:
    """All numbers of one page, in a browser of its own."""
    with sync_playwright() as p:
        context = p.chromium.launch_persistent_context(
            str(profile), executable_path=find_browser(), args=ARGUMENTS, headless=True,
            viewport={"width": 1280, "height": 800},
        )  # fmt: skip
        peak = Peak(browser_pid(profile))
        peak.start()
        page = context.new_page()
        page.goto(path.resolve().as_uri(), wait_until="commit", timeout=120_000)
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        page.wait_for_timeout(1500)
        paint = page.evaluate(
            "() => Math.max(Number(document.body.dataset.painted), "
            "...performance.getEntriesByType('paint').map(e => e.startTime))"
        )
        ready = float(page.locator("body").get_attribute("data-ready"))
        rates, work = {}, {}
        for kind in ("pan", "zoom"):
            before = cpu_seconds(peak.pid)
            times = page.evaluate(FRAMES, [kind, SECONDS])
            work[kind] = (cpu_seconds(peak.pid) - before) / len(times) * 1000
            rates[kind] = (len(times) - 1) / (times[-1] - times[0]) * 1000
        page.click("#whole")
        page.evaluate(WATCH)
        box = page.locator(".overlay").first.bounding_box()
        for step in range(HOVERS * 4):
            x, y = (step * 0.6180339) % 1, (step * 0.7548776) % 1  # all over the map, in no pattern of its own
            page.mouse.move(box["x"] + box["width"] * (0.2 + 0.6 * x), box["y"] + box["height"] * (0.15 + 0.7 * y))
            page.wait_for_timeout(60)
            if page.evaluate("() => window.answers.length") >= HOVERS:
                break
        answers = page.evaluate("() => window.answers")
        told, drawn = (sorted(one) for one in zip(*answers, strict=True))
        page.focus(".overlay >> nth=0")
        page.keyboard.press("v")  # a gallery of members from all over: the most sheets at once
        page.click("#resample")
        page.click("#pair")
        page.wait_for_timeout(1500)
        version = context.browser.version if context.browser else page.evaluate("() => navigator.userAgent")
        peak.ended.set()
        points = page.evaluate("() => JSON.parse(document.querySelector('#meta').textContent).n")
        context.close()
    return {
        "page": path.name, "points": points, "file_MB": round(path.stat().st_size / 1e6, 2),
        "first_paint_ms": round(paint), "all_ready_ms": round(ready),
        "pan_frames_per_s": round(rates["pan"], 1), "zoom_frames_per_s": round(rates["zoom"], 1),
        "pan_cpu_ms_per_frame": round(work["pan"], 1), "zoom_cpu_ms_per_frame": round(work["zoom"], 1),
        "hover_card_ms_median": round(statistics.median(told), 1),
        "hover_card_ms_p95": round(told[len(told) * 95 // 100], 1),
        "hover_image_ms_median": round(statistics.median(drawn), 1),
        "hover_image_ms_p95": round(drawn[len(drawn) * 95 // 100], 1),
        "hovers": len(answers), "peak_memory_MB": round(peak.most),
        "browser": version.split(" Safari")[0].split(") ")[-1],
    }  # fmt: skip


def machine() -> dict:
    """The hardware, and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {"cpu": (names or [platform.machine()])[0], "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
            "date": time.strftime("%Y-%m-%d")}  # fmt: skip


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--csv", type=Path, help="a file to add the row to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile:
        row = {**machine(), **measure(args.page, Path(profile))}
    for name, value in row.items():
        print(f"{name:24}{value}")
    if args.csv:
        new = not args.csv.exists()
        with open(args.csv, "a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    sys.exit(main())
