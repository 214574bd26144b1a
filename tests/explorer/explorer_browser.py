"""The browser that tests of the explorer's page share, and what a page says while it is open."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from alkit.study.figures.files import find_browser

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader"]  # WebGL drawn in software where there is no GPU


@contextlib.contextmanager
def launched():
    """A headless browser; the test is skipped where no Chrome or Chromium is found."""
    path = find_browser()
    if not path:
        pytest.skip("no Chrome or Chromium was found (BROWSER_PATH names one)")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def watched(context, said):
    """A new page whose console, errors, dialogs and requests are written to the list `said`."""
    page = context.new_page()
    page.on("console", lambda message: told(message, said))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: said.append(f"request: {request.url}"))
    return page


def told(message, said):
    """Everything but the browser's own remark on drawing WebGL without a GPU, which it makes of any page."""
    if "GL Driver Message (OpenGL, Performance" not in message.text:
        said.append(f"console {message.type}: {message.text}")


def box(page, pane=0):
    """Where a map's canvas lies in the window, in pixels."""
    return page.locator(".overlay").nth(pane).bounding_box()


def drawn(page):
    """How many points the page says that it shows."""
    return int(page.locator("#counts").text_content().split()[0].replace(",", ""))


def rgb(screenshot):
    """A screenshot as an array (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB"))
