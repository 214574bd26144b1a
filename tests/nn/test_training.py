"""The two training loops: batches, schedules and clipping by hand; that they learn; that extraction changes nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, tiny_benchmark
from test_losses import plain
from torch import nn

from alkit import augment, losses, models, runtime, training
from alkit.recipes import recipe

POOL = torch.from_numpy(np.array(tiny_benchmark().pool.images_NCHW))
LABELS = torch.from_numpy(np.array(tiny_benchmark().pool.labels_N))
PLAN = training.schedule(TINY, "sup")


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def classifier(seed=0):
    return models.classifier(models.encoder(TINY, 1, seed=seed), 4, seed=seed)


def weights(net):
    return torch.cat([value.detach().flatten().float() for value in net.state_dict().values()])


def train(net=None, rows=None, plan=PLAN, chosen=TINY, seed=0, stage=0):
    net, rows = net or classifier(), torch.arange(40) if rows is None else rows
    history = training.train_classifier(net, POOL, rows, LABELS[rows], plan, chosen, seed=seed, stage=stage)
    return net, history


def train_representation(rows_U, rows_L, *, epochs=2, warmup=0, chosen=TINY, seed=0, stage=0):
    encoder = models.encoder(chosen, 1, seed=0)
    head = models.projection_head(chosen, encoder.width, seed=0)
    history = training.train_contrastive(
        encoder,
        head,
        POOL,
        rows_U,
        rows_L,
        LABELS[rows_L],
        chosen,
        epochs=epochs,
        warmup=warmup,
        seed=seed,
        stage=stage,
    )
    return encoder, head, history


NOTHING = torch.arange(0)


@pytest.mark.parametrize("size", [1, 2, 7, 32, 33, 1000])
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 65, 129])
def test_batches_hold_every_row_once_and_are_of_nearly_one_length(n, size):
    rows = torch.arange(n) * 3 + 5
    cut = training.batches(rows, size, stream())
    assert sorted(torch.cat(cut).tolist()) == rows.tolist()
    lengths = [len(batch) for batch in cut]
    assert len(cut) == math.ceil(n / size) and max(lengths) <= size and max(lengths) - min(lengths) <= 1


def test_batches_are_shuffled_by_the_generator_alone():
    rows = torch.arange(100)
    first = torch.cat(training.batches(rows, 32, stream()))
    assert torch.equal(first, torch.cat(training.batches(rows, 32, stream())))
    assert not torch.equal(first, rows) and not torch.equal(first, torch.cat(training.batches(rows, 32, stream(1))))


def rates(monkeypatch):
    """The learning rate of every epoch to come."""
    seen = []
    monkeypatch.setattr(training, "set_rate", lambda optimiser, lr: (seen.append(lr), training_set_rate(optimiser, lr)))
    return seen


training_set_rate = training.set_rate


@pytest.mark.parametrize(
    ("milestones", "expected"),
    [((), [1e-2] * 10), ((0.7, 0.9), [1e-2] * 7 + [1e-3] * 2 + [1e-4]), ((0.5,), [1e-2] * 5 + [1e-3] * 5)],
)
def test_rate_falls_tenfold_at_each_milestone(milestones, expected, monkeypatch):
    seen = rates(monkeypatch)
    train(plan=replace(PLAN, epochs=10, lr=1e-2, milestones=milestones))
    assert seen == pytest.approx(expected)


@pytest.mark.parametrize(("name", "epochs", "at"), [("mixmnist", 100, (70, 90)), ("mixcifar60", 200, (120, 160))])
def test_published_milestones_come_out_at_the_published_epochs(name, epochs, at):
    """Share times epochs in floating point must not move a milestone by an epoch."""
    plan = training.schedule(recipe(name, "paper"), "sup")
    passed = [sum(epoch >= share * plan.epochs for share in plan.milestones) for epoch in range(epochs)]
    assert plan.epochs == epochs and tuple(np.flatnonzero(np.diff(passed)) + 1) == at


def test_contrastive_rate_warms_up_and_falls_as_a_cosine(monkeypatch):
    seen = rates(monkeypatch)
    train_representation(torch.arange(140), NOTHING, epochs=6, warmup=2)
    by_hand = [1 / 2, 1, 1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 + math.cos(3 * math.pi / 4))]
    assert seen == pytest.approx([TINY.con_lr * share for share in by_hand])
    seen.clear()
    train_representation(torch.arange(140), NOTHING, epochs=2, warmup=0)
    assert seen == pytest.approx([TINY.con_lr, TINY.con_lr / 2])


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (1, 1), (3, 10), (5, 5)])
def test_cosine_stays_between_0_and_1_for_any_length(epochs, warmup):
    assert all(0 < training.cosine(epoch, epochs, warmup) <= 1 for epoch in range(epochs))


def test_gradient_is_clipped_to_the_norm_and_left_alone_without_a_clip():
    for clip in (0.0, 2.5):
        net = nn.Linear(10, 1, bias=False)
        before = net.weight.detach().clone()
        optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
        training.step(optimiser, 100 * net(torch.ones(1, 10)).sum(), net.parameters(), clip)
        moved = float((net.weight.detach() - before).norm())
        assert moved == pytest.approx(clip or 100 * math.sqrt(10), rel=1e-4)


def test_recipes_clip_reaches_the_step(monkeypatch):
    seen, step = set(), training.step
    monkeypatch.setattr(training, "step", lambda *args: (seen.add(args[3]), step(*args)))
    train(plan=replace(PLAN, epochs=1, clip=1.5))
    assert seen == {1.5}


def test_schedules_are_those_of_the_recipe():
    mnist = recipe("mixmnist", "paper")
    sup, tune = training.schedule(mnist, "sup"), training.schedule(mnist, "tune")
    assert (sup.epochs, sup.optimiser, sup.lr, sup.weight_decay, sup.batch, sup.clip, sup.smoothing) == (
        100,
        "adam",
        1e-3,
        5e-3,
        32,
        2.5,
        0.1,
    )
    assert (tune.epochs, tune.lr, tune.weight_decay, tune.batch, tune.clip, tune.milestones) == (
        100,
        1e-3,
        1e-6,
        32,
        0.0,
        (),
    )
    assert training.schedule(recipe("mixcifar60", "paper"), "sup").optimiser == "sgd"


@pytest.mark.parametrize(
    ("plan", "share"),
    [(PLAN, 0.5), (replace(PLAN, optimiser="sgd", lr=0.1), 0.5), (replace(PLAN, augment="flip_crop", clip=0.0), 0.9)],
)
def test_classifier_loss_falls(plan, share):
    """Seeds 0 to 2, first and last of 12 epochs: Adam and SGD 1.12-1.32 to 0.37-0.39; flipped and cropped, 1.39-1.56 to
    1.14-1.16."""
    _, history = train(plan=replace(plan, epochs=12))
    assert [row["epoch"] for row in history] == list(range(12))
    assert history[-1]["loss"] < share * history[0]["loss"]


def test_training_depends_on_seed_and_stage_and_on_no_global_state():
    torch.manual_seed(1)
    first, history = train()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, same = train()
    assert torch.equal(weights(first), weights(again)) and history == same
    assert torch.equal(torch.get_rng_state(), state)
    for other in (train(seed=1), train(stage=1)):
        assert not torch.equal(weights(first), weights(other[0]))


def test_mixed_up_labels_train_another_classifier():
    """The labels that are passed are the ones that are used, at the rows that are passed."""
    rows = torch.tensor([7, 100, 3, 55, 80, 21])
    net, other = classifier(), classifier()
    training.train_classifier(net, POOL, rows, LABELS[rows], replace(PLAN, epochs=60), TINY, seed=0, stage=0)
    assert net.eval()(training.to_float(POOL[rows])).argmax(1).tolist() == LABELS[rows].tolist()
    wrong = (LABELS[rows] + 1) % 4
    training.train_classifier(other, POOL, rows, wrong, replace(PLAN, epochs=60), TINY, seed=0, stage=0)
    assert other.eval()(training.to_float(POOL[rows])).argmax(1).tolist() == wrong.tolist()


def test_images_are_not_changed_by_training():
    before = POOL.clone()
    train(plan=replace(PLAN, augment="flip_crop"))
    train_representation(torch.arange(100), torch.arange(100, 140))
    assert torch.equal(POOL, before)


def test_contrastive_loss_falls_and_has_no_supervised_part_without_labels():
    """Seeds 0 to 2, first and last of 15 epochs: 4.0-4.3 to 2.2-2.4."""
    *_, history = train_representation(torch.arange(140), NOTHING, epochs=15)
    assert [row["epoch"] for row in history] == list(range(15))
    assert all(row["supcon"] is None and row["loss"] == row["con"] for row in history)
    assert history[-1]["con"] < 0.8 * history[0]["con"]


def test_labelled_samples_add_a_supervised_part_that_falls():
    """Seeds 0 to 2, first and last of 15 epochs on 30 labelled samples: 5.3-5.4 to 3.2-3.4."""
    *_, history = train_representation(torch.arange(30, 140), torch.arange(30), epochs=15)
    assert all(row["loss"] == pytest.approx(row["con"] + row["supcon"], rel=1e-5) for row in history)
    assert history[-1]["supcon"] < 0.8 * history[0]["supcon"]


def test_training_follows_the_plain_formula(monkeypatch):
    """Fifteen epochs by Eq. 2 as written, in float64, lose what ours do: rounding moves the curve by under 0.1 %."""
    two_views = replace(TINY, con_labelled="two_views")  # every labelled view has a partner
    *_, ours = train_representation(torch.arange(30, 140), torch.arange(30), chosen=two_views, epochs=15)

    def by_hand(z_BD, ids_B, *, temperature):
        return plain(z_BD.double(), ids_B, temperature).float()

    monkeypatch.setattr(losses, "contrastive", by_hand)
    pairs = lambda a, b, **options: by_hand(torch.cat([a, b]), torch.arange(len(a)).repeat(2), **options)  # noqa: E731
    monkeypatch.setattr(losses, "nt_xent", pairs)
    *_, theirs = train_representation(torch.arange(30, 140), torch.arange(30), chosen=two_views, epochs=15)
    for ours_row, row in zip(ours, theirs, strict=True):
        assert ours_row["con"] == pytest.approx(row["con"], rel=1e-3)
        assert ours_row["supcon"] == pytest.approx(row["supcon"], rel=1e-3)


@pytest.mark.parametrize(("labelled", "batch", "expected"), [(0, 64, 0), (10, 64, 10), (100, 64, 64)])
def test_each_step_takes_as_many_labelled_as_fit_a_batch(labelled, batch, expected, monkeypatch):
    seen, step = [], training.contrastive_step
    monkeypatch.setattr(training, "contrastive_step", lambda *a: (seen.append((a[3], a[4], a[5])), step(*a))[1])
    rows_L = torch.arange(140)[:labelled]
    train_representation(torch.arange(labelled, 140), rows_L, chosen=replace(TINY, con_batch=batch), epochs=1)
    unlabelled = torch.cat([rows_U for rows_U, _, _ in seen])
    assert sorted(unlabelled.tolist()) == list(range(labelled, 140))
    for _, rows, labels in seen:
        assert len(set(rows.tolist())) == len(rows) == expected
        assert torch.equal(labels, LABELS[rows])


@pytest.mark.parametrize("labelled_views", ["one_view", "two_views"])
def test_one_step_is_eq_2_on_two_views_of_each_unlabelled_image(labelled_views):
    """The split of the one forward pass into views and labelled parts, against separate passes over the same views."""
    encoder, head, _ = train_representation(torch.arange(140), NOTHING, epochs=1)
    encoder.eval()  # so that passes may be separate
    rows_U, rows_L, temperature = torch.arange(20), torch.arange(20, 31), TINY.con_temperature
    with torch.no_grad():
        chosen = replace(TINY, con_labelled=labelled_views)
        total, con, sup = training.contrastive_step(
            encoder, head, POOL, rows_U, rows_L, LABELS[rows_L], chosen, stream()
        )
        images, looks = training.to_float(POOL[:31]), stream()
        unlabelled = [head(encoder(augment.view(images[:20], looks, TINY))) for _ in range(2)]
        views = [augment.view(images[20:], looks, TINY) for _ in range(2)]
        labelled = torch.cat(
            [head(encoder(view)) for view in (views if labelled_views == "two_views" else [images[20:]])]
        )
        labels = LABELS[20:31].repeat(len(labelled) // 11)
    by_hand_con = losses.nt_xent(*unlabelled, temperature=temperature)
    by_hand_sup = losses.sup_con(labelled, labels, temperature=temperature)
    assert float(con) == pytest.approx(float(by_hand_con), rel=1e-4)
    assert float(sup) == pytest.approx(float(by_hand_sup), rel=1e-4)
    assert float(total) == pytest.approx(float(con + sup), rel=1e-5)


def test_extraction_gives_every_image_its_row_whatever_the_batch():
    """No dropped tail, no dependence on neighbours: sizes around a divisor of the pool's 140."""
    net, _ = train()
    expected = torch.cat([training.extract(net, POOL[i : i + 1], TINY) for i in range(140)])
    for size in (1, 7, 69, 70, 139, 140, 141, 4096):
        found = training.extract(net, POOL, replace(TINY, eval_batch=size))
        assert found.shape == (140, 4) and found.dtype == torch.float32
        assert torch.allclose(found, expected, atol=1e-5), size


def test_extraction_is_in_evaluation_mode_and_leaves_the_network_as_it_was():
    net, _ = train()
    before = weights(net)
    net.train()  # as training leaves it
    first = training.extract(net, POOL, TINY)
    assert torch.equal(first, training.extract(net, POOL, TINY))
    assert torch.equal(weights(net), before)
    assert not first.requires_grad


def test_threads_are_limited_inside_the_block_and_given_back(monkeypatch):
    before, seen = torch.get_num_threads(), []
    with runtime.threads(3):
        assert torch.get_num_threads() == 3
        with runtime.threads(0):
            assert torch.get_num_threads() == 3
    with pytest.raises(KeyError), runtime.threads(2):
        raise KeyError
    assert torch.get_num_threads() == before
    step = training.step
    monkeypatch.setattr(training, "step", lambda *args: (seen.append(torch.get_num_threads()), step(*args)))
    torch.set_num_threads(2)
    train(chosen=replace(TINY, cpu_threads=1))
    assert set(seen) == {1} and torch.get_num_threads() == 2
