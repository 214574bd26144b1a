"""Static checks of the committed notebooks; what they compute is checked by nbval."""

import ast
import re

import nbformat
import pandas
import papermill
import pytest
import smoke_notebooks

from alkit import acquisition, benchmarks, learners, paths
from alkit.study import notebook as helpers
from alkit.study import tables
from alkit.study.analysis import cost_tables, curves, paired_differences
from alkit.study.batch import notebook_runs, publish

PATHS = [paths.NOTEBOOKS / f"{stem}.ipynb" for stem in notebook_runs.notebooks()]
FIRST = ("01_benchmark_construction", "02_contrastive_training", "03_feature_space", "04_active_learning_curves")
PICTURED = ("00_labelling_budget", *FIRST)  # their figures are in the file
TAGS = {"parameters", "keep_output", "nbval-check-output"}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def test_the_four_notebooks_of_the_paper_are_there():
    assert notebook_runs.notebooks()[1:5] == list(FIRST)


def test_first_code_cell_alone_is_the_parameters_cell(notebook):
    assert ["parameters" in tags(cell) for cell in code(notebook)] == [True] + [False] * (len(code(notebook)) - 1)


def test_parameters_are_flat_literals_that_papermill_can_read(notebook, path):
    statements = ast.parse(code(notebook)[0].source).body
    names = [s.target.id for s in statements if isinstance(s, ast.AnnAssign)]
    values = {s.target.id: ast.literal_eval(s.value) for s in statements}
    assert len(names) == len(statements)
    assert not any(isinstance(value, tuple) for value in values.values())  # papermill would inject text
    assert list(papermill.inspect_notebook(str(path))) == names
    assert notebook_runs.parameters(path) == values


def test_defaults_are_what_the_notebook_shows_and_publish_nothing(path):
    """Notebooks 1 to 4 show one run, that of `make study`; the others read committed tables."""
    defaults = notebook_runs.parameters(path)
    wanted = "laptop" if path.stem in FIRST else "smoke"
    assert defaults.get("profile", wanted) == wanted and not defaults.get("publish")
    assert path.stem not in FIRST or (defaults["seed"], defaults.get("n_seeds", 5)) == (20, 5)
    assert ("profile" in defaults) == ("benchmark" in defaults)


def test_cells_are_short_and_define_no_class(notebook):
    assert len(code(notebook)) <= 25
    for cell in code(notebook):
        assert len(cell.source.splitlines()) <= 15, cell.source
        assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(cell.source)))


def test_tags_are_known_and_checked_outputs_are_kept(notebook):
    for cell in code(notebook):
        assert tags(cell) <= TAGS
        assert "nbval-check-output" not in tags(cell) or "keep_output" in tags(cell)
        assert bool(cell.outputs) == ("keep_output" in tags(cell)), cell.source
        assert not cell.outputs or cell.execution_count is not None  # nbval fails on outputs of a cell that never ran


def test_no_output_needs_a_script_to_be_seen_and_nothing_went_to_standard_error(notebook, path):
    """Figures of notebooks 0 to 4 are pictures in the file itself; no checked output is one."""
    for cell in code(notebook):
        for output in cell.outputs:
            kinds = [kind for kind in output.get("data", {}) if kind.startswith(("image/", "application/vnd"))]
            assert output.output_type != "error" and output.get("name") != "stderr"
            assert kinds in ([], ["image/png"] * (path.stem in PICTURED and "nbval-check-output" not in tags(cell)))


@pytest.mark.parametrize("stem", PICTURED)
def test_every_figure_of_the_first_notebooks_is_in_the_file(stem):
    for cell in code(nbformat.read(paths.NOTEBOOKS / f"{stem}.ipynb", as_version=4)):
        if "keep(figures" in cell.source:
            assert [output for output in cell.outputs if "image/png" in output.get("data", {})], cell.source


def test_no_leftovers_of_tools_or_machines(notebook, path):
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        assert "injected-parameters" not in tags(cell)
    assert not re.search(r"(?<![\w./])/(home|root|tmp|usr|work|Users)/", path.read_text())
    assert path.stat().st_size < (1_500_000 if path.stem in PICTURED else 100_000)


