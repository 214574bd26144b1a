"""A worker script, run on its own by `files.py`: figure JSON on standard input -> PNG at 2x in the file of argument 1.

A process of its own because a browser that hangs cannot be stopped from within, and because no event loop of a notebook
is in the way. It imports nothing of alkit, so that it starts fast.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import kaleido


async def render(figure: dict, path: str, timeout: float) -> None:
    browser = kaleido.Kaleido(mathjax=False, timeout=None)  # its default fetches MathJax from the network
    try:
        async with asyncio.timeout(timeout):
            await browser.open()
            size = {key: figure["layout"][key] for key in ("width", "height") if key in figure["layout"]}
            Path(path).write_bytes(await browser.calc_fig(figure, opts={"format": "png", "scale": 2, **size}))
            await browser.close()
    except Exception as error:
        end(browser)
        print(f"{type(error).__name__} {error}".split("\n")[0], file=sys.stderr, flush=True)
        os._exit(1)  # an ordinary exit would wait for threads that still read from the browser


def end(browser: kaleido.Kaleido) -> None:
    """Kill the browser and its children if they still run: a hung one would never leave by itself."""
    process = getattr(browser, "subprocess", None)
    if process and process.poll() is None:  # it leads a process group of its own: end its children as well
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait(5)


if __name__ == "__main__":
    asyncio.run(render(json.load(sys.stdin), sys.argv[1], float(sys.argv[2])))
