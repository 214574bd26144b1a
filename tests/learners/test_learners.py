"""Learners: what they show, that a restored one is the same to the bit, and that each part trains on what it should."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, tiny, tiny_benchmark
from sklearn.linear_model import LogisticRegression

from alkit import experiment, learners, recipes, rng, training
from alkit.learners import base, labelled_rows, representation
from alkit.learners.base import Setting
from alkit.learners.representation import Representation, first_representation
from alkit.store import Cache, from_bytes, to_bytes

POOL = tiny_benchmark().pool
NAMES = ("supervised", "supervised_sn", "contrastive", "probe", "semi_supervised")
VARIANTS = [
    *((name, {}) for name in NAMES),
    *((name, {"features": "projected"}) for name in ("contrastive", "probe")),
    *((name, {"auxiliary": "all"}) for name in NAMES),
    *((name, {"augment": "affine"}) for name in ("supervised", "contrastive")),
    ("pretrained", {}),
    *(("pretrained", {"head": "mlp", **more}) for more in ({}, {"auxiliary": "all"})),
]


def make(name, root, *, seed=0, options=None, changes=None):
    cell = tiny(name, "random", seed, changes=changes or {})
    if name == "pretrained":
        options = {"features": features_of_tiny(root), **(options or {})}
    return learners.get(name, options)(experiment.setting_of(cell, root=root), **(options or {}))


def features_of_tiny(root):
    """A file of 128 features an image that know its digit, for the pool, and for the pool as other images."""
    pixels = POOL.images_NCHW.reshape(140, 64) / 255.0
    rows = np.maximum(pixels @ np.random.default_rng(0).normal(size=(64, 128)), 0).astype(np.float32)
    np.save(root / "features.npy", np.concatenate([rows, rows]))
    return str(root / "features.npy")


def answers(n=40, seed=1):
    """Answers for `n` random positions."""
    given = np.full(140, -1, dtype=np.int64)
    asked = np.random.default_rng(seed).permutation(140)[:n]
    given[asked] = POOL.labels_N[asked]
    return given


def grown(given, n=10):
    """`given` and the answers for the next `n` positions."""
    more = np.flatnonzero(given < 0)[:n]
    return np.where(np.isin(np.arange(140), more), POOL.labels_N, given)


def same(a, b):
    return np.array_equal(a.features_ND, b.features_ND) and np.array_equal(a.probs_NC, b.probs_NC)


def flat(state):
    return torch.cat([value.flatten().double() for value in state.values()])


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_learner_shows_a_row_of_features_and_of_probabilities_for_every_image(name, options, tmp_path):
    learner = make(name, tmp_path, options=options)
    learner.fit(answers(), 0)
    shown = learner.show()
    width = 8 * TINY.sn_width if name == "supervised_sn" else 128
    width = TINY.projection[1] if "features" in options else width  # of `contrastive` and `probe`
    assert shown.features_ND.shape == (140, width)
    assert shown.probs_NC.shape == (140, 4)
    assert shown.features_ND.dtype == shown.probs_NC.dtype == np.float32
    assert np.allclose(shown.probs_NC.sum(1), 1, atol=1e-5) and shown.probs_NC.min() >= 0
    if "auxiliary" not in options:  # then the gate is shown, and the classifier predicts
        assert np.allclose(learner.predict(learner.setting.images_NCHW), shown.probs_NC, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_head_on_its_features_gives_the_probabilities(name, options, tmp_path):
    learner, given = make(name, tmp_path, options=options), answers()
    learner.fit(np.where(given == 1, -1, given), 0)  # class 1 without a label
    shown = learner.show()
    logits = shown.head.features_ND @ shown.head.weight_CD.T + shown.head.bias_C
    assert np.allclose(torch.from_numpy(logits).softmax(1).numpy(), shown.probs_NC, atol=1e-5)
    assert all(part.dtype == np.float32 for part in vars(shown.head).values())


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_restored_learner_is_the_same_to_the_bit_now_and_after_the_next_fit(name, options, tmp_path):
    learner, given = make(name, tmp_path, options=options), answers()
    learner.fit(given, 0)
    back = make(name, tmp_path, options=options)
    back.restore(from_bytes(to_bytes(learner.state())))
    assert same(back.show(), learner.show())
    for each in (learner, back):
        each.fit(grown(given), 1)
    assert same(back.show(), learner.show())


@pytest.mark.parametrize("name", NAMES)
def test_showing_and_predicting_change_nothing(name, tmp_path):
    """Running statistics of batch norm included: a pool scored in training mode would move them."""
    learner, other, given = make(name, tmp_path), make(name, tmp_path), answers()
    for each in (learner, other):
        each.fit(given, 0)
    before = to_bytes(learner.state())
    first = learner.show()
    learner.predict(learner.setting.images_NCHW[:7])
    assert same(learner.show(), first) and to_bytes(learner.state()) == before
    for each in (learner, other):
        each.fit(grown(given), 1)
    assert same(learner.show(), other.show())  # as if the first had never been looked at


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_does_not_depend_on_the_evaluation_batch(name, tmp_path):
    shown = []
    for size in (4096, 139, 33):
        learner = make(name, tmp_path, changes={"eval_batch": size})
        learner.fit(answers(), 0)
        shown.append(learner.show())
    for other in shown[1:]:
        assert np.allclose(other.features_ND, shown[0].features_ND, atol=1e-5)
        assert np.allclose(other.probs_NC, shown[0].probs_NC, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_fit_changes_neither_answers_nor_images(name, tmp_path):
    learner, given = make(name, tmp_path), answers()
    images, before = learner.setting.images_NCHW.clone(), given.copy()
    learner.fit(given, 0)
    assert np.array_equal(given, before) and torch.equal(learner.setting.images_NCHW, images)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_id_labelled_is_a_clear_error(name, tmp_path):
    only_others = np.where(POOL.labels_N == 3, 3, -1)
    with pytest.raises(
        ValueError, match="no iD sample is labelled: a classifier has nothing to learn; raise initial_id"
    ):
        make(name, tmp_path).fit(only_others, 0)


@pytest.mark.parametrize("name", NAMES)
def test_one_class_alone_labelled_gives_finite_probabilities(name, tmp_path):
    learner = make(name, tmp_path)
    learner.fit(np.where((POOL.labels_N == 1) & (np.arange(140) < 60), 1, -1), 0)
    probs = learner.show().probs_NC
    assert np.isfinite(probs).all() and np.allclose(probs.sum(1), 1, atol=1e-5)
    if name == "probe":
        assert np.array_equal(probs, np.eye(4, dtype=np.float32)[[1] * 140])


@pytest.mark.parametrize("seen", [(0, 2), (1, 3), (0, 1, 3), (0, 1, 2, 3)])
def test_probe_is_scikit_learns_regression_on_unit_features_and_gives_unseen_classes_nothing(seen, tmp_path):
    learner = make("probe", tmp_path)
    given = np.where(np.isin(POOL.labels_N, seen) & (np.arange(140) % 3 == 0), POOL.labels_N, -1)
    learner.fit(given, 0)
    rows, labels = labelled_rows(given, 3, 0, 0, "cpu")
    x = learner.features_ND / np.linalg.norm(learner.features_ND, axis=1, keepdims=True)
    x = x.astype(np.float64)  # converged, by another solver: how far one gets must not matter
    model = LogisticRegression(C=TINY.probe_c, solver="newton-cg", tol=1e-8, max_iter=10_000)
    model.fit(x[rows.numpy()], labels.numpy())
    expected = np.zeros((140, 4))
    expected[:, model.classes_] = model.predict_proba(x)
    assert np.allclose(learner.show().probs_NC, expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gate_learns_from_all_labelled_junk_and_the_classifier_is_not_changed_by_it(name, tmp_path):
    gated, plain = (make(name, tmp_path, options={"auxiliary": kind}) for kind in ("all", "undersampled"))
    given = np.where(np.arange(140) % 2 == 0, POOL.labels_N, -1)  # 30 of 70 are non-iD, a class of iD has some 13
    for learner in (gated, plain):
        learner.fit(given, 0)
    images, unseen = gated.setting.images_NCHW, given < 0
    assert np.array_equal(gated.predict(images), plain.predict(images))
    assert gated.show().probs_NC[unseen, 3].mean() > plain.show().probs_NC[unseen, 3].mean() + 0.05
    unit = gated.show().head.features_ND
    asked = np.flatnonzero(given >= 0)
    model = LogisticRegression(C=TINY.probe_c, solver="newton-cg", tol=1e-8, max_iter=10_000)
    expected = model.fit(unit[asked].astype(np.float64), given[asked]).predict_proba(unit)
    assert np.allclose(gated.show().probs_NC, expected, atol=1e-4)


def test_augmented_classifier_sees_affine_views_and_the_plain_one_the_images(tmp_path, monkeypatch):
    seen, labelled = [], training.augment.labelled

    def watched(x, generator, recipe, kind):
        seen.append(kind)
        return labelled(x, generator, recipe, kind)

    monkeypatch.setattr(training.augment, "labelled", watched)
    for options, kind in (({}, "none"), ({"augment": "affine"}, "affine")):
        seen.clear()
        make("supervised", tmp_path, options=options).fit(answers(), 0)
        assert set(seen) == {kind}


def test_labelled_non_id_samples_are_cut_to_the_mean_size_of_an_id_class():
    given = np.full(140, -1, dtype=np.int64)
    by_class = {0: 9, 1: 4, 2: 1, 3: 30}  # 14 iD in 3 classes: a mean of 4.67, so 5 others
    for label, size in by_class.items():
        given[np.flatnonzero(POOL.labels_N == label)[:size]] = label
    rows, labels = (part.numpy() for part in labelled_rows(given, 3, 0, 0, "cpu"))
    assert np.bincount(labels, minlength=4).tolist() == [9, 4, 1, 5]
    assert np.array_equal(given[rows], labels) and len(set(rows.tolist())) == len(rows)
    again, other_stage = (
        labelled_rows(given, 3, 0, 0, "cpu")[0].numpy(),
        labelled_rows(given, 3, 0, 1, "cpu")[0].numpy(),
    )
    assert np.array_equal(rows, again) and not np.array_equal(rows, other_stage)
    assert (
        set(rows[labels < 3])
        == set(other_stage[given[other_stage] < 3])
        == set(np.flatnonzero((given >= 0) & (given < 3)))
    )


@pytest.mark.parametrize(("n_id", "n_other", "kept"), [(1, 0, 0), (1, 5, 1), (4, 5, 1), (30, 5, 5), (30, 20, 10)])
def test_undersampling_keeps_at_least_one_and_never_more_than_there_are(n_id, n_other, kept):
    given = np.full(140, -1, dtype=np.int64)
    given[np.flatnonzero(POOL.labels_N < 3)[:n_id]] = 0
    given[np.flatnonzero(POOL.labels_N == 3)[:n_other]] = 3
    _, labels = labelled_rows(given, 3, 0, 0, "cpu")
    assert (labels == 3).sum() == kept and (labels == 0).sum() == n_id


def test_supervised_starts_from_scratch_at_each_stage(tmp_path):
    given = answers()
    fresh, used = make("supervised", tmp_path), make("supervised", tmp_path)
    used.fit(answers(60, seed=5), 0)
    for each in (fresh, used):
        each.fit(given, 1)
    assert same(fresh.show(), used.show())


def test_model_and_batches_of_a_stage_do_not_hang_on_what_was_asked_before(tmp_path, monkeypatch):
    """G1: the streams of initialisation, batch order and augmentation are the same for every strategy of a seed."""
    starts, streams = [], []
    train, batches = training.train_classifier, training.batches
    monkeypatch.setattr(
        base, "train_classifier", lambda net, *a, **k: (starts.append(flat(net.state_dict())), train(net, *a, **k))
    )
    monkeypatch.setattr(training, "batches", lambda rows, n, g: (streams.append(g.get_state()), batches(rows, n, g))[1])
    for seed, given, stage in (
        (0, answers(40, seed=1), 3),
        (0, answers(40, seed=2), 3),
        (1, answers(40), 3),
        (0, answers(40), 4),
    ):
        make("supervised", tmp_path, seed=seed).fit(given, stage)
    streams = streams[:: TINY.sup_epochs]  # at the start of each fit
    for first, other_answers, other_seed, other_stage in (starts, streams):
        assert torch.equal(first, other_answers)
        assert not torch.equal(first, other_seed) and not torch.equal(first, other_stage)


def test_representation_carries_on_and_fine_tuning_never_touches_it(tmp_path, monkeypatch):
    seen = []
    train_classifier, train_contrastive = training.train_classifier, training.train_contrastive

    def watched_classifier(net, *args, **kwargs):
        before = flat(learner.representation.encoder.state_dict())
        train_classifier(net, *args, **kwargs)
        assert torch.equal(flat(learner.representation.encoder.state_dict()), before)
        assert not torch.equal(flat(net.encoder.state_dict()), before)  # the classifier's copy did move
        seen.append(("classifier", before, before))

    def watched_contrastive(encoder, head, *args, **kwargs):
        before = flat(encoder.state_dict())
        history = train_contrastive(encoder, head, *args, **kwargs)
        seen.append(("representation", before, flat(encoder.state_dict())))
        return history

    monkeypatch.setattr(base, "train_classifier", watched_classifier)
    monkeypatch.setattr(representation, "train_contrastive", watched_contrastive)
    learner, given = make("contrastive", tmp_path), answers()
    learner.fit(given, 0)
    learner.fit(grown(given), 1)
    assert [name for name, *_ in seen] == [
        "representation",
        "representation",
        "classifier",
        "representation",
        "classifier",
    ]
    for (_, _, after), (_, before, _) in zip(seen, seen[1:], strict=False):
        assert torch.equal(after, before)
    first, *others = (part for part in seen if part[0] == "representation")
    assert all(not torch.equal(before, after) for _, before, after in (first, *others))


def test_representation_learns_from_unlabelled_without_and_labelled_with_their_classes(tmp_path, monkeypatch):
    seen, train = [], training.train_contrastive
    monkeypatch.setattr(
        representation, "train_contrastive", lambda *a, **k: (seen.append((a[3], a[4], a[5], k)), train(*a, **k))[1]
    )
    given = answers()
    make("contrastive", tmp_path).fit(given, 0)
    (rows_U, rows_L, labels_L, first), (rows_U1, rows_L1, labels_L1, later) = seen
    assert rows_U.tolist() == list(range(140)) and not len(rows_L) and not len(labels_L)
    assert (
        rows_U1.tolist() == np.flatnonzero(given < 0).tolist()
        and rows_L1.tolist() == np.flatnonzero(given >= 0).tolist()
    )
    assert labels_L1.tolist() == given[given >= 0].tolist() and (labels_L1 == 3).any()
    assert (first["epochs"], first["warmup"]) == (TINY.con_first_epochs, TINY.con_warmup)
    assert (later["epochs"], later["warmup"]) == (TINY.con_epochs, 0) and first["stage"] != later["stage"]


def test_contrastive_learner_goes_on_when_everything_is_labelled(tmp_path):
    learner = make("contrastive", tmp_path)
    learner.fit(answers(130), 0)
    learner.fit(POOL.labels_N.copy(), 1)
    assert np.isfinite(learner.show().probs_NC).all()


def count_builds(monkeypatch):
    built, train = [], Representation.train

    def counted(self, answers_N, stage, **options):
        built.extend([self.setting.seed] if stage == 0 else [])
        return train(self, answers_N, stage, **options)

    monkeypatch.setattr(Representation, "train", counted)
    return built


def test_stage_0_representation_is_built_once_for_all_strategies_and_learners_of_a_seed(tmp_path, monkeypatch):
    built = count_builds(monkeypatch)
    for learner, strategy in (
        ("contrastive", "distance_cl"),
        ("contrastive", "random_cl"),
        ("probe", "margin"),
        ("probe", "random"),
    ):
        experiment.finish(tiny(learner, strategy), root=tmp_path)
    assert built == [0]
    experiment.finish(tiny("probe", "margin", seed=1), root=tmp_path)
    assert built == [0, 1]


@pytest.mark.parametrize(
    ("changes", "builds"),
    [({"tune_epochs": 1}, 1), ({"con_epochs": 2}, 1), ({"probe_c": 1.0}, 1), ({"stop_id": 16}, 1),
     ({"con_lr": 1e-3}, 2), ({"con_first_epochs": 2}, 2), ({"rotate": 5.0}, 2), ({"pooling": (1, 2, 2)}, 2),
     ({"widths": (8, 8, 8)}, 2),     ({"projection": (8, 8)}, 2)],
)  # fmt: skip
def test_representation_is_shared_where_its_own_numbers_are_the_same_and_only_there(
    changes, builds, tmp_path, monkeypatch
):
    built = count_builds(monkeypatch)
    for changed in ({}, changes):
        make("probe", tmp_path, changes=changed).fit(answers(), 0)
    assert len(built) == builds


def test_representation_from_the_cache_is_the_one_that_was_built(tmp_path):
    built, read = (first_representation(make("probe", tmp_path).setting) for _ in range(2))
    assert np.array_equal(built[0].features("encoder"), read[0].features("encoder"))
    assert np.array_equal(built[0].features("projected"), read[0].features("projected"))
    assert built[1] == read[1] and len(built[1]) == TINY.con_first_epochs


@pytest.mark.parametrize("name", NAMES)
def test_resnet_learns_from_colour_images_of_32_px(name, tmp_path):
    """MixCIFAR60's smoke recipe, on 40 random images, with smaller batches alone."""
    chosen = replace(recipes.recipe("mixcifar60", "smoke"), con_batch=20, eval_batch=16)
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=rng.torch_stream(0, "images"))
    learner = learners.get(name)(Setting(images, 5, chosen, 0, Cache(tmp_path / "cache")))
    given = np.full(40, -1, dtype=np.int64)
    given[:12] = np.arange(12) % 6
    learner.fit(given, 0)
    shown = learner.show()
    width = chosen.sn_width if name == "supervised_sn" else chosen.net_width
    assert shown.features_ND.shape == (40, 8 * width) and shown.probs_NC.shape == (40, 6)
    assert np.isfinite(shown.features_ND).all() and np.allclose(shown.probs_NC.sum(1), 1, atol=1e-4)
    back = learners.get(name)(Setting(images, 5, chosen, 0, Cache(tmp_path / "cache")))
    back.restore(from_bytes(to_bytes(learner.state())))
    assert same(back.show(), shown)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "supervized",
            {},
            "unknown learner 'supervized' (did you mean 'supervised'?); known: supervised, supervised_sn, contrastive",
        ),
        (
            "supervised",
            {"features": "projected"},
            "learner 'supervised' has no option 'features'; it has: augment, auxiliary",
        ),
        (
            "probe",
            {"feature": "encoder"},
            "learner 'probe' has no option 'feature' (did you mean 'features'?); it has: features",
        ),
        (
            "contrastive",
            {"features": "pixels"},
            "learner 'contrastive': features must be one of encoder, projected, got 'pixels'",
        ),
        ("probe", {"features": 1}, "features must be one of encoder, projected, got 1"),
    ],
)
def test_unknown_learners_and_options_are_refused_with_what_there_is(name, options, said):
    with pytest.raises(ValueError) as error:
        learners.get(name, options)
    assert said in str(error.value)