def test_reads_as_a_lesson(notebook):
    """Question first; what was learned, its limits and three things to try at the end."""
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert text[0].startswith("# ") and "**Question.**" in text[0]
    last = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"][-1]
    assert all(cell.cell_type == "code" for cell in notebook.cells[last + 1 :])  # lines to begin an exercise with
    title, before, learned, last = notebook.cells[last - 3 : last + 1]
    if learned.source.startswith("notebook.told("):  # another pool's
        assert re.fullmatch(r'notebook.told\(benchmark, "0\d learned"\)', learned.source)
        assert title.source.endswith("## What we learned")
        told = before.source
    elif learned.cell_type == "code":  # the text of the pool
        assert before.source.endswith("## What we learned")
        assert re.fullmatch(r'Markdown\(story\["0\d learned"\]\)', learned.source)
        told = learned.outputs[0].data["text/markdown"]
    else:
        told = learned.source.split("## What we learned")[1]
    assert "**Limits.**" in told
    assert re.findall(r"^(\d)\. ", last.source.split("## Try")[1], re.M) == ["1", "2", "3"]


def test_every_benchmark_has_the_text_that_the_notebooks_ask_for():
    asked = r'(?:story\[|told\(benchmark, )\\"(.+?)\\"[\])]'
    wanted = {key for path in PATHS for key in re.findall(asked, path.read_text())}
    assert {f"0{i} learned" for i in range(1, 5)} <= wanted
    for benchmark in benchmarks.BENCHMARKS:
        if benchmark != "tiny":
            story = helpers.story(benchmark)
            assert set(story) == wanted and all(story.values())
            assert all("**Limits.**" in text for key, text in story.items() if key.endswith("learned"))


@pytest.mark.parametrize("stem", [*FIRST, "05_strategies", "07_beyond_the_paper"])
def test_text_about_mixdigits_stands_in_the_notebook_and_other_pools_have_their_own_in_its_place(stem):
    cells = nbformat.read(paths.NOTEBOOKS / f"{stem}.ipynb", as_version=4).cells
    parts = {helpers.TOLD.fullmatch(cell.source)[1]: i for i, cell in enumerate(cells) if "told(" in cell.source}
    above = [i for i, cell in enumerate(cells) if "mixdigits" in tags(cell)]
    assert above == [i - 1 for i in parts.values()] and f"{stem[:2]} learned" in parts
    for part, at in parts.items():
        assert cells[at - 1].cell_type == "markdown" and cells[at].outputs == []
        assert helpers.told("mixdigits", part) is None
        assert helpers.told("mixmnist", part).data == helpers.story("mixmnist")[part]
        assert helpers.told("mixdigits-id10", part).data.endswith(cells[at - 1].source)
    assert stem not in FIRST or not any("notebook.story" in cell.source for cell in cells)


