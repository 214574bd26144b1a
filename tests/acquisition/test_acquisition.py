"""The contract of every registered strategy, the registry, and the strategies that rank by a score."""

import dataclasses
import inspect
import itertools
import linecache
import random as python_random
import typing
import warnings

import numpy as np
import pytest
import torch
from reference import strategies as references
from scipy.special import entr
from scipy.stats import multivariate_normal

from alkit import learners
from alkit.acquisition import (
    FAMILIES,
    NOT_ASKED,
    STRATEGIES,
    Head,
    StrategyError,
    View,
    adversarial,
    check_options,
    family,
    get,
    order,
    registry,
    strategy,
)
from alkit.acquisition.density import fit_gaussians, log_density


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    """Contracts hold whatever a network has learned."""
    monkeypatch.setattr(adversarial, "STEPS", 3)


RANKED = ("random", "least_confidence", "entropy", "margin", "ddu")


def make_pool(*, n=60, n_classes=3, dim=4, labelled=20, quota=4, seed=0):
    """Blobs with one for non-iD samples, random probabilities, random answers at scattered positions."""
    rng = np.random.default_rng(seed)
    hidden = rng.integers(0, n_classes + 1, n)
    features = (3 * rng.normal(size=(n_classes + 1, dim))[hidden] + rng.normal(size=(n, dim))).astype(np.float32)
    probs = rng.dirichlet(np.full(n_classes + 1, 0.5), n).astype(np.float32)
    answers = np.full(n, NOT_ASKED)
    asked = rng.choice(n, labelled, replace=False)
    answers[asked] = hidden[asked]
    return {"features_ND": features, "probs_NC": probs, "answers_N": answers, "n_classes": n_classes, "quota": quota}


def make_head(pool, seed=0):
    """A last layer on the pool's own features."""
    rng = np.random.default_rng(seed)
    n_outputs, dim = pool["n_classes"] + 1, pool["features_ND"].shape[1]
    weight, bias = rng.normal(size=(n_outputs, dim)), rng.normal(size=n_outputs)
    return Head(pool["features_ND"], weight.astype(np.float32), bias.astype(np.float32))


def make_view(pool, seed=0):
    return View(**{"head": make_head(pool), **pool}, rng=np.random.default_rng(seed))


def one_hot(columns, n_columns):
    return np.eye(n_columns, dtype=np.float32)[columns]


def answered(pattern, n=60):
    """Answers that begin with `pattern`, then nothing is asked; one change to a pool."""
    return {"answers_N": np.array(list(pattern) + [NOT_ASKED] * (n - len(pattern)))}


def rows(distinct, n=60, dim=4):
    """Feature rows of which only `distinct` differ."""
    different = np.random.default_rng(0).normal(size=(distinct, dim)).astype(np.float32)
    return {"features_ND": different[np.arange(n) % distinct]}


def rows_apart_by_rounding(n=60, dim=4):
    """Eight distinct rows, among which k-means finds two or three clusters only."""
    features = np.repeat(np.where(np.arange(n) % 2, 1000, -1000).astype(np.float32)[:, None], dim, axis=1)
    for column, step in ((0, 3), (1, 5)):
        features[::step, column] = np.nextafter(features[::step, column], np.float32(np.inf))
    return {"features_ND": features}


CASES = {
    "ordinary": make_pool(),
    "one label per class": make_pool() | answered([0, 1, 2, 3]),
    "one label in all": make_pool() | answered([1]),
    "nothing labelled": make_pool(labelled=0),
    "only non-iD labelled": make_pool() | answered([3] * 7),
    "no non-iD labelled": make_pool() | answered([0, 1, 2, 1, 0, 0]),
    "all rows identical": make_pool() | rows(1),
    "fewer distinct rows than clusters": make_pool() | rows(3),
    "rows that differ by rounding alone": make_pool() | rows_apart_by_rounding(),
    "all features zero": make_pool() | {"features_ND": np.zeros((60, 4), np.float32)},
    "pool smaller than the quota": make_pool(n=26, labelled=20, quota=10),
    "one unasked": make_pool(n=21, labelled=20),
    "none unasked": make_pool(n=20, labelled=20),
    "one row in all": make_pool(n=1, labelled=0),
    "one-hot probabilities": make_pool() | {"probs_NC": one_hot(np.arange(60) % 4, 4)},
    "one sample of each predicted class": make_pool(n=4, labelled=0) | {"probs_NC": one_hot(np.arange(4), 4)},
    "constant classifier": make_pool() | {"probs_NC": np.full((60, 4), 0.25, np.float32)},
    "all predicted non-iD": make_pool() | {"probs_NC": one_hot(np.full(60, 3), 4)},
    "two classes": make_pool(n_classes=2),
    "one class": make_pool(n_classes=1),
    "fewer samples per class than features": make_pool(dim=64),
    "quota of one": make_pool(quota=1),
}


