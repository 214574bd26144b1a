"""Methods in words: "learner(option=value)+strategy(option=value)", read into cells and written from them."""

import re

import yaml

from alkit import recipes
from alkit.experiment.cell import Cell

METHODS = (
    "supervised+random",
    "supervised+least_confidence",
    "supervised+entropy",
    "supervised+ddu",
    "contrastive+random_cl",
    "contrastive+distance_cl",
)


VARIANTS = ("distance_cl(radius=0.1)", "distance_cl(clusters_per_class=3)", "similar(objective=logdetcmi)")


METHOD = re.compile(r"(\w+)(?:\((.*?)\))?\+(\w+)(?:\((.*?)\))?(?:\+stop=(\w+))?")


def paper_methods(benchmark: str) -> list[str]:
    """The rows of the paper's Table 2, as it has them: on MixCIFAR60, DDU is on a net of bounded spectral norm."""
    spectral = benchmark.partition("-")[0] == "mixcifar60"
    return [method.replace("supervised+ddu", "supervised_sn+ddu") if spectral else method for method in METHODS]


def every_strategy(learner: str) -> list[str]:
    """One method per registered strategy that `learner` can serve, as `parse_method` reads them, and `VARIANTS`."""
    from alkit import acquisition, learners

    shows = set(learners.get(learner).shows)
    served = [name for name, known in acquisition.STRATEGIES.items() if shows.issuperset(known.needs)]
    return [f"{learner}+{name}" for name in [*served, *VARIANTS]]


def strategies_in(methods: list[str]) -> dict[str, tuple[str, dict]]:
    """The strategies of `methods` with their options, by a name that tells them apart: "distance_cl, radius=0.1"."""
    parts = [parse_method(method) for method in methods]
    pairs = [(part["strategy"], part["strategy_options"]) for part in parts]
    return {", ".join([name, *(f"{o}={v}" for o, v in options.items())]): (name, options) for name, options in pairs}


def cells_of(
    benchmark: str,
    profile: str,
    methods: list[str],
    seed: int,
    n_seeds: int,
    initial: str = "shared",
    changes: dict | None = None,
) -> list:
    """One checked cell per method (`parse_method`) and seed (`seed`, `seed` + 1, ...). ValueError if one is off.

    No methods are `paper_methods`. `changes`: recipe values by name, for all cells.
    """
    from alkit.experiment.cell import Cell, check

    if n_seeds < 1:
        raise ValueError(f"n_seeds must be at least 1, got {n_seeds}")
    parts = [parse_method(method) for method in methods or paper_methods(benchmark)]
    cells = [
        Cell(benchmark, profile, seed=seed + i, initial=initial, changes=changes or {}, **part)
        for part in parts
        for i in range(n_seeds)
    ]
    for cell in cells:
        check(cell)
    return cells


def ceiling_cells(benchmark: str, profile: str, learner: str, seed: int, n_seeds: int) -> list:
    """The all-iD ceiling: `learner` with every iD sample of the pool labelled in one stage, and no other bought."""
    from alkit.benchmarks import ID, load

    pool = load(benchmark, share=recipes.recipe(benchmark, profile).share).pool
    everything = int((pool.category_N == ID).sum())
    changes = {"stage_id": everything, "stop_id": everything}
    return cells_of(benchmark, profile, [f"{learner}+oracle_random"], seed, n_seeds, changes=changes)


def parse_method(text: str) -> dict:
    """What "learner(option=value, ...)+strategy(option=value, ...)+stop=round" says, as fields of a cell.

    All but the two names can be left out. ValueError for anything else.
    """
    match = METHOD.fullmatch(str(text))
    if not match:
        raise ValueError(
            f"a method is 'learner+strategy', such as {METHODS[0]!r} or "
            f"'contrastive+distance_cl(exclude=proportion)'; got {text!r}"
        )
    learner, learner_options, strategy, strategy_options, stop = match.groups()
    return {
        "learner": learner,
        "strategy": strategy,
        **({"stop": stop} if stop else {}),
        "learner_options": _options(learner_options, text),
        "strategy_options": _options(strategy_options, text),
    }


def _options(text: str | None, method: str) -> dict:
    """ "a=1, b=true" as {"a": 1, "b": True}: YAML's values."""
    options = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"an option is written name=value, got {part.strip()!r} in {method!r}")
        options[name.strip()] = yaml.safe_load(value)
    return options


def method(cell: Cell) -> str:
    """The text that `study.parse_method` reads as this cell's learner, strategy and their options."""
    parts = []
    for name, options in ((cell.learner, cell.learner_options), (cell.strategy, cell.strategy_options)):
        inside = ", ".join(f"{key}={_yaml(value)}" for key, value in options.items())
        parts.append(f"{name}({inside})" if inside else name)
    return "+".join([*parts, *([f"stop={cell.stop}"] if cell.stop != "quota" else [])])


def _yaml(value) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