def test_questions_of_the_game_that_cannot_be_asked_are_named():
    helpers.check_questions([3, 4, 5], first=[0, 1], n=6)
    for mine, said in (
        ([3, 6, -1], "numbers for 6, -1 in `my_questions`: there are samples 0 to 5 only"),
        ([1, 3], "1 in `my_questions`: these were answered before"),
        ([4, 3, 4], "4 in `my_questions`: these stand there more than once"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            helpers.check_questions(mine, first=[0, 1], n=6)


def test_text_on_what_was_learned_on_one_pool_says_so_on_every_other():
    for benchmark, learned_on in (("mixdigits-id10", "mixdigits"), ("mixcifar60", "mixcifar60-house_numbers-scenes")):
        told, original = helpers.story(benchmark), helpers.story(learned_on)
        for key, text in told.items():
            notice, found, body = text.rpartition("compare.*\n\n")
            assert body == original[key] and bool(found) == key.endswith("learned")
            assert not found or (f"`{learned_on}`" in notice and f"`{benchmark}`" in notice)
    assert "compare.*" not in "".join(helpers.story("strategies").values())


def test_pictures_of_one_benchmark_are_cells_of_their_own_that_say_so(notebook):
    """Executed copies, whose figures are their own, leave these cells out."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert ("![" in cell.source) == ("picture" in tags(cell))
            wanted = r"\*(MixDigits, profile `laptop`|MixCIFAR60, profile `paper`|Seed 0|Drawing|Simulated sessions): "
            assert "picture" not in tags(cell) or re.search(wanted, cell.source)


def test_pictures_have_a_text_for_those_who_cannot_see_them(notebook):
    for cell in notebook.cells:
        assert "![](" not in cell.source


def test_tables_of_the_results_page_are_the_committed_results():
    text = (paths.ROOT / "figures" / "results" / "README.md").read_text()
    blocks = re.findall(r"<!-- table (\S+) -->\n```text\n(.*?)\n```", text, re.S)
    assert {f"mixdigits-laptop{name}" for name in ("", "-strategies", "-gates")} <= set(dict(blocks))
    assert "mixmnist-laptop-strategies" in dict(blocks)
    for label, block in blocks:
        table = pandas.read_csv(paths.ROOT / "figures" / "results" / f"{label}.csv")
        assert block == cost_tables.table2_text(table), label


def test_first_table_of_the_readme_is_in_the_committed_results():
    readme = (paths.ROOT / "README.md").read_text()
    said = re.findall(r"^\| (.+?) \| (\d\d\.\d) % \| (\d+) \| (\d\.\d\d) \|$", readme, re.M)
    rows = {
        "Random": "random",
        "Least confidence": "least_confidence",
        "Margin": "margin",
        "BADGE": "badge",
        "TypiClust": "typiclust",
        "Distance(CL), the paper's": "distance_cl",
        "**Cautious coverage, ours**": "cautious_coverage",
    }
    assert [name for name, *_ in said] == list(rows)
    for name, *numbers in said:
        options = '{"auxiliary_filter": false}' if "paper" in name else "{}"
        accuracy, cost, seeds = ends("mixdigits-laptop-strategies", rows[name], "probe", options)
        assert numbers == [f"{accuracy:.1f}", f"{cost:.0f}", f"{cost / accuracy:.2f}"] and seeds == 11


def test_readme_lists_every_learner_and_every_strategy_with_its_file():
    readme = (paths.ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \| .*\|$", readme, re.M)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(learners.LEARNERS) <= listed
    for name, strategy in acquisition.STRATEGIES.items():
        file = f"alkit/acquisition/{strategy.function.__module__.rpartition('.')[2]}.py"
        assert re.search(rf"`{name}`(, `\w+`)* \[\w+\.py\]\({file}\)", readme), name


def test_page_of_related_work_names_every_strategy_and_no_other():
    page = (paths.NOTEBOOKS / "texts" / "related_work.md").read_text()
    named = {name for row in re.findall(r"^\|.*\| (`.*?) \|$", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named - {"skip"} == set(acquisition.STRATEGIES)


def ends(table, strategy, learner, options="{}"):
    """(accuracy in %, looks, seeds): means at the last stage under the shared initial set."""
    file = paths.ROOT / "figures" / "results" / f"{table}.csv"
    runs = pandas.read_csv(file)
    chosen = runs[(runs.strategy == strategy) & (runs.options == options) & (runs.initial == "shared")]
    last = chosen[chosen.learner == learner].groupby("seed").tail(1)
    return 100 * last.accuracy.mean(), last.cost.mean(), last.seed.nunique()


def test_what_the_readme_says_of_our_strategy_is_in_the_committed_results():
    """Its table of three learners and three strategies, and that it is ahead of every other one."""
    readme = (paths.ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)`, (\d+) seeds \| (.+) \|$", readme, re.M)
    strategies = re.search(r"^\| learner \| (`.+`) \|$", readme, re.M)[1].replace("`", "").split(" | ")
    assert len(rows) == len(strategies) == 3
    for learner, seeds, cells in rows:
        table = f"mixdigits-laptop-{ {'probe': 'strategies'}.get(learner, learner) }"
        for strategy, said in zip(strategies, cells.split(" | "), strict=True):
            accuracy, cost, n_seeds = ends(table, strategy, learner)
            assert (said, int(seeds)) == (f"{accuracy:.1f} % for {cost:.0f} looks", n_seeds), (learner, strategy)
    runs = pandas.read_csv(paths.ROOT / "figures" / "results" / "mixdigits-laptop-strategies.csv")
    others = paired_differences.strategy_differences(runs, baseline="cautious_coverage")
    assert others["mean"].max() < 0 and f"p = {others.p_holm.max():.3f} after Holm" in readme
    said = re.search(r"^\| `probe` on MixMNIST \(to 300\), 11 seeds \| (.+) \|$", readme, re.M)[1].split(" | ")
    found = [ends("mixmnist-laptop-strategies", strategy, "probe") for strategy in strategies]
    assert said == [f"{accuracy:.1f} % for {cost:.0f} looks" for accuracy, cost, _ in found]
    runs = pandas.read_csv(paths.ROOT / "figures" / "results" / "mixmnist-laptop-strategies.csv")
    others = paired_differences.strategy_differences(runs, baseline="cautious_coverage")
    assert others["mean"].max() < 0 and f"p = {others.p_holm.max():.3f} after Holm" in readme and len(others) == 11


def test_evidence_on_the_papers_claims_is_in_the_committed_results():
    readme = (paths.ROOT / "README.md").read_text()
    claims = readme[readme.index("| the paper says |") :].split("\n\n")[0].splitlines()[2:]
    bills, looks, learned, mixmnist, _ = (row.split(" | ")[1] for row in claims)
    six, off = "mixdigits-laptop", '{"auxiliary_filter": false}'
    unsure = [ends(six, name, "supervised")[1] for name in ("least_confidence", "entropy", "ddu")]
    chance, *_ = rest = ends(six, "random", "supervised")
    distance, any_ = (ends(six, name, "contrastive", off) for name in ("distance_cl", "random_cl"))
    assert f"{min(unsure):.0f} to {max(unsure):.0f} looks, random {rest[1]:.0f}" in bills
    paper = {name: ends("mixmnist-paper-supervised", name, "supervised")
             for name in ("random", "least_confidence", "entropy", "ddu")}  # fmt: skip
    costs = [found[1] for name, found in paper.items() if name != "random"]
    assert f"{min(costs):,.0f} to {max(costs):,.0f}, random {paper['random'][1]:.0f}" in bills
    assert f"{distance[1]:.0f}; Random(CL) {any_[1]:.0f}, random {rest[1]:.0f}" in looks
    assert f"Random(CL) {any_[0]:.1f} %, random {chance:.1f} %" in learned
    assert f"{paper['random'][0]:.2f} % and {paper['least_confidence'][0]:.2f} %" in mixmnist
    laptop = [ends("mixmnist-laptop-protocols", name, "supervised")[0] for name in ("random", "least_confidence")]
    assert "{:.2f} % and {:.2f} %".format(*laptop) in mixmnist
    probe = [ends("mixmnist-laptop-strategies", name, "probe")[1] for name in ("distance_cl", "random")]
    assert "11 seeds: {:.0f}, random {:.0f}".format(*probe) in looks


def test_what_notebook_4_says_it_learned_is_in_the_committed_table():
    """Its text of MixDigits: bills, accuracies, the means over the common costs, the initial set."""
    told, off = helpers.story("mixdigits")["04 learned"], '{"auxiliary_filter": false}'
    six = {
        name: ends("mixdigits-laptop", name, "supervised") for name in ("random", "least_confidence", "entropy", "ddu")
    }
    six |= {name: ends("mixdigits-laptop", name, "contrastive", off) for name in ("random_cl", "distance_cl")}
    unsure = [six[name] for name in ("least_confidence", "entropy", "ddu")]
    rest = [six[name] for name in ("random", "random_cl", "distance_cl")]
    for one, other, said in (
        (unsure, 1, "{:.0f} to {:.0f} looks, the other"),
        (rest, 1, "methods for {:.0f} to {:.0f}, to"),
        (unsure, 0, "end at {:.1f} to {:.1f} %"),
        (rest, 0, "the others at {:.1f} to {:.1f} %"),
    ):
        assert said.format(min(row[other] for row in one), max(row[other] for row in one)) in told
    distance, any_ = six["distance_cl"][1], six["random_cl"][1]
    eleven = [ends("mixdigits-laptop-strategies", name, "probe", off)[1] for name in ("distance_cl", "random_cl")]
    assert f"({distance:.0f} looks to {any_:.0f}, a" in told and f"({six['random'][1]:.0f})" in told
    assert "{:.0f} to {:.0f} in the eleven seeds".format(*eleven) in told

    runs = tables.read_results(paths.ROOT / "figures", "mixdigits", "laptop")
    area = 100 * curves.area(runs).groupby("method").area.mean()
    assert f"runs from {area.min():.1f} % ({area.idxmin()}) to {area.max():.1f} % ({area.idxmax()})" in told
    begun = runs.groupby(["learner", "strategy", "seed"]).head(1)
    early = 100 * begun.groupby("learner").accuracy.mean()
    assert f"it has {early.contrastive:.1f} %, the supervised one {early.supervised:.1f} %" in told
    assert f"{(begun.cost - begun.n_id).mean():.0f} of the {begun.cost.mean():.0f} images in the initial set" in told
    looked = [100 * row[1] / len(benchmarks.load("mixdigits").pool) for row in six.values()]
    assert f"look at {min(looked):.0f} to {max(looked):.0f} % of it" in told


def test_copies_for_nbval_run_at_smoke_and_are_otherwise_the_notebooks(tmp_path):
    for copy in smoke_notebooks.write(tmp_path):
        original = paths.NOTEBOOKS / copy.name
        given, defaults = (notebook_runs.parameters(path) for path in (copy, original))
        assert given == defaults  # what is injected comes after
        cells, before = (nbformat.read(path, as_version=4).cells for path in (copy, original))
        injected = [cell.source for cell in cells if "injected-parameters" in tags(cell)]
        assert injected == [] if "profile" not in defaults else 'profile = "smoke"' in injected[0]
        assert [cell.source for cell in cells if cell.source not in injected] == [cell.source for cell in before]


PUBLISHED = sorted((paths.ROOT / "figures").glob("*/notebooks/*/*.ipynb"))


def results_of(path):
    """The label of the results that a published notebook shows, such as "mixmnist-laptop"."""
    return f"{path.parts[-4]}-{path.parts[-2]}"


def test_notebooks_were_published_for_every_pool():
    """MixDigits' own 0 to 4 are in notebooks/, as executed."""
    wanted = {"mixdigits": "05 06 07 09", "mixmnist": "01 02 03 06 07", "mixcifar60": "03"}
    assert {path.parts[-4] for path in PUBLISHED} == set(wanted)
    for pool, numbers in wanted.items():
        assert [
            path.stem[:2] for path in sorted(PUBLISHED, key=lambda p: p.stem) if path.parts[-4] == pool
        ] == numbers.split()


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{results_of(path)}-{path.stem[:2]}")
def test_published_notebook_can_be_read_on_a_plain_page_and_says_what_the_study_says_now(path):
    """Every figure a picture, no error, no place of a machine; its text is that of the stories as they are."""
    notebook = nbformat.read(path, as_version=4)
    story = helpers.story(re.split("-laptop|-paper", results_of(path))[0])
    assert not re.search(r"(?<![\w./])/(home|root|tmp|usr|work|Users)/", path.read_text())
    for above, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type != "code":
            continue
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        assert all(output.output_type != "error" and output.get("name") != "stderr" for output in cell.outputs)
        assert "application/vnd.plotly.v1+json" not in kinds
        assert "image/png" in kinds or "keep(" not in cell.source or "else:" in cell.source, cell.source
        if match := re.fullmatch(r'Markdown\(story\["(.+)"\]\)', cell.source) or helpers.TOLD.fullmatch(cell.source):
            told = publish.linked(story[match[1]], paths.NOTEBOOKS, path.parent)
            here = "mixdigits" in tags(above)
            assert (above.source if here else cell.outputs[0].data["text/markdown"]) == told, match[1]
