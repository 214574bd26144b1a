"""The numbers of the study: what is published, what a profile may change, and how mistyped changes are refused."""

from dataclasses import asdict

import pytest

from alkit import recipes
from alkit.recipes import PROFILES, RECIPES, Recipe, changed, recipe


def test_every_benchmark_has_every_profile_and_all_pass_the_check():
    names = {name for name, _ in RECIPES}
    assert {"mixdigits", "mixmnist", "mixcifar60"} <= names
    for name in names:
        profiles = [profile for profile in PROFILES if (name, profile) in RECIPES]
        assert {"smoke", "laptop", "paper"} <= set(profiles)
        for profile in profiles:
            recipes.check(recipe(name, profile))


def test_paper_recipes_are_the_published_values():
    """Kim, Kim and Hwang 2023, experimental settings."""
    mnist, cifar = recipe("mixmnist", "paper"), recipe("mixcifar60", "paper")
    shared = dict(con_lr=3e-4, con_weight_decay=1e-4, con_temperature=0.07, con_batch=1024)
    published = {
        "mixmnist": (mnist, dict(
            initial_id=100, stage_id=10, stop_id=300, net="convnet", sup_epochs=100, sup_optimiser="adam", sup_lr=1e-3,
            sup_weight_decay=5e-3, sup_batch=32, sup_milestones=(0.7, 0.9), sup_clip=2.5, sup_smoothing=0.1,
            con_first_epochs=300, con_epochs=100, con_augment="affine", tune_epochs=100, tune_optimiser="adam",
            tune_lr=1e-3,
            tune_weight_decay=1e-6, tune_batch=32, tune_smoothing=0.1)),
        "mixcifar60": (cifar, dict(
            initial_id=2000, stage_id=2000, stop_id=20000, net="resnet18", sup_epochs=200, sup_optimiser="sgd",
            sup_lr=0.1,
            sup_momentum=0.9, sup_weight_decay=1e-4, sup_batch=128, sup_milestones=(0.6, 0.8), sup_augment="flip_crop",
            con_first_epochs=500, con_epochs=300, con_augment="simclr", tune_epochs=200, tune_optimiser="sgd",
            tune_lr=0.1,
            tune_weight_decay=0.0, tune_batch=256)),
    }  # fmt: skip
    for name, (found, values) in published.items():
        assert {key: getattr(found, key) for key in {**shared, **values}} == {**shared, **values}, name


@pytest.mark.parametrize("name", ["mixdigits", "mixmnist", "mixcifar60"])
def test_fast_profiles_change_nothing_but_lengths_of_the_schedule(name):
    """A profile that changed a rate, a loss or an augmentation would test another method than the published one."""
    may = {
        "initial_id",
        "stage_id",
        "stop_id",
        "sup_epochs",
        "con_first_epochs",
        "con_epochs",
        "con_warmup",
        "tune_epochs",
        "semi_views",
        "sn_width",
        "projector",
        "cpu_threads",
    }
    if name == "mixcifar60":  # on a CPU, a documented part of the pool, a narrow net, and batches that fit the part
        may |= {"share", "net_width", "projection", "con_batch"}
    if name == "mixmnist":
        may |= {"share", "widths"}  # of `smoke`; a narrower first half at `laptop`: a third of the arithmetic
    assert recipe("mixmnist", "laptop").share == 1 and recipe("mixcifar60", "short").share == 1
    paper = asdict(recipe(name, "paper"))
    for profile in [profile for profile in PROFILES if (name, profile) in RECIPES]:
        other = asdict(recipe(name, profile))
        assert {key for key in paper if paper[key] != other[key]} <= may


@pytest.mark.parametrize(
    ("name", "profile", "said"),
    [
        (
            "mixdigit",
            "smoke",
            "unknown benchmark 'mixdigit' (did you mean 'mixdigits'?); known: mixcifar60, mixdigits, mixmnist",
        ),
        ("imagenet", "smoke", "unknown benchmark 'imagenet'; known: "),
        (
            "mixdigits",
            "laptob",
            "unknown profile 'laptob' of mixdigits (did you mean 'laptop'?); known: smoke, laptop, paper",
        ),
        ("mixdigits", "", "unknown profile '' of mixdigits; known: smoke, laptop, paper"),
        ("mixmnist", "short", "unknown profile 'short' of mixmnist; known: smoke, laptop, paper"),
        ("mixcifar-60", "smoke", "unknown benchmark 'mixcifar-60' (did you mean 'mixcifar60'?)"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(name, profile, said):
    with pytest.raises(ValueError) as error:
        recipe(name, profile)
    assert said in str(error.value)


def test_unknown_change_is_refused_with_a_hint_and_the_list():
    with pytest.raises(
        ValueError,
        match=r"a recipe has no 'sup_epoch' \(did you mean 'sup_epochs'\?\); it has: share, .*eval_batch",
    ):
        changed(Recipe(), {"sup_epoch": 3})


@pytest.mark.parametrize("value", [0, -5, 2.5, "10", True, None])
@pytest.mark.parametrize("name", ["initial_id", "stage_id", "stop_id"])
def test_quotas_must_be_positive_whole_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive whole number of iD samples, got"):
        changed(Recipe(), {name: value})


def test_stop_below_the_initial_set_is_refused():
    with pytest.raises(ValueError, match=r"stop_id \(50\) is below initial_id \(100\): raise it, or start lower"):
        changed(Recipe(), {"stop_id": 50})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sup_epochs", 2.5), ("sup_epochs", "3"), ("sup_epochs", -1), ("con_batch", 0), ("con_batch", True),
        ("sup_lr", "fast"), ("sup_lr", None), ("con_temperature", 0), ("con_temperature", -0.1), ("net", "vgg"),
        ("con_augment", "none"), ("bf16", 1),
        ("scale", 1.0), ("pooling", (2, "2", 2)), ("pooling", (2, 2)), ("pooling", (2, 3, 2)),
        ("cpu_threads", -1), ("projector", "tsne"),
        ("sup_lr", float("nan")), ("eval_batch", 0), ("share", 0), ("share", 1.5), ("net_width", 0), ("sn_width", 4),
    ],
)  # fmt: skip
def test_change_that_no_training_could_use_is_refused_before_any_training(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        changed(Recipe(), {name: value})


def test_changes_apply_and_leave_the_rest():
    changes = {
        "sup_epochs": 0,
        "sup_lr": 1,
        "pooling": [1, 2, 2],
        "net": "resnet18",
        "scale": (0.5, 1),
        "sup_milestones": (),
    }
    made = changed(Recipe(), changes)
    expected = {**asdict(Recipe()), **changes, "pooling": (1, 2, 2)}
    assert asdict(made) == expected
    assert changed(Recipe(), {}) == Recipe()


def test_variant_of_a_benchmark_has_its_recipe():
    assert recipe("mixcifar60-scenes-svhn-split3", "laptop") == recipe("mixcifar60", "laptop")