def option_grid():
    """Every registered strategy with every combination of the values that its options list, the others at default."""
    for name, known in STRATEGIES.items():
        types = typing.get_type_hints(known.function)
        values = [
            (True, False) if types[o] is bool else typing.get_args(types[o]) or (default,)
            for o, default in known.options.items()
        ]
        for combination in itertools.product(*values):
            options = dict(zip(known.options, combination, strict=True))
            yield pytest.param(name, options, id="-".join(map(str, (name, *combination))))


def global_state():
    state = np.random.get_state()
    return python_random.getstate(), state[1].tobytes(), state[2:], torch.get_rng_state().numpy().tobytes()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "options"), list(option_grid()))
def test_contract_of_every_strategy(name, options, case):
    pool = CASES[case]
    before = {key: value.copy() for key, value in pool.items() if isinstance(value, np.ndarray)}
    state = global_state()
    view = make_view(pool, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picks = list(order(name, view, **options))
    assert all(type(pick) is int for pick in picks)
    assert sorted(picks) == view.unasked.tolist()  # covered, each once, none answered
    assert list(order(name, make_view(pool, seed=1), **options)) == picks
    assert global_state() == state
    for key, value in before.items():
        np.testing.assert_array_equal(pool[key], value)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_work_is_done_before_the_first_item(name):
    view = make_view(CASES["ordinary"])
    items = order(name, view)
    assert inspect.isgenerator(items) and inspect.getgeneratorstate(items) == inspect.GEN_CREATED
    assert view.rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("batch", [1, 4, 7])
def test_order_does_not_depend_on_how_it_is_consumed(name, batch):
    whole = list(order(name, make_view(CASES["ordinary"])))
    items, picks = order(name, make_view(CASES["ordinary"])), []
    while chunk := list(itertools.islice(items, batch)):
        picks += chunk
        np.random.default_rng(len(picks)).random()
    assert picks == whole
    stopped = order(name, make_view(CASES["ordinary"]))
    assert list(itertools.islice(stopped, batch)) == whole[:batch]
    stopped.close()


@pytest.mark.parametrize("name", STRATEGIES)
def test_registry_entries_are_complete_and_defaults_are_valid(name):
    known = get(name)
    assert known.name == name and known.citation and known.function.__doc__
    shown = [f.name for f in dataclasses.fields(View)]
    assert known.needs and all(any(name.startswith(need) for name in shown) for need in known.needs)
    check_options(name, known.options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("entropi", {}, r"unknown strategy 'entropi' \(did you mean 'entropy'\?\); known: .*distance_cl.*random_cl"),
        ("distance_cl", {"exclud": "none"}, r"no option 'exclud' \(did you mean 'exclude'\?\); it has: exclude, norm"),
        ("random", {"variant": "paper"}, "strategy 'random' has no option 'variant'; it has: none"),
        ("entropy", {"auxiliary_filter": 1}, "must be True or False, got 1"),
        ("entropy", {"auxiliary_filter": "False"}, "must be True or False, got 'False'"),
        ("distance_cl", {"exclude": "counts"}, "must be one of count, proportion, none, got 'counts'"),
        ("random_cl", {"exclude": None}, "must be one of .* got None"),
        ("random_cl", {"normalise": 0}, "must be True or False, got 0"),
    ],
)
def test_wrong_names_and_values_are_refused_before_anything_runs(name, options, message):
    with pytest.raises(ValueError, match=message):
        order(name, None, **options)  # no view at all: nothing may look at it


@pytest.mark.parametrize("yields", ["generator", "list"])
@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([3.0], "yielded 3.0, which is no whole number"),
        (["3"], "yielded '3', which is no whole number"),
        ([True], "yielded True, which is no whole number"),
        ([[3]], r"yielded \[3\], which is no whole number"),
        ([None], "yielded None, which is no whole number"),
        ([np.float32(3)], "which is no whole number"),
        ([-1], "yielded -1, which is outside the pool of 60"),
        ([60], "yielded 60, which is outside the pool of 60"),
        ([7, 9, 7], "yielded 7, which is yielded before"),
        ([0], "yielded 0, which is answered already"),
    ],
)
def test_what_breaks_the_contract_is_an_error_that_names_the_strategy(items, said, yields, new_strategy):
    new_strategy("odd", lambda view: (item for item in items) if yields == "generator" else items)
    view = make_view(make_pool() | answered([0, 1, 2]))
    with pytest.raises(StrategyError, match=f"strategy 'odd' .*{said}; it must yield each position of view.unasked"):
        list(order("odd", view, auxiliary_filter=False))


