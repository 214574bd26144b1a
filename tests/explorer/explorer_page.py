"""A made-up pool of 2,300 images for tests of the explorer, and what its page must show, computed here on its own."""

import base64
import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np

from alkit import explorer
from alkit.explorer import Circles, Purchases
from alkit.explorer.palette import CATEGORIES
from alkit.explorer.purchases import INSIDE, LABELLED_ID, LABELLED_NON_ID, OUTSIDE

N = 2300  # nine sheets
EVIL = "<img src=x onerror=alert(1)>"
CLASSES = ("zero", "one", EVIL)
TITLE = "</title><script>alert(2)</script> & co"
KINDS = {"u1": "<u1", "u2": "<u2", "u4": "<u4", "f4": "<f4"}


@cache
def pool() -> dict:
    """Arrays of the pool: images, features, coordinates of two spaces, codes, a score with holes, purchases."""
    rng = np.random.default_rng(7)
    category = rng.choice(3, N, p=[0.6, 0.2, 0.2])
    classes = np.where(category == 0, rng.integers(0, 3, N), -1)
    features = rng.normal(size=(N, 8)) + 3 * np.eye(8)[classes + 1]
    score = rng.gamma(2.0, 1.0, N)
    score[::50] = np.nan
    order = rng.permutation(N)
    picks = {
        "Random": [order[:40], order[40:60], order[60:75]],
        "Distance(CL)": [order[:40], order[100:112], order[112:130]],
    }
    return {
        "images": rng.integers(0, 256, (N, 3, 10, 12), dtype=np.uint8),
        "features": {"learned": features, "pixels": rng.normal(size=(N, 4))},
        "coordinates": {"learned": rng.normal(size=(N, 2)), "pixels": rng.uniform(-5, 9, (N, 2))},
        "category": category,
        "class": classes,
        "score": score,
        "picks": picks,
    }


def circles(stage: int) -> Circles:
    """Made-up circles of one stage: three clusters, the last without a circle, the first excluded."""
    rng, data = np.random.default_rng(stage), pool()
    labels, distances = np.arange(N) % 3, rng.uniform(0.1, 1.0, N).astype(np.float32)
    kinds = np.zeros(N, np.uint8)
    before = np.concatenate(data["picks"]["Distance(CL)"][:stage])
    kinds[before] = np.where(data["category"][before] == 0, LABELLED_ID, LABELLED_NON_ID)
    now = data["picks"]["Distance(CL)"][stage]
    radius, setter = np.array([0.5, 0.6, np.inf]), np.array([before[0], before[1], -1])
    kinds[now] = np.where(distances[now] <= radius[labels[now]], INSIDE, OUTSIDE)
    angles = rng.uniform(-3, 3, N).astype(np.float32)
    return Circles(labels, distances, angles, kinds, radius, setter, np.array([0, 2, 3]), 0)


def write(path: Path, **changes) -> Path:
    """The page of the pool, arguments changed."""
    data = pool()
    bought = [
        Purchases("Random", data["picks"]["Random"], [0.5, 0.6, 0.7]),
        Purchases("Distance(CL)", data["picks"]["Distance(CL)"], [0.5, 0.65, 0.75], {1: circles(1), 2: circles(2)}),
    ]
    table = {
        "category": (data["category"], CATEGORIES),
        "class": (data["class"], CLASSES),
        "score": data["score"],
    }
    arguments = {"table": table, "coordinates": data["coordinates"], "purchases": bought, "title": TITLE}
    given = {"features": data["features"], "images": data["images"], **arguments, "neighbours": 6, **changes}
    return explorer.write(path, given.pop("features"), given.pop("images"), given.pop("table"), **given)


def read(path: Path) -> tuple[dict, dict]:
    """(what the page knows, its arrays by name), parsed from the file without the project's code."""
    text = path.read_text()
    meta = json.loads(re.search(r'<script type="application/json" id="meta">(.*?)</script>', text, re.S)[1])
    blocks = re.findall(r'<script type="application/octet-stream;base64" id="(.*?)" data-kind="(.*?)">(.*?)</', text)
    return meta, {name: np.frombuffer(base64.b64decode(data), KINDS[kind]) for name, kind, data in blocks}


def square(xy: np.ndarray) -> np.ndarray:
    """Coordinates as the page holds them, as shares of its square."""
    middle, extent = (xy.max(0) + xy.min(0)) / 2, np.ptp(xy, axis=0).max()
    return np.rint(((xy - middle) / extent + 0.5) * 65535) / 65535


def on_screen(xy_square: np.ndarray, box: dict) -> np.ndarray:
    """Pixels of points in a map that shows all, whose canvas lies at `box`: 90 % of it, below a row of menus."""
    scale = 0.9 * min(box["width"], box["height"] - 24)
    x = box["x"] + box["width"] / 2 + (xy_square[:, 0] - 0.5) * scale
    y = box["y"] + box["height"] / 2 + 12 - (xy_square[:, 1] - 0.5) * scale
    return np.column_stack([x, y])


def inside(polygon: list[tuple[float, float]], points: np.ndarray) -> np.ndarray:
    """Whether points lie in a polygon, by winding number: another way than the page's."""
    angle = np.zeros(len(points))
    for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = np.array([ax, ay]) - points, np.array([bx, by]) - points
        angle += np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1))
    return np.abs(angle) > math.pi


def neighbours(features: np.ndarray, i: int, count: int) -> list[int]:
    """The nearest others by cosine, by brute force in float64."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = unit @ unit[i]
    similar[i] = -np.inf
    return np.argsort(-similar)[:count].tolist()
