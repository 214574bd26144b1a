"""What holds for the project as a whole: versions agree, imports run one way, everything public is documented."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from setuptools import find_packages

import alkit

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "alkit").rglob("*.py"))}
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def dependencies():
    """Name -> range of everything pyproject.toml asks for, extras included."""
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    return {canonical(Requirement(text).name): Requirement(text).specifier for text in wanted}


def pins():
    """Name -> exact version of environment.yml's pip part."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in entries if isinstance(entry, dict))
    found = [Requirement(text) for text in pip if not text.startswith("-e")]
    assert all(re.fullmatch(r"==[^,*]+", str(requirement.specifier)) for requirement in found)
    return {canonical(requirement.name): Version(str(requirement.specifier)[2:]) for requirement in found}


def test_every_dependency_is_pinned_within_its_range_and_nothing_else_is():
    """The site's builder, which the study does not need, has a file of its own."""
    site = (ROOT / "docs" / "requirements.txt").read_text().splitlines()
    site = dict(line.split("==") for line in site if "==" in line)
    wanted, pinned = dependencies(), pins() | {canonical(name): Version(number) for name, number in site.items()}
    assert set(wanted) == set(pinned) and not set(map(canonical, site)) & set(pins())
    assert [name for name in wanted if not wanted[name].contains(pinned[name])] == []


def test_python_of_the_environment_is_one_that_the_package_allows():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = (entry.partition("=")[2] for entry in entries if isinstance(entry, str) and entry.startswith("python="))
    assert SpecifierSet(PYPROJECT["project"]["requires-python"]).contains(python)


def test_makefile_reads_the_same_pins_as_conda():
    """It takes the lines that look like `- name==version`; a pin written in another way would be lost."""
    lines = (ROOT / "environment.yml").read_text().splitlines()
    found = [match.group(1) for line in lines if (match := re.match(r"^ *- ([A-Za-z0-9_.-]*==[^ ]*)$", line))]
    assert {canonical(text.split("==")[0]): Version(text.split("==")[1]) for text in found} == pins()


def test_version_is_one_number():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "alkit.__version__"}
    assert str(Version(alkit.__version__)) == alkit.__version__