def test_numpy_integers_are_positions_and_come_out_as_plain_ones(new_strategy):
    new_strategy("plain", lambda view: iter(view.unasked))
    picks = list(order("plain", make_view(make_pool())))
    assert len(picks) == 40 and all(type(pick) is int for pick in picks)


def test_strategy_that_does_not_look_at_the_candidates_and_one_that_returns_nothing_are_told(new_strategy):
    new_strategy("blind", lambda view: iter(np.flatnonzero(view.answers_N == NOT_ASKED)))
    with pytest.raises(StrategyError, match="strategy 'blind' yielded .* no candidate under the auxiliary filter"):
        list(order("blind", make_view(make_pool())))
    new_strategy("silent", lambda view: None)
    with pytest.raises(StrategyError, match="strategy 'silent' returns None; it must yield pool positions"):
        list(order("silent", make_view(make_pool())))


@pytest.fixture
def new_strategy(monkeypatch):
    """Registers a function of the view under a name, for one test."""
    monkeypatch.setattr(registry, "STRATEGIES", dict(STRATEGIES))

    def register(name, function):
        strategy(name, citation="-", needs=("probs",))(function)

    return register


@pytest.mark.parametrize("name", ["my strategy", "a+b", "", "3d", 3, "a(b)"])
def test_registering_refuses_a_name_that_no_method_can_say(name):
    with pytest.raises(ValueError, match="a strategy's name must be an identifier, such as 'my_strategy', got"):
        strategy(name, citation="-", needs=("probs",))


@pytest.mark.parametrize("needs", [("gradients",), ("probs", "feature"), "probs"])
def test_registering_refuses_needs_that_no_learner_shows(needs):
    with pytest.raises(
        ValueError, match="the needs of strategy 'new' must be a tuple of what learners show, features, "
    ):
        strategy("new", citation="-", needs=needs)


CELL = """
@strategy("mine", citation="-", needs=("probs",))
def mine(view):
    yield from view.unasked{order}
"""


def test_cell_run_again_replaces_its_strategy_and_a_changed_one_has_another_source_hash(monkeypatch):
    monkeypatch.setattr(registry, "STRATEGIES", dict(STRATEGIES))
    hashes = []
    for number, order_of in enumerate(("", "[::-1]", "")):
        text = CELL.format(order=order_of)
        path = f"<cell {number}>"  # a notebook gives each run of a cell a file name of its own
        linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
        exec(compile(text, path, "exec"), {"strategy": strategy, "__name__": "__main__"})
        hashes.append(get("mine").source_hash)
        picks = list(order("mine", make_view(make_pool()), auxiliary_filter=False))
        assert (picks == sorted(picks)) == (order_of == "")
    assert hashes[0] == hashes[2] != hashes[1] and len(hashes[0]) == 64
    with pytest.raises(ValueError, match="named 'mine' is registered already: choose another name"):
        strategy("mine", citation="-", needs=())(lambda view: iter(()))


def test_version_stands_for_the_source_of_the_strategies_of_the_package():
    assert {known.source_hash for known in STRATEGIES.values()} == {""}
    assert registry.source_hash("margin") == registry.source_hash("nobody_knows") == ""


def test_what_learners_show_is_what_strategies_may_need():
    assert set(registry.SHOWN) == {need for learner in learners.LEARNERS.values() for need in learner.shows}


def test_registering_refuses_a_taken_name_and_an_option_that_cannot_be_checked():
    with pytest.raises(ValueError, match="registered already"):
        strategy("entropy", citation="-", needs=())(lambda view: iter(()))
    with pytest.raises(TypeError, match="'k' of strategy 'new' must be keyword-only"):
        strategy("new", citation="-", needs=())(lambda view, *, k=3: iter(()))
    with pytest.raises(ValueError, match="family of strategy 'new' must be one of paper, classic, .*; got 'clasic'"):
        strategy("new", citation="-", needs=(), family="clasic")
    with pytest.raises(ValueError, match="extensions of strategy 'new' are not among its options: .'k'."):
        strategy("new", citation="-", needs=(), extensions=("k",))(lambda view: iter(()))
    with pytest.raises(ValueError, match="auxiliary_filter is an option of every strategy .* rename that of 'new'"):

        @strategy("new", citation="-", needs=())
        def new(view, *, auxiliary_filter: bool = True):
            yield from ()

    assert "new" not in STRATEGIES


