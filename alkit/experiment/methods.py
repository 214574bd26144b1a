"""Methods in words: "learner(option=value)+strategy(option=value)", read into cells and written from them.

Behind the two may stand "+stop=round" and "+filter=off" (see `Cell`), each once and in any order.
"""

import re
from typing import Annotated, Any, Literal

from alkit import plain_yaml, recipes
from alkit.experiment.cell import Cell, Initial, check
from alkit.options import Range, check_name, check_value

METHODS = (
    "supervised+random",
    "supervised+least_confidence",
    "supervised+entropy",
    "supervised+ddu",
    "contrastive+random_cl+filter=off",
    "contrastive+distance_cl+filter=off",
)


VARIANTS = (  # that tables show beside the defaults
    "distance_cl(radius=0.1)",
    "distance_cl(clusters_per_class=3)",
    "similar(objective=logdetcmi)",
    "alfa_mix(variant=code)",
)


MOST_CELLS = 100_000  # that are made at once


UNFILTERED = ("random_cl", "distance_cl")  # strategies that the paper has without the auxiliary filter


METHOD = re.compile(r"(\w+)(?:\((.*?)\))?\+(\w+)(?:\((.*?)\))?((?:\+\w+=\w+)*)")


def paper_methods(benchmark: str) -> list[str]:
    """The rows of the paper's Table 2, as it has them: on MixCIFAR60, DDU is on a net of bounded spectral norm.

    The comparative methods have the auxiliary filter, Random(CL) and Distance(CL) do not.
    """
    spectral = benchmark.partition("-")[0] == "mixcifar60"
    return [method.replace("supervised+ddu", "supervised_sn+ddu") if spectral else method for method in METHODS]


def every_strategy(learner: str) -> list[str]:
    """One method per registered strategy that `learner` can serve, as `parse_method` reads them, and `VARIANTS`.

    All have the auxiliary filter; `UNFILTERED` come a second time without it.
    """
    from alkit import acquisition, learners

    known: Any = learners.get(learner)
    shows = set(known.shows)
    served = [name for name, one in acquisition.STRATEGIES.items() if shows.issuperset(one.needs)]
    unfiltered = [f"{name}+filter=off" for name in UNFILTERED if name in served]
    return [f"{learner}+{name}" for name in [*served, *VARIANTS, *unfiltered]]


def strategies_in(methods: list[str]) -> dict[str, tuple[str, dict]]:
    """The strategies of `methods` with their options, by a name that tells them apart: "distance_cl, radius=0.1".

    Without the auxiliary filter, the name has "filter=off" and the options `auxiliary_filter`, as `order` takes them.
    """
    found = {}
    for part in map(parse_method, methods):
        off = not part.get("auxiliary_filter", True)
        told = {**part["strategy_options"], **({"filter": "off"} if off else {})}
        name = ", ".join([part["strategy"], *(f"{option}={value}" for option, value in told.items())])
        options = {**part["strategy_options"], **({"auxiliary_filter": False} if off else {})}
        found[name] = (part["strategy"], options)
    return found


def cells_of(
    benchmark: str,
    profile: str,
    methods: list[str],
    seed: int,
    n_seeds: int,
    initial: Initial = "shared",
    changes: dict | None = None,
) -> list:
    """One checked cell per method (`parse_method`) and seed (`seed`, `seed` + 1, ...). ValueError if one is off.

    No methods are `paper_methods`. `changes`: recipe values by name, for all cells.
    """
    check_value(seed, Annotated[int, Range(0)], "seed")
    check_value(n_seeds, Annotated[int, Range(1)], "n_seeds")
    methods = methods or paper_methods(benchmark)
    check_count(len(methods) * n_seeds)
    parts = [parse_method(method) for method in methods]
    if twice := [str(method) for method, part in zip(methods, parts) if parts.count(part) > 1]:
        raise ValueError(f"methods names {twice[0]!r} more than once; leave one of them out")
    cells = [
        Cell(benchmark, profile, seed=seed + i, initial=initial, changes=changes or {}, **part)
        for part in parts
        for i in range(n_seeds)
    ]
    for cell in cells:
        check(cell)
    return cells


def check_count(cells: int) -> None:
    """ValueError where so many cells are more than are made at once."""
    if cells > MOST_CELLS:
        raise ValueError(f"these are {cells:,} cells, and at most {MOST_CELLS:,} are run at once; take fewer seeds")


def ceiling_cells(benchmark: str, profile: str, learner: str, seed: int, n_seeds: int) -> list:
    """The all-iD ceiling: `learner` with every iD sample of the pool labelled in one stage, and no other bought."""
    from alkit.benchmarks import ID, load

    pool = load(benchmark, share=recipes.recipe(benchmark, profile).share).pool
    everything = int((pool.category_N == ID).sum())
    changes = {"stage_id": everything, "stop_id": everything}
    return cells_of(benchmark, profile, [f"{learner}+oracle_random"], seed, n_seeds, changes=changes)


def parse_method(text: str) -> dict:
    """What "learner(option=value, ...)+strategy(option=value, ...)+stop=round+filter=off" says, as fields of a cell.

    All but the two names can be left out. ValueError for anything else.
    """
    match = METHOD.fullmatch(str(text))
    if not match:
        raise ValueError(
            f"a method is 'learner+strategy', such as {METHODS[0]!r} or "
            f"'contrastive+distance_cl(exclude=proportion)'; got {text!r}"
        )
    learner, learner_options, strategy, strategy_options, ends = match.groups()
    return {
        "learner": learner,
        "strategy": strategy,
        **_ends(ends, text),
        "learner_options": _options(learner_options, text),
        "strategy_options": _options(strategy_options, text),
    }


def _ends(text: str, method: str) -> dict:
    """ "+stop=round+filter=off" as fields of a cell."""
    fields: dict[str, str | bool] = {}
    for part in text.split("+")[1:]:
        name, _, value = part.partition("=")
        check_name(name, ("stop", "filter"), "part", of=f"method {method!r}")
        if name in fields:
            raise ValueError(f"{name!r} is given more than once in {method!r}; leave one of them out")
        if name == "filter":
            check_value(value, Literal["on", "off"], f"filter of {method!r}")
        fields[name] = value
    if "filter" in fields:
        fields["auxiliary_filter"] = fields.pop("filter") == "on"
    return fields


def _options(text: str | None, method: str) -> dict:
    """ "a=1, b=true" as {"a": 1, "b": True}: YAML's values."""
    options = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"an option is written name=value, got {part.strip()!r} in {method!r}")
        if name.strip() in options:
            raise ValueError(f"option {name.strip()!r} is given more than once in {method!r}; leave one of them out")
        options[name.strip()] = plain_yaml.load(value, f"option {name.strip()!r} of {method!r}")
    return options


def method(cell: Cell) -> str:
    """The text that `parse_method` reads as this cell's learner, strategy and their options."""
    parts = []
    for name, options in ((cell.learner, cell.learner_options), (cell.strategy, cell.strategy_options)):
        inside = ", ".join(f"{key}={_yaml(value)}" for key, value in options.items())
        parts.append(f"{name}({inside})" if inside else name)
    ends = [f"stop={cell.stop}"] if cell.stop != "quota" else []
    ends += [] if cell.auxiliary_filter else ["filter=off"]
    return "+".join([*parts, *ends])


def _yaml(value) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
