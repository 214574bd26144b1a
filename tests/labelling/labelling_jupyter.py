"""A real JupyterLab on a folder of its own, with a notebook that shows the widget; nothing leaves this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from alkit import benchmarks
from alkit.paths import ROOT

CELL = """import os
from pathlib import Path
from alkit import labelling
from alkit.labelling.export import labels_csv
from alkit.labelling.widget import LabelWidget
Path("kernel.pid").write_text(str(os.getpid()))
images = labelling.scan("photos", keep="session")
session = labelling.Session("session", images, list("0123456789"), features="features.npy", alike=1)
LabelWidget(session)"""
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


def prepare(folder: Path, count: int = 150, side: int = 64) -> Path:
    """Write images of MixDigits as PNG files, their pixels as features, and a notebook, into `folder`."""
    pool = benchmarks.load("mixdigits").pool.images_NCHW[:count, 0]
    (folder / "photos").mkdir(parents=True)
    for number, pixels in enumerate(pool):
        Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(folder / f"photos/{number:03}.png")
    np.save(folder / "features.npy", pool.reshape(count, -1).astype(np.float32) / 255)
    cells = [code("widget", CELL), code("export", "labels_csv(session)")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "label.ipynb").write_text(json.dumps(notebook))
    return folder


def code(name, source):
    return {"cell_type": "code", "id": name, "execution_count": None, "metadata": {}, "outputs": [], "source": source}


@contextlib.contextmanager
def served(folder: Path, theme: str = "JupyterLab Light"):
    """The address of a JupyterLab that serves `folder`, and keeps its own files there."""
    settings = folder / "jupyter/settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_WORKSPACES_DIR")
    env = {f"JUPYTER{'' if name.startswith('LAB') else '_'}{name}": str(folder / "jupyter" / name) for name in names}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "jupyter/settings"), "IPYTHONDIR": str(folder / "jupyter/ipython")}
    env |= {"ALKIT_RUNS": str(folder / "runs"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly", "--LabApp.news_url="]
    command += [
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--ContentsManager.allow_hidden=True",
    ]
    with open(folder / "jupyter.log", "w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )
    try:
        answers(port, server, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def answers(port, server, folder):
    """Wait until the server does. AssertionError, with its log, where it ends or takes a minute."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert server.poll() is None, (folder / "jupyter.log").read_text()
        time.sleep(0.2)
    raise AssertionError((folder / "jupyter.log").read_text())


def open_notebook(page, address):
    """The notebook, loaded, with a kernel that waits."""
    page.goto(f"{address}/lab/tree/label.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)


def run_cell(page, number=0):
    """Run one cell of the notebook. A click just after it has opened can be lost or end in a dialog: then once more."""
    prompt = page.locator(".jp-Notebook .jp-Cell .jp-InputPrompt").nth(number)
    before = prompt.text_content()
    for _ in range(60):
        for button in page.locator(".jp-Dialog .jp-mod-accept").all():
            button.click()
        prompt.click()
        page.locator('[data-command="notebook:run-cell-and-select-next"]').click()
        page.wait_for_timeout(500)
        if prompt.text_content() not in (before, "[ ]:"):
            return
    raise AssertionError("the cell does not run")