def test_families_are_those_of_the_registry_and_an_extension_makes_a_strategy_ours():
    assert {known.family for known in STRATEGIES.values()} == set(FAMILIES)
    assert family("distance_cl", {}) == family("distance_cl", {"exclude": "none"}) == "paper"
    assert family("distance_cl", {"radius": 0.1}) == family("ddu_gate", {}) == family("nobody_knows", {}) == "ours"
    assert [name for name, known in STRATEGIES.items() if known.reference] == ["oracle_random", "oracle_margin", "boss"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features_ND": np.zeros((59, 4))}, "features must be"),
        ({"probs_NC": np.zeros((60, 3))}, "probabilities must be"),
        ({"probs_NC": np.full((60, 4), np.nan)}, "probs_NC holds values that are not finite"),
        ({"features_ND": np.full((60, 4), np.inf)}, "features_ND holds values that are not finite"),
        ({"answers_N": np.full(60, -1.0)}, "answers must be integers"),
        ({"answers_N": np.full(60, 4)}, "answers must lie in -1..3"),
        ({"quota": 0}, "quota must be at least 1"),
        ({"candidates_N": np.ones(59, bool)}, "candidates must be 60 booleans"),
        ({"candidates_N": np.ones(60)}, "candidates must be 60 booleans, got .* of float64"),
        ({"head": make_head(make_pool(n=59))}, "a head must be of shapes"),
        ({"head": make_head(make_pool(n_classes=2))}, "a head must be of shapes"),
        ({"head": Head(np.zeros((60, 4)), np.full((4, 4), np.nan), np.zeros(4))}, "head holds values that are not"),
    ],
)
def test_view_refuses_what_does_not_fit_together(change, message):
    with pytest.raises(ValueError, match=message):
        make_view(make_pool() | change)


