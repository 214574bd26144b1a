"""The widget on a session in a real JupyterLab: typed answers, undo, skip, reload, a kernel killed; nothing is lost.

Skipped where no Chrome or Chromium, or no playwright or JupyterLab, is found.
"""

import csv
import os
import signal

import numpy as np
import pytest
from explorer_browser import launched, watched
from labelling_jupyter import open_notebook, prepare, run_cell, served
from labelling_page import press, ready

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
WATCH = """() => { // at each key, the file name on the screen; after it, how long the next image took
  const page = document.querySelector(".alkit-label");
  window.typed = [];
  window.delays = [];
  let pressed = null;
  page.addEventListener("keydown", (event) => {
    typed.push([event.key, page.querySelector("figcaption .name").textContent]);
    pressed = performance.now();
  }, true);
  new MutationObserver(() => {
    if (pressed !== null && page.dataset.question) { delays.push(performance.now() - pressed); pressed = null; }
  }).observe(page, { attributes: true, attributeFilter: ["data-question"] });
}"""


def start(page):
    """Make the widget ready for keys, and write down what is typed."""
    ready(page)
    page.locator(".frame").click()
    page.evaluate(WATCH)


def all_saved(page):
    page.wait_for_function("document.querySelector('.saved').textContent.startsWith('✓')", timeout=30_000)


def take(page, expected):
    """Add what was typed since `start` to the answers (by file name) that are expected."""
    for key, name in page.evaluate("typed.splice(0)"):
        expected[name] = {" ": "skip", "a": "ambiguous", "o": "not mine"}.get(key, key)


@pytest.mark.slow
def test_forty_answers_survive_undo_reload_and_a_killed_kernel(tmp_path, record_property):
    folder, expected, said = prepare(tmp_path / "lab"), {}, []
    with served(folder) as address, launched() as browser:
        page = watched(browser.new_context(viewport={"width": 1400, "height": 900}), said)
        open_notebook(page, address)
        run_cell(page)
        start(page)
        for number in range(20):  # in two seconds, all for the picture that is on the screen
            page.keyboard.press("123456789ao "[number % 12])
            page.wait_for_timeout(90)
            ready(page)  # a busy machine may paint later
        assert not page.locator(".notice.warn").is_visible()
        all_saved(page)
        take(page, expected)
        assert len(expected) == 20

        press(page, "1234567890"[:9] + "12345678")
        all_saved(page)
        take(page, expected)
        assert len(expected) == 37
        last = page.evaluate("document.querySelector('.name').textContent")
        press(page, "9")
        all_saved(page)
        page.keyboard.press("u")
        page.wait_for_function("name => document.querySelector('.name').textContent === name", arg=last)
        press(page, " ")  # the answer taken back is a skip now
        all_saved(page)
        page.evaluate("typed.splice(0, typed.length - 1)")
        take(page, expected)
        assert expected[last] == "skip" and len(expected) == 38
        delays = page.evaluate("delays")
        record_property("p95_ms", p95 := float(np.percentile(delays, 95)))
        print(f"next image: median {np.median(delays):.0f} ms, p95 {p95:.0f} ms of {len(delays)}")
        assert p95 < 200

        page.keyboard.press("Control+s")  # JupyterLab's own, though the widget has the focus
        page.wait_for_timeout(1000)
        page.reload()
        start(page)  # of the live kernel, no cell is run
        assert "38 looks" in page.locator(".status").text_content()
        press(page, "12")
        all_saved(page)
        take(page, expected)

        kernel = int((folder / "kernel.pid").read_text())
        os.kill(kernel, signal.SIGSTOP)
        press(page, "3")
        page.wait_for_selector(".saved.late", timeout=10_000)
        take(page, expected)
        os.kill(kernel, signal.SIGKILL)
        page.get_by_role("dialog").get_by_role("button", name="Ok").click(timeout=30_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
        run_cell(page)
        start(page)
        page.wait_for_function("document.querySelector('.looks').textContent.startsWith('41 looks')", timeout=30_000)
        press(page, "45a")
        all_saved(page)
        take(page, expected)
        run_cell(page, 1)
        page.wait_for_selector(".jp-OutputArea-output:has-text('labels.csv')", timeout=30_000)
    with open(folder / "session/labels.csv", newline="") as file:
        labels = {row["path"]: row["answer"] for row in csv.DictReader(file)}
    assert labels == expected and len(labels) == 44
    strangers = [one for one in said if one.startswith("request") and "://127.0.0.1" not in one and "blob:" not in one]
    assert [one for one in strangers if not one.startswith("request: data:")] == []
