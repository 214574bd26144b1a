"""Time and memory of every strategy on one stage, by pytest-benchmark; `strategies.py` runs this and keeps the table.

A stage is 300 questions: a quota of 100 iD answers of which two in three are junk. Pools are Gaussian blobs in 128
dimensions, one per class and half as many of non-iD samples, with 1,500 answers and a softmax on cosines to the means
of labelled classes. Memory is what the process grew by at its highest, beyond the pool itself.
"""

import functools
import itertools

import numpy as np
import pytest
from measured import grown_mib

from alkit.acquisition import STRATEGIES, Head, View, order

DIM, QUOTA, QUESTIONS = 128, 100, 300
VARIANTS = (
    ("distance_cl", {"clusters_per_class": 3}), ("similar", {"objective": "logdetcmi"}), ("badge", {"variant": "code"}),
)  # fmt: skip
CASES = [(name, {}) for name in STRATEGIES] + list(VARIANTS)
GROWTH = (10_000, 100_000, 1_000_000)
PEERS = {"coreset": "CoreSet", "badge": "Badge", "typiclust": "TypiClust", "probcover": "ProbCover",
         "dropquery": "DropQuery"}  # fmt: skip
PEER_ROWS = 5_000  # more, and the peer's tables of all distances fill the memory


def case_id(case) -> str:
    name, options = case
    return name + "".join(f",{option}={value}" for option, value in options.items())


@functools.lru_cache(1)
def parts(n: int, n_columns: int) -> dict:
    """What a view of `n` rows and `n_columns` = K + 1 classes is made of."""
    rng, k = np.random.default_rng(0), n_columns - 1
    blobs = k + max(1, k // 2)
    blob_N, centres = rng.integers(0, blobs, n), rng.normal(size=(blobs, DIM)).astype(np.float32)
    features_ND = rng.standard_normal((n, DIM), dtype=np.float32)
    features_ND += centres[blob_N]
    labels_N, answers_N = np.minimum(blob_N, k), np.full(n, -1)
    asked = rng.choice(n, 1_500, replace=False)
    answers_N[asked] = labels_N[asked]
    unit_ND = features_ND / np.linalg.norm(features_ND, axis=1, keepdims=True)
    weight_CD = 20 * np.stack([unit_ND[asked][labels_N[asked] == c].mean(axis=0) for c in range(n_columns)])
    logits_NC = unit_ND @ weight_CD.T
    probs_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    probs_NC /= probs_NC.sum(axis=1, keepdims=True)
    head = Head(unit_ND, weight_CD.astype(np.float32), np.zeros(n_columns, np.float32))
    return {"features_ND": features_ND, "probs_NC": probs_NC, "answers_N": answers_N, "n_classes": k, "head": head}


def stage(case, n: int, n_columns: int) -> list[int]:
    name, options = case
    view = View(**parts(n, n_columns), quota=QUOTA, rng=np.random.default_rng(1))
    picks = list(itertools.islice(order(name, view, **options), QUESTIONS))
    assert len(set(picks)) == QUESTIONS
    return picks


def measure(benchmark, case, n: int, n_columns: int, rounds: int) -> None:
    stage(case, 2_000, n_columns)  # imports and thread pools are not part of a stage
    parts(n, n_columns)
    timed = functools.partial(benchmark.pedantic, stage, args=(case, n, n_columns), rounds=rounds)
    benchmark.extra_info["mib"] = round(grown_mib(timed), 1)


@pytest.mark.parametrize("n_columns", (11, 61))
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_stage(benchmark, case, n_columns):
    benchmark.extra_info |= {"table": "stage", "strategy": case_id(case), "rows": 50_000, "columns": n_columns}
    measure(benchmark, case, 50_000, n_columns, rounds=3)


@pytest.mark.parametrize("n", GROWTH)
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_growth(benchmark, case, n):
    benchmark.extra_info |= {"table": "growth", "strategy": case_id(case), "rows": n, "columns": 11}
    measure(benchmark, case, n, 11, rounds=1)


@pytest.mark.parametrize("name", PEERS)
def test_beside_scikit_activeml(benchmark, name):
    """Both draw 100 from the same 5,000 rows, in turn; their classifier is fitted before, and only predicts here."""
    peer = pytest.importorskip("skactiveml.pool", reason="make peers installs scikit-activeml")
    times, seconds = {"ours": [], "theirs": []}, benchmark._timer
    runs = {"ours": lambda: ours_of(name), "theirs": theirs_of(peer, name)}
    for _ in range(4):
        for who, run in runs.items():
            start = seconds()
            run()
            times[who].append(seconds() - start)
    benchmark.extra_info |= {"table": "beside scikit-activeml", "strategy": name, "rows": PEER_ROWS, "columns": 11,
                             "theirs": float(np.median(times["theirs"][1:]))}  # fmt: skip
    waits = iter(times["ours"][1:])
    benchmark.pedantic(lambda: next(waits), rounds=1)
    benchmark.extra_info["ours"] = float(np.median(times["ours"][1:]))


def ours_of(name: str) -> None:
    view = View(**parts(PEER_ROWS, 11), quota=QUOTA, rng=np.random.default_rng(1))
    options = {"auxiliary_filter": False} if "auxiliary_filter" in STRATEGIES[name].options else {}
    list(itertools.islice(order(name, view, **options), QUOTA))


def theirs_of(peer, name: str):
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    made = parts(PEER_ROWS, 11)
    rows_ND, answers_N = made["features_ND"].astype(np.float64), made["answers_N"]
    gaps_N = np.where(answers_N < 0, np.nan, answers_N)
    classifier = SklearnClassifier(LogisticRegression(max_iter=1000), classes=list(range(11))).fit(rows_ND, gaps_N)
    options = {"n_classes": 11, "random_state": 0} if name == "probcover" else {"random_state": 0}
    query = getattr(peer, PEERS[name])(**options).query
    given = {"clf": classifier, "fit_clf": False} if name in ("badge", "dropquery") else {}
    return lambda: query(rows_ND, gaps_N, batch_size=QUOTA, **given)
