"""Several annotators: the errors they make, and what majority, Dawid and Skene, CROWDLAB and ActiveLab make of them."""

import hashlib
import io

import numpy as np
import pytest
import torch
from conftest import tiny_benchmark
from image_files import noise
from reference.crowd import dawid_skene as slow_dawid_skene

from alkit import benchmarks
from alkit.benchmarks import AMBIGUOUS, ID, OOD, Part, variants
from alkit.benchmarks.sources import decode, files
from alkit.experiment import crowd
from alkit.experiment.crowd import Crowd
from alkit.paths import data_folder
from alkit.store import StoreError

FILE = data_folder() / decode.HUMAN_LABELS  # before a test points it elsewhere
POOL = tiny_benchmark()
K = POOL.n_classes

# six images with answers and two without, of four annotators; -1: not asked
ANSWERS = np.array([[0, 0, -1, 1], [1, 1, 1, -1], [2, -1, 2, 0], [2, 2, -1, -1], [0, -1, 1, -1], [1, -1, -1, -1],
                    [-1, -1, -1, -1], [-1, -1, -1, -1]])  # fmt: skip
PROBS = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7], [0.5, 0.2, 0.3], [0.2, 0.7, 0.1], [0.2, 0.5, 0.3],
                  [0.4, 0.35, 0.25], [0.9, 0.05, 0.05]])  # fmt: skip


@pytest.fixture(scope="module")
def mixdigits():
    return benchmarks.load("mixdigits")


def truth(benchmark):
    return np.where(benchmark.pool.category_N == ID, benchmark.pool.labels_N, benchmark.n_classes)


def simulated(seed, n=400, errors=(0.1, 0.2, 0.3, 0.5), n_answers=4, asked=0.8):
    """(true_N, answers_NJ): annotators who mix up one pair of answers more than others."""
    rng = np.random.default_rng(seed)
    true_N = rng.integers(0, n_answers, n)
    wrong_NJ = np.where(
        rng.random((n, len(errors))) < 0.7, (true_N ^ 1)[:, None], rng.integers(0, n_answers, (n, len(errors)))
    )
    said_NJ = np.where(rng.random(wrong_NJ.shape) < errors, wrong_NJ, true_N[:, None])
    return true_N, np.where(rng.random(said_NJ.shape) < asked, said_NJ, -1)


def test_symmetric_errors_are_as_many_as_said_and_any_other_answer():
    true_N, errors_J = truth(POOL), np.array([0.0, 0.3, 1.0])
    said_SNJ = np.stack([crowd.answers_of(POOL, errors_J, errors="symmetric", seed=s) for s in range(60)])
    wrong_SNJ = said_SNJ != true_N[:, None]
    assert not wrong_SNJ[:, :, 0].any() and wrong_SNJ[:, :, 2].all()
    assert wrong_SNJ[:, :, 1].mean() == pytest.approx(0.3, abs=0.02)
    shares = np.bincount(said_SNJ[:, true_N == 0, 2].ravel(), minlength=K + 1) / said_SNJ[:, true_N == 0, 2].size
    assert shares == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.03)


def test_errors_by_votes_mix_up_what_voters_mixed_up(mixdigits):
    pool, share_KK = mixdigits.pool, crowd.confusion(mixdigits)
    assert np.allclose(share_KK.sum(1), 1) and (np.diag(share_KK) == 0).all()
    pairs = np.zeros((10, 10))
    for votes in mixdigits.votes_NV[pool.category_N == AMBIGUOUS]:
        for a in votes:
            for b in votes:
                pairs[a, b] += a != b
    assert np.allclose(share_KK, pairs / pairs.sum(1, keepdims=True))
    said_N = crowd.answers_of(mixdigits, np.array([1.0]), errors="votes", seed=0)[:, 0]
    kinds = {kind: pool.category_N == kind for kind in (ID, AMBIGUOUS, OOD)}
    assert (said_N[kinds[ID]] != pool.labels_N[kinds[ID]]).all() and (said_N < 10).all()
    rows = kinds[AMBIGUOUS]
    assert (mixdigits.votes_NV[rows] == said_N[rows, None]).any(1).all()
    of_3 = np.bincount(said_N[kinds[ID] & (pool.labels_N == 3)], minlength=10)
    assert of_3.argmax() in np.argsort(share_KK[3])[-3:]