def test_every_package_and_every_data_file_is_shipped():
    tool = PYPROJECT["tool"]["setuptools"]
    assert set(find_packages(str(ROOT), include=tool["packages"]["find"]["include"])) == {
        name for name, path in MODULES.items() if path.name == "__init__.py"
    }
    shipped = {path for package, patterns in tool.get("package-data", {}).items()
               for pattern in patterns for path in (ROOT / package.replace(".", "/")).glob(pattern)}  # fmt: skip
    data = {path for path in (ROOT / "alkit").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert data == {path for path in shipped if path.is_file()}


def imported(path, tree, *, lazy):
    """Modules of alkit that the module at `path` imports at its top, or anywhere with `lazy`."""
    name = next(module for module, where in MODULES.items() if where == path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


def graph(*, lazy):
    """Module -> the modules of alkit that it imports. That a package imports its own parts is no dependence upward."""
    edges = {}
    for name, path in MODULES.items():
        used = {module for module in imported(path, SOURCES[path], lazy=lazy) if module in MODULES and module != name}
        edges[name] = {
            module for module in used if not module.startswith(f"{name}.") and not name.startswith(f"{module}.")
        }
    return edges


FLOORS = (  # each room imports from those above it in this list only; rooms of one line do not know each other
    ("alkit",),
    ("alkit.recipes", "alkit.paths", "alkit.rng", "alkit.store", "alkit.runtime", "alkit.options", "alkit.plain_yaml"),
    ("alkit.models", "alkit.losses", "alkit.augment", "alkit.training"),
    ("alkit.acquisition", "alkit.benchmarks"),
    ("alkit.learners",),
    ("alkit.experiment",),
    ("alkit.explorer",),
    ("alkit.labelling",),
    ("alkit.study",),
    ("alkit.study.tables",),
    ("alkit.study.batch",),
    ("alkit.study.analysis",),
    ("alkit.study.figures",),
    ("alkit.study.explore",),
    ("alkit.study.notebook",),
    ("alkit.study.cli",),
    ("alkit.__main__",),
)
OF_THE_STUDY = {"pandas", "plotly", "papermill", "nbformat", "nbconvert", "alkit.study"}


def room(module):
    """The longest name of `FLOORS` that `module` is, or is in."""
    rooms = [name for floor in FLOORS for name in floor]
    (longest, *_) = sorted((name for name in rooms if f"{module}.".startswith(f"{name}.")), key=len, reverse=True)
    return longest


def floor(name):
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def test_imports_run_one_way():
    """From room to room only to the left (DESIGN's order), base and nn modules among themselves without a circle."""
    edges, wrong = graph(lazy=True), []
    assert "alkit.learners.base" in edges["alkit.learners.probe"]  # the graph is no empty one
    for name, used in edges.items():
        for other in used:
            here, there = room(name), room(other)
            same_floor_is_one_room = floor(here) in (1, 2) or here == there
            if floor(there) > floor(here) or (floor(there) == floor(here) and not same_floor_is_one_room):
                wrong.append(f"{name} imports {other}")
    assert wrong == []


@pytest.mark.parametrize("lazy", [False, True], ids=["at import", "anywhere"])
def test_no_modules_import_each_other(lazy):
    edges, done = graph(lazy=lazy), set()
    while ready := {name for name in edges if name not in done and edges[name] <= done}:
        done |= ready
    assert not {name: edges[name] - done for name in edges if name not in done}


def test_nothing_outside_the_study_imports_it_or_what_it_is_made_with():
    for name, path in MODULES.items():
        if room(name).startswith("alkit.study") or name == "alkit.__main__":
            continue
        found = {
            node.module if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(SOURCES[path])
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert [one for one in found if any(f"{one}.".startswith(f"{of}.") for of in OF_THE_STUDY)] == [], name


def reachable(name, edges):
    seen, todo = set(), [name]
    while todo:
        for module in edges[todo.pop()] - seen:
            seen.add(module)
            todo.append(module)
    return seen


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("alkit.acquisition", ("alkit.learners", "alkit.benchmarks", "alkit.experiment", "alkit.store")),
        ("alkit.learners", ("alkit.benchmarks", "alkit.experiment")),
        ("alkit.training", ("alkit.learners", "alkit.benchmarks", "alkit.acquisition")),
    ],
)
def test_lower_layers_know_nothing_of_the_upper_ones(lower, upper):
    """No path leads from a strategy to a hidden label: not to a pool, the oracle, a learner, or what is on disk."""
    edges = graph(lazy=True)
    for name in edges:
        if room(name) == lower:
            assert {one for one in reachable(name, edges) if room(one) in upper} == set(), name


def public(tree):
    """(qualified name, node) of every public module-level function and class, and of classes' public methods."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node


def needs_docstring(node):
    """Classes, and functions whose name and a body of a single statement do not say it all."""
    return isinstance(node, ast.ClassDef) or len(node.body) > 1


@pytest.mark.parametrize("module", MODULES)
def test_module_and_its_public_names_are_documented(module):
    tree = SOURCES[MODULES[module]]
    assert ast.get_docstring(tree)
    assert [name for name, node in public(tree) if needs_docstring(node) and not ast.get_docstring(node)] == []


@pytest.mark.parametrize("module", MODULES)
def test_module_prints_nothing_and_leaves_global_random_state_alone(module):
    """The command line alone prints; seeding or drawing from a global stream would couple what must be independent."""
    calls = {ast.unparse(node.func) for node in ast.walk(SOURCES[MODULES[module]]) if isinstance(node, ast.Call)}
    assert "print" not in calls or module in ("alkit.study.cli", "alkit.study.figures.render")
    forbidden = re.compile(
        r"(torch\.manual_seed|(np|numpy)\.random\.(seed|rand\w*|choice|shuffle|permutation|normal)|random\.\w+)$"
    )
    assert [call for call in calls if forbidden.match(call) and call not in ("random.default_rng",)] == []


def test_every_strategy_and_source_names_whom_to_cite():
    from alkit import acquisition
    from alkit.benchmarks.sources import catalogue

    assert all(strategy.citation.strip() for strategy in acquisition.STRATEGIES.values())
    assert all(source.citation.strip() and source.licence.strip() for source in catalogue.SOURCES.values())


def test_nothing_in_the_project_names_a_machine_or_a_registry():
    pattern = re.compile(r"/(?:work|home|root)/\w+|pypi\.\w+|anaconda\.org|https?://(?:localhost|127\.)")
    files = [
        path
        for pattern_ in ("*.md", "*.toml", "*.yml", "Makefile", "alkit/**/*.py", ".ci/*")
        for path in ROOT.glob(pattern_)
    ]
    assert len(files) > 20
    assert [str(path) for path in files if pattern.search(path.read_text())] == []


def test_every_test_that_stands_against_a_known_fault_exists():
    named = re.findall(r"`(test_\w+)`", (ROOT / "tests" / "FAULTS.md").read_text())
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert len(named) > 30 and [name for name in named if name not in known] == []