def test_view_shows_the_documented_fields_alone_and_none_can_be_written():
    view = make_view(CASES["ordinary"])
    documented = {"features_ND", "probs_NC", "answers_N", "n_classes", "quota", "rng", "head", "live_N", "candidates_N"}
    assert {f.name for f in dataclasses.fields(view)} == set(vars(view)) == documented
    asked_of_it = {"unasked", "unlabelled", "among", "only_candidates", "shuffled"}
    assert {name for name in dir(view) if not name.startswith("_")} == documented | asked_of_it
    view = dataclasses.replace(view, candidates_N=np.ones(60, bool))
    for name in ("features_ND", "probs_NC", "answers_N", "live_N", "candidates_N"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(view, name)[0] = 0
    for part in vars(view.head).values():
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.labels_N = np.zeros(60)


@pytest.mark.parametrize("name", ["least_confidence", "entropy", "margin"])
@pytest.mark.parametrize("seed", range(5))
def test_uncertainty_orders_agree_with_their_definitions(name, seed):
    view = make_view(make_pool(n=300, n_classes=1 + seed, seed=seed))
    score = getattr(references, name)(view.probs_NC)
    picks = list(order(name, view, auxiliary_filter=False))
    scores = np.array([score[i] for i in picks])
    assert len(set(np.round(scores, 9))) > 200  # scores that could show a wrong order
    assert (np.diff(scores) >= -1e-9).all()


NOT_REFERENCES = [name for name, known in STRATEGIES.items() if not known.reference]


@pytest.mark.parametrize("name", NOT_REFERENCES)
def test_auxiliary_filter_puts_predicted_non_id_last(name):
    view = make_view(CASES["ordinary"])
    picks = list(order(name, view))
    assert sorted(picks) == view.unasked.tolist()
    predicted_non_id = [bool(view.probs_NC[i].argmax() == 3) for i in picks]
    assert 5 < sum(predicted_non_id) < len(predicted_non_id) - 5
    assert predicted_non_id == sorted(predicted_non_id)
    unfiltered = order(name, make_view(CASES["ordinary"]), auxiliary_filter=False)
    assert [bool(view.probs_NC[i].argmax() == 3) for i in unfiltered] != predicted_non_id


@pytest.mark.parametrize("name", ["oracle_random", "oracle_margin", "boss"])
def test_reference_lines_need_no_filter(name):
    on, off = (list(order(name, make_view(CASES["ordinary"]), auxiliary_filter=choice)) for choice in (True, False))
    assert on == off


@pytest.mark.parametrize("name", RANKED)
def test_auxiliary_filter_is_the_old_one_pick_for_pick(name):
    """Until 0.1.0 these strategies ordered all unasked samples and moved those predicted non-iD behind the others."""
    score_N = {
        "random": lambda view: np.zeros(len(view.answers_N)),
        "least_confidence": lambda view: view.probs_NC.max(axis=1),
        "entropy": lambda view: -entr(view.probs_NC.astype(np.float64)).sum(axis=1),
        "margin": lambda view: -np.diff(np.sort(view.probs_NC.astype(np.float64), axis=1)[:, :-3:-1])[:, 0],
        "ddu": lambda view: ddu_density(view),
    }[name]
    for seed in range(5):
        pool = make_pool(n=300, seed=seed)
        view = make_view(pool, seed)
        positions = view.rng.permutation(np.flatnonzero(view.answers_N == NOT_ASKED))
        positions = positions[np.argsort(score_N(view)[positions], kind="stable")]
        looks_id = view.probs_NC[positions].argmax(axis=1) != 3
        picks = list(order(name, make_view(pool, seed)))
        assert picks[: looks_id.sum()] == positions[looks_id].tolist()
        if name == "random":  # a second draw
            assert sorted(picks) == sorted(positions)
        else:
            assert picks == [*positions[looks_id], *positions[~looks_id]]


def ddu_density(view):
    labelled = (view.answers_N >= 0) & (view.answers_N < view.n_classes)
    return log_density(view.features_ND, fit_gaussians(view.features_ND[labelled], view.answers_N[labelled]))


@pytest.mark.parametrize(
    "case", ["nothing labelled", "all predicted non-iD", "constant classifier", "none unasked", "one row in all"]
)
@pytest.mark.parametrize("name", NOT_REFERENCES)
def test_where_probabilities_say_nothing_the_filter_changes_nothing(name, case):
    on, off = (list(order(name, make_view(CASES[case]), auxiliary_filter=choice)) for choice in (True, False))
    assert on == off


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_yield_all_candidates_and_nothing_else(name):
    for share in (0.1, 0.5):
        candidates = np.random.default_rng(1).random(60) < share
        view = make_view(CASES["ordinary"] | {"candidates_N": candidates})
        picks = list(order(name, view, auxiliary_filter=False))
        assert sorted(picks) == view.unasked.tolist()
        assert set(picks) == set(np.flatnonzero(candidates & (view.answers_N == NOT_ASKED)))
        assert list(order(name, make_view(CASES["ordinary"] | {"candidates_N": ~candidates & False}))) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_goes_on_in_the_second_pass_of_the_filter_when_answers_have_come(name):
    case = CASES["ordinary"] | {"live_N": CASES["ordinary"]["answers_N"].copy()}
    view, answer = make_view(case), np.random.default_rng(4).integers(0, 4, 60)
    both = view.probs_NC[view.unasked].argmax(1) == view.n_classes
    assert both.any() and not both.all()
    picks = []
    for pick in order(name, view):
        case["live_N"][pick] = answer[pick]
        picks.append(pick)
    assert sorted(picks) == view.unasked.tolist()


@pytest.mark.parametrize("name", ["coreset", "distance_cl", "typiclust", "probcover", "cold_start", "ddu",
                                  "lfosa", "bual", "eoal", "ccal", "mqnet"])  # fmt: skip
def test_who_may_be_asked_changes_nothing_of_what_is_known_of_the_pool(name):
    """The first choice among all candidates stays the first where it is one of half of them: no sample that is no
    candidate may be taken for a labelled one, nor be left out of densities, clusters and scales."""
    pool = make_pool(n=120, labelled=40, seed=2)
    first = next(order(name, make_view(pool), auxiliary_filter=False))
    candidates = np.random.default_rng(3).random(120) < 0.5
    candidates[first] = True
    assert next(order(name, make_view(pool | {"candidates_N": candidates}), auxiliary_filter=False)) == first


def test_live_answers_stay_live_in_both_passes():
    seen = []

    def watch(view):
        for position in view.unasked:
            yield int(position)
            seen.append(int(view.live_N[position]))

    strategy("watch", citation="-", needs=("probs",))(watch)
    try:
        answers = CASES["ordinary"]["answers_N"].copy()
        view = make_view(CASES["ordinary"] | {"answers_N": answers.copy(), "live_N": answers})
        for number, position in enumerate(order("watch", view)):
            answers[position] = number % 4
        assert seen == [number % 4 for number in range(40)]
    finally:
        del STRATEGIES["watch"]


@pytest.mark.parametrize("name", RANKED)
def test_ties_are_broken_at_random_and_not_by_pool_position(name):
    pool = CASES["constant classifier"] | rows(1)
    first = [next(order(name, make_view(pool, seed))) for seed in range(400)]
    unasked = make_view(pool).unasked
    counts = np.bincount(first, minlength=60)[unasked]
    assert counts.min() > 0 and counts.max() < 30  # 10 expected for each of 40 positions


@pytest.mark.parametrize("name", ["least_confidence", "entropy", "margin", "ddu"])
def test_shuffling_the_pool_shuffles_the_picks_and_nothing_else(name):
    pool = make_pool(n=200, seed=3)
    perm = np.random.default_rng(9).permutation(200)
    shuffled = pool | {key: pool[key][perm] for key in ("features_ND", "probs_NC", "answers_N")}
    assert [int(perm[i]) for i in order(name, make_view(shuffled))] == list(order(name, make_view(pool)))


def labelled_blobs(*, per_class, dim, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 2, 5], per_class)  # classes without labels are simply absent
    labelled = (rng.normal(size=(6, dim))[labels] + 0.5 * rng.normal(size=(len(labels), dim))).astype(np.float32)
    return labelled, labels, rng.normal(size=(50, dim)).astype(np.float32)