def test_an_annotator_says_the_same_of_an_image_whenever_asked_and_seeds_differ():
    errors_J = np.full(3, 0.4)
    first, again, other = (crowd.answers_of(POOL, errors_J, errors="symmetric", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_bad_errors_are_refused_and_a_pool_without_votes():
    with pytest.raises(ValueError, match="errors_J must be a number from 0 to 1"):
        crowd.answers_of(POOL, np.array([1.2]), errors="symmetric", seed=0)
    with pytest.raises(ValueError, match="errors must be one of symmetric, votes, human"):
        crowd.answers_of(POOL, np.array([0.2]), errors="nice", seed=0)
    with pytest.raises(ValueError, match='carry no votes: take errors="symmetric"'):
        crowd.answers_of(POOL, np.array([0.2]), errors="votes", seed=0)


@pytest.fixture
def people(tmp_path, monkeypatch):
    """A data folder with a small CIFAR-100 of four images a class, and what people say of ten images of each class c:
    five times c, three times c + 1, twice c + 2."""
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path))
    names, labels = np.array([f"class {c:02d}" for c in range(100)]), np.repeat(np.arange(100), 4)
    more = {"coarse_labels": labels // 5, "coarse_label_names": np.array([f"group {g}" for g in range(20)])}
    files.write(tmp_path, "cifar100_train", images=noise(400, 32, 32, 3), labels=labels, label_names=names, **more)
    was_M = np.repeat(np.arange(100), 10)
    content = saved_by_numpy_1(
        {"clean_label": was_M, "noisy_label": (was_M + [0, 0, 0, 0, 0, 1, 1, 1, 2, 2] * 100) % 100}
    )
    monkeypatch.setattr(decode, "HUMAN_LABELS_SHA256", (hashlib.sha256(content).hexdigest(),))
    (tmp_path / decode.HUMAN_LABELS).write_bytes(content)
    return tmp_path


def saved_by_numpy_1(arrays: dict) -> bytes:
    """A file of torch that names numpy's functions as the published one does."""
    buffer = io.BytesIO()
    torch.save(arrays, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue().replace(b"numpy._core.", b"numpy.core.")


def of_people(folder, own=(10, 11, 20)):
    """A pool of the small CIFAR-100 with these classes; 12 and 50 are ambiguous, and noise is OoD."""
    images = files.read(folder / "cifar100_train.npz")["images"]
    rows = np.concatenate([np.arange(4 * c, 4 * c + 4) for c in own])
    other = np.concatenate([np.arange(4 * c, 4 * c + 4) for c in (12, 50, 9)])
    parts = [
        Part(ID, "cifar100", images[rows], np.repeat(np.arange(len(own)), 4)),
        Part(AMBIGUOUS, "cifar100", images[other]),
        Part(OOD, "scenes", noise(4, 32, 32, 3, seed=1)),
    ]
    return benchmarks.assemble("people", parts, images[:3], np.arange(3), [f"class {c}" for c in own])[0]


def test_people_err_by_the_class_that_they_saw(people):
    pool = (benchmark := of_people(people)).pool
    share_NC, (class_N, _) = crowd.human_errors(benchmark), crowd.original_classes(benchmark)
    for name, expected in {
        "class 10": [0, 0.6, 0, 0.4],  # for 11, and for 12, which is none of the classes
        "class 11": [0, 0, 0, 1],  # for 12 and 13
        "class 20": [0, 0, 0, 1],
        "class 09": [0.6, 0.4, 0, 0],  # none of the classes, taken for 10 and 11
        "class 12": [1 / 3, 1 / 3, 1 / 3, 0],  # never taken for one of them
        "": [1 / 3, 1 / 3, 1 / 3, 0],
    }.items():
        assert (class_N == name).sum() == 4
        assert share_NC[class_N == name] == pytest.approx(np.tile(expected, (4, 1)), abs=1e-5)
    said_NJ = crowd.answers_of(benchmark, np.array([0.0, 1.0] + [0.5] * 200), errors="human", seed=0)
    true_N = truth(benchmark)
    assert (said_NJ[:, 0] == true_N).all() and (said_NJ[:, 1] != true_N).all()
    tens = said_NJ[(pool.category_N == ID) & (pool.labels_N == 0), 2:]
    assert np.bincount(tens.ravel(), minlength=4) / tens.size == pytest.approx([0.5, 0.3, 0, 0.2], abs=0.04)


@pytest.mark.skipif(not FILE.is_file(), reason="needs the labels of CIFAR-100N: put CIFAR-100_human.pt into ALKIT_DATA")
def test_two_in_five_labels_by_people_are_wrong_as_published_and_pines_pass_for_oaks():
    was_M, said_M = decode.human_labels(FILE.parent)
    assert np.bincount(was_M).tolist() == [500] * 100 and (was_M != said_M).mean() == pytest.approx(0.402, abs=5e-4)
    assert np.bincount(said_M[(was_M == 59) & (said_M != 59)]).argmax() == 52  # pine_tree, oak_tree


def test_people_who_name_a_class_that_is_not_yet_one_are_wrong(people):
    late = variants.new_class(of_people(people))
    share_NC, (class_N, _) = crowd.human_errors(late), crowd.original_classes(late)
    assert truth(late)[class_N == "class 20"].tolist() == [3] * 4
    assert share_NC[class_N == "class 20"] == pytest.approx(np.tile([0, 0, 1, 0], (4, 1)), abs=1e-5)


def test_without_labels_by_people_or_with_another_file_nothing_is_drawn(people, monkeypatch):
    benchmark, path = of_people(people), people / decode.HUMAN_LABELS
    with pytest.raises(ValueError, match='people labelled CIFAR-100, of which tiny has no image: take errors="symm'):
        crowd.answers_of(POOL, np.array([0.2]), errors="human", seed=0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        StoreError, match="is none of the published files: its SHA-256 is .*; take data/CIFAR-100_human.pt"
    ):
        crowd.answers_of(benchmark, np.array([0.2]), errors="human", seed=0)
    path.unlink()
    with pytest.raises(StoreError, match="CIFAR-100_human.pt cannot be read: No such file.*github.com/UCSC-REAL"):
        crowd.answers_of(benchmark, np.array([0.2]), errors="human", seed=0)


def test_a_crowd_asks_each_annotator_once_and_counts_answers():
    said_NJ = np.arange(12).reshape(4, 3)
    people = Crowd(said_NJ, seed=3)
    assert sorted(people.ask(2) for _ in range(3)) == [6, 7, 8]
    assert people.cost == 3 and (people.answers_NJ[2] == said_NJ[2]).all()
    with pytest.raises(ValueError, match="all 3 annotators have answered for position 2"):
        people.ask(2)
    firsts = {Crowd(said_NJ, seed=seed).ask(0) for seed in range(30)}
    assert firsts == {0, 1, 2}


def test_majority_is_the_share_of_answers_and_ties_go_to_the_more_frequent_answer():
    share_NC = crowd.majority(ANSWERS, 3)
    assert share_NC[0] == pytest.approx([2 / 3, 1 / 3, 0]) and (share_NC[6:] == 0).all()
    assert crowd.consensus(share_NC).tolist() == [0, 1, 2, 2, 1, 1, -1, -1]


@pytest.mark.parametrize("steps", [1, 4])
def test_dawid_skene_is_the_published_one_without_smoothing(steps):
    _, answers_NJ = simulated(0, n=60)
    answers_NJ = answers_NJ[(answers_NJ >= 0).any(1)]
    share_NC, confusion_JCC = crowd.dawid_skene(answers_NJ, 4, smoothing=0.0, iterations=steps)
    slow_share, slow_confusion = slow_dawid_skene(answers_NJ.tolist(), 4, steps)
    assert np.allclose(share_NC, slow_share) and np.allclose(confusion_JCC, slow_confusion)


def test_dawid_skene_finds_the_confusions_and_beats_the_majority():
    errors, right = (0.05, 0.1, 0.15, 0.6, 0.6, 0.6), []
    for seed in range(3):
        true_N, answers_NJ = simulated(seed, n=1500, errors=errors)
        share_NC, confusion_JCC = crowd.dawid_skene(answers_NJ, 4)
        right.append([(crowd.consensus(share) == true_N).mean() for share in (share_NC, crowd.majority(answers_NJ, 4))])
        measured = [(answers_NJ[:, j] == true_N)[answers_NJ[:, j] >= 0].mean() for j in range(len(errors))]
        assert np.allclose(np.einsum("jcc->jc", confusion_JCC).mean(1), measured, atol=0.06)
    ours, majority = np.mean(right, 0)
    assert ours > majority + 0.03


def test_images_without_answers_change_nothing_and_an_annotator_without_any_is_an_average_one():
    _, answers_NJ = simulated(1, n=50)
    more = np.pad(answers_NJ, ((0, 5), (0, 1)), constant_values=-1)
    share_NC, confusion_JCC = crowd.dawid_skene(answers_NJ, 4)
    wide_NC, wide_JCC = crowd.dawid_skene(more, 4)
    assert np.allclose(wide_NC[:50], share_NC) and (wide_NC[50:] == 0).all()
    assert np.allclose(wide_JCC[:4], confusion_JCC) and np.allclose(wide_JCC[4].sum(1), 1)


def test_crowdlab_and_activelab_are_those_of_cleanlab(monkeypatch):
    """Numbers of cleanlab 2.9.0 for the same input, at one temperature: it finds another (see tests/FAULTS.md)."""
    share_NC, model, trust_J = crowd.crowdlab(ANSWERS, PROBS)
    assert model == pytest.approx(1.0183501544346312) and trust_J == pytest.approx([0.375, 2 / 3, 1 / 3, 1e-6])
    assert share_NC.argmax(1)[:6].tolist() == [0, 1, 2, 2, 1, 1]
    assert np.allclose(share_NC.sum(1), 1) and np.allclose(share_NC[6:], PROBS[6:])
    monkeypatch.setattr(crowd, "temperature", lambda *_: 2.0)
    answered = [0.6014178166, 0.6028857017, 0.5748132832, 0.5162324996, 0.4570845497, 0.4750173476]
    assert crowd.activelab(ANSWERS, PROBS) == pytest.approx([*answered, 0.3583840291, 0.5922304667])


def test_activelab_goes_by_the_classifier_alone_while_no_image_has_two_answers():
    """(quality x (1 + 1) + 1 / C) / 3 with an answer, (largest probability + 1 / C) / 2 without: by hand."""
    once = np.full((8, 4), -1)
    once[[0, 1, 2], [0, 2, 1]] = [0, 1, 1]
    quality = np.array([0.7, 0.6, 0.2])
    found = crowd.activelab(once, PROBS)
    assert found[:3] == pytest.approx((2 * quality + 1 / 3) / 3)
    assert found[3:] == pytest.approx((PROBS[3:].max(1) + 1 / 3) / 2)


def test_temperature_is_the_one_at_which_probabilities_fit_the_answers_best():
    """A library counts float answers into wrong columns first; then every pool gets its highest temperature."""
    true_N, answers_NJ = simulated(2, errors=(0.05, 0.05, 0.05))
    rng = np.random.default_rng(0)
    probs_NC = rng.dirichlet(np.full(4, 0.5), 400) + 1.5 * np.eye(4)[true_N]
    probs_NC /= probs_NC.sum(1, keepdims=True)
    best = crowd.temperature(answers_NJ, probs_NC)
    share_NC = crowd.majority(answers_NJ, 4)

    def loss(temperature):
        return -(share_NC * np.log(crowd.tempered(probs_NC, temperature))).sum()

    assert 0.1 < best < 2 and all(loss(best) <= loss(best * factor) for factor in (0.5, 0.9, 1.1, 2))
    assert crowd.temperature(answers_NJ, crowd.tempered(probs_NC, 3)) == pytest.approx(best / 3, rel=0.01)


def test_activelab_asks_again_where_annotators_differ_rather_than_where_they_agree():
    true_N, answers_NJ = simulated(5, errors=(0.1, 0.1, 0.1))
    probs_NC = crowd.tempered(0.5 / 4 + 0.5 * np.eye(4)[true_N], 2)
    found_N = crowd.activelab(answers_NJ, probs_NC)
    share_NC, n_N = crowd.majority(answers_NJ, 4), (answers_NJ >= 0).sum(1)
    pairs, agree = n_N == 2, (share_NC.max(1) == 1) & (share_NC.argmax(1) == true_N)  # and the classifier with them
    assert found_N[pairs & (share_NC.max(1) < 1)].max() < found_N[pairs & agree].min()
