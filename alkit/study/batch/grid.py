"""What a sweep is made of: lists of names and seeds, from the command line or a YAML file, as checked cells.

A grid gives every combination of its lists one cell:

    learner: [probe, supervised]      # as in a method: "contrastive(features=projected)"
    strategy: all                     # every one that is registered; or a list, such as ["distance_cl(exclude=none)"]
    seed: 0-19                        # or a list; "0-4" counts from 0 to 4
    benchmark: mixdigits              # from here on, the defaults
    profile: laptop
    protocol: shared                  # who pays for the initial set: shared, paper, strategy, or a list of them
    changes: {}                       # recipe values by name, for all cells

A file holds one grid, or a list of them.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from math import prod
from pathlib import Path

from alkit import acquisition, plain_yaml
from alkit.experiment import Cell
from alkit.experiment.methods import check_count, parse_method
from alkit.options import closest
from alkit.store import canonical

REQUIRED = ("learner", "strategy", "seed")
DEFAULTS = {"benchmark": "mixdigits", "profile": "laptop", "protocol": "shared"}
AXES = ("benchmark", "profile", "learner", "protocol", "strategy", "seed")
SPAN = re.compile(r"(\d+)-(\d+)")


def read(path: Path) -> list[dict]:
    """The grids in a YAML file. ValueError where it cannot be read or is something else."""
    try:
        content = plain_yaml.load(Path(path).read_text(), f"the sweep {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the sweep {path} cannot be read: {error}") from error
    grids = content if isinstance(content, list) else [content]
    if not grids or not all(isinstance(grid, dict) and grid for grid in grids):
        raise ValueError(
            f"the sweep {path} must hold a grid (learner: ..., strategy: ..., seed: ...) or a list of them"
        )
    return grids


def cells(grids: list[dict]) -> list[Cell]:
    """One cell for every combination in every grid. ValueError for an unknown key or type, or a cell that comes twice.

    ValueError, before any is made, for more than `methods.MOST_CELLS`. That learners, strategies and their options
    exist and fit each other is left to `experiment.check`.
    """
    axes = [_axes(grid) for grid in grids]
    check_count(sum(prod(map(len, values.values())) for values in axes))
    made = [cell for grid, values in zip(grids, axes) for cell in _cells(grid, values)]
    twice = [text for text, count in Counter(canonical(asdict(cell)) for cell in made).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} cells come more than once, first of them {twice[0]}; leave one of each out")
    return made


def without_seed(cell: Cell) -> str:
    """What is equal for cells that differ in nothing but their seed."""
    return canonical(asdict(replace(cell, seed=0)))


def _axes(grid: dict) -> dict[str, Sequence]:
    """The values of every axis of one grid."""
    known = (*AXES, "changes")
    for key in grid:
        if key not in known:
            raise ValueError(f"a sweep has no {key!r}{closest(str(key), known)}; it has: {', '.join(known)}")
    if missing := [key for key in REQUIRED if key not in grid]:
        raise ValueError(f"the sweep names no {' and no '.join(missing)}; give one or a list")
    if not isinstance(grid.get("changes") or {}, dict):
        raise ValueError(f"changes must be recipe values by name, got {grid['changes']!r}")
    return {key: _values(key, grid.get(key, DEFAULTS.get(key))) for key in AXES}


def _cells(grid: dict, values: dict[str, Sequence]) -> list[Cell]:
    changes = grid.get("changes") or {}
    return [
        Cell(benchmark, profile, seed=seed, initial=protocol, changes=changes, **parse_method(f"{learner}+{strategy}"))
        for benchmark, profile, learner, protocol, strategy, seed in product(*values.values())
    ]


def _values(key: str, given) -> Sequence:
    """The values of one axis: names, or seeds as numbers. ValueError where one is missing, doubled or no name."""
    values = given if isinstance(given, list) else [given]
    if key == "seed":
        spans = [_seeds(value) for value in values]
        check_count(sum(map(len, spans)))
        values = [seed for span in spans for seed in span]
    elif wrong := [value for value in values if not isinstance(value, str)]:
        raise ValueError(f"{key} must be a name or a list of names, got {wrong[0]!r}")
    elif key == "strategy":
        values = [name for value in values for name in (acquisition.STRATEGIES if value == "all" else [value])]
    if not values:
        raise ValueError(f"{key} is an empty list; give at least one")
    if doubled := [value for value, count in Counter(values).items() if count > 1]:
        raise ValueError(f"{key} names {doubled[0]!r} more than once: its cells would be the same")
    return values


def _seeds(value) -> range:
    """The seeds that a number, or a span such as "0-19", stands for."""
    span = SPAN.fullmatch(str(value))
    if span and int(span[1]) <= int(span[2]) < sys.maxsize:
        return range(int(span[1]), int(span[2]) + 1)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)):
        raise ValueError(f"a seed is a whole number from 0 up, or a span such as 0-19; got {value!r}")
    return range(int(value), int(value) + 1)