def test_ddu_density_agrees_with_scipy():
    labelled, labels, features = labelled_blobs(per_class=40, dim=5)
    densities = [
        multivariate_normal(group.mean(axis=0), np.cov(group.T)).pdf(features.astype(np.float64))
        for group in (labelled[labels == k].astype(np.float64) for k in (0, 2, 5))
    ]
    expected = np.log(np.mean(densities, axis=0))
    np.testing.assert_allclose(log_density(features, fit_gaussians(labelled, labels)), expected, rtol=1e-9)


@pytest.mark.parametrize(("per_class", "jitter"), [(40, 0.0), (10, 1e-10), (6, 1e-10), (1, 1e-10)])
def test_ddu_density_takes_the_smallest_jitter_that_works(per_class, jitter):
    labelled, labels, features = labelled_blobs(per_class=per_class, dim=10)
    expected = references.gaussian_mixture_log_density(features, labelled, labels, jitter)
    np.testing.assert_allclose(log_density(features, fit_gaussians(labelled, labels)), expected, rtol=1e-4)


def test_ddu_weights_classes_by_their_share_of_labels():
    labelled, labels, features = labelled_blobs(per_class=40, dim=3)
    keep = np.r_[0:10, 40:120]
    expected = references.gaussian_mixture_log_density(features, labelled[keep], labels[keep], 0.0)
    np.testing.assert_allclose(log_density(features, fit_gaussians(labelled[keep], labels[keep])), expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_ddu_density_is_finite_in_512_dimensions_with_few_labels_and_dead_features(scale):
    labelled, labels, features = labelled_blobs(per_class=9, dim=512)
    labelled[:, ::3] = 0
    assert np.isfinite(log_density(scale * features, fit_gaussians(scale * labelled, labels))).all()
    labelled, labels, features = labelled_blobs(per_class=50, dim=8)
    labelled[:, 2] = 0  # n_k > D and singular all the same
    assert np.isfinite(log_density(scale * features, fit_gaussians(scale * labelled, labels))).all()


@pytest.mark.parametrize("chunk", [1, 7, 49, 50])
def test_ddu_density_does_not_depend_on_the_chunk(chunk):
    labelled, labels, features = labelled_blobs(per_class=40, dim=16)
    gaussians = fit_gaussians(labelled, labels)
    whole = log_density(features, gaussians)
    np.testing.assert_allclose(log_density(features, gaussians, chunk=chunk), whole, rtol=1e-10)


def test_ddu_asks_for_the_lowest_density_first_and_learns_from_id_labels_alone():
    pool = make_pool(n=300, labelled=120, seed=5)
    view = make_view(pool)
    id_labelled = (view.answers_N >= 0) & (view.answers_N < 3)
    density = references.gaussian_mixture_log_density(
        view.features_ND, view.features_ND[id_labelled], view.answers_N[id_labelled], 0.0
    )
    expected = sorted(view.unasked.tolist(), key=lambda i: density[i])
    assert list(order("ddu", view, auxiliary_filter=False)) == expected
