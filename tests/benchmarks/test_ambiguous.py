"""The generator of ambiguous digits: its networks, its mixtures, grey levels, vote, and the check for a shortcut."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from alkit import rng
from alkit.benchmarks import ambiguous, blur_check, mixdigits
from alkit.benchmarks.vae import Voters, discretised_logistic, relative_kl

SMOKE = {"epochs": 2, "voter_epochs": 2, "width": 8, "voter_widths": (4, 8, 8)}
RECIPES = {
    8: replace(ambiguous.DIGITS_8PX, **SMOKE),
    28: replace(ambiguous.MNIST_28PX, **SMOKE),
}


def digits(size: int, count: int):
    """`count` digits of the pool, (N, 1, size, size); at 28 px every pixel is a block of 3x3 and the rim is black."""
    images, labels, _, _ = mixdigits.split_digits()
    images, labels = images[:count], labels[:count]
    if size == 28:
        images = np.pad(images.repeat(3, 2).repeat(3, 3), ((0, 0), (0, 0), (2, 2), (2, 2)))
    return images, labels


@pytest.fixture(scope="module", params=[8, 28])
def generator(request):
    images, _ = digits(request.param, 256)
    recipe = RECIPES[request.param]
    return ambiguous.train_generator(images, recipe, seed=0), images, recipe


def test_generator_training_improves_the_likelihood_at_both_sizes(generator):
    model, images, recipe = generator
    fresh = ambiguous.train_generator(images, replace(recipe, rate=0.0), seed=0)

    def bits(net):
        batch = ambiguous.to_float(images[:64], "cpu")
        location, log_scale, _, _ = net(batch, rng.torch_stream(0, "test"))
        return -discretised_logistic(batch, location, log_scale, levels=recipe.levels).sum().item()

    with torch.no_grad():
        assert bits(model) < bits(fresh)


def test_generator_has_latents_at_several_scales_and_no_negative_divergence(generator):
    model, images, recipe = generator
    with torch.no_grad():
        *_, kl_LB, latents = model(ambiguous.to_float(images[:32], "cpu"), rng.torch_stream(0, "test"))
    assert [part.shape[2] for part in latents] == [side for side in recipe.scales for _ in range(recipe.groups)]
    assert len(recipe.scales) >= 2
    assert kl_LB.shape == (len(latents), 32) and kl_LB.min() >= 0


def test_generator_is_the_same_when_trained_again_and_leaves_global_streams_alone():
    images, _ = digits(8, 128)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (ambiguous.train_generator(images, RECIPES[8], seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])


def test_relative_divergence_is_that_of_the_two_normals():
    mean, log_std, shift, log_ratio = torch.randn(4, 50, generator=rng.torch_stream(0, "test"))
    posterior = Normal(mean + log_std.exp() * shift, (log_std + log_ratio).exp())
    expected = kl_divergence(posterior, Normal(mean, log_std.exp()))
    torch.testing.assert_close(relative_kl(shift, log_ratio), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [17, 256])
def test_likelihood_of_all_grey_levels_sums_to_one(levels):
    grey = torch.linspace(0, 1, levels)[:, None]
    location, log_scale = torch.tensor([-0.2, 0.1, 0.5, 1.3]), torch.tensor([-7.0, -4.0, -1.0, 0.0])
    total = discretised_logistic(grey, location, log_scale, levels=levels).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(4), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mixture", [1.0, 0.7, 0.0])
def test_mixture_has_the_stated_ratio_and_the_variance_of_one_draw(mixture):
    """A stand-in whose latents are known and whose decoder is the identity shows what is mixed."""

    class Known(torch.nn.Linear):
        def forward(self, images, noise):
            return None, None, None, [images]

        def decode(self, latents):
            return latents[0]

    one, two = digits(8, 20)[0][:10], digits(8, 20)[0][10:]
    mixed = ambiguous.mix_and_decode(Known(1, 1), one, two, mixture, None)
    expected = (mixture * one + (1 - mixture) * two) / 255 / np.sqrt(mixture**2 + (1 - mixture) ** 2)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)


def test_transport_keeps_ranks_and_gives_exactly_the_levels_of_a_real_image_of_similar_ink():
    real, _ = digits(8, 300)
    stream = rng.numpy_stream(0, "test")
    decoded = stream.normal(0.3, 0.4, size=(40, 1, 8, 8)).astype(np.float32)
    out = ambiguous.transport_grey_levels(decoded, ambiguous.GreyLevels(real), stream, donors=8)
    assert out.dtype == np.uint8 and out.shape == decoded.shape
    histograms = {bytes(np.sort(image.ravel())): image.mean() for image in real}
    inks = np.array([image.mean() for image in real]) / 255
    for before, after in zip(decoded.reshape(40, -1), out.reshape(40, -1), strict=True):
        assert (np.diff(after[np.argsort(before)].astype(int)) >= 0).all()
        assert bytes(np.sort(after)) in histograms
        distance = np.abs(inks - np.clip(before, 0, 1).mean())
        assert abs(after.mean() / 255 - np.clip(before, 0, 1).mean()) <= np.sort(distance)[15] + 1e-9


def test_transport_leaves_a_real_image_with_itself_as_the_only_donor_unchanged():
    real, _ = digits(8, 1)
    out = ambiguous.transport_grey_levels(real / 255, ambiguous.GreyLevels(real), rng.numpy_stream(0, "test"), donors=8)
    assert np.array_equal(out, real)


@pytest.mark.parametrize("training", [True, False])
def test_ten_voters_at_once_equal_ten_voters_one_by_one(training):
    """Logits and gradients: so training them together is training each alone."""
    images, labels = digits(8, 64)
    shape = {"widths": (4, 8), "strides": (1, 2), "classes": 10}
    with rng.seeded(0):
        together = Voters(10, 8, **shape)
    views_BVHW = torch.rand(64, 10, 8, 8, generator=rng.torch_stream(0, "test"))
    labels = torch.as_tensor(labels)

    def logits_and_gradients(net, views):
        net.train(training)
        logits_VBK = net(views)
        loss = F.cross_entropy(logits_VBK.flatten(0, 1), labels.repeat(net.voters)) * net.voters
        names, parameters = zip(*net.named_parameters(), strict=True)
        return logits_VBK.detach(), dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))

    logits_VBK, gradients = logits_and_gradients(together, views_BVHW)
    for voter in range(10):
        alone = Voters(1, 8, **shape)
        state = {k: t.chunk(10)[voter] if t.ndim else t for k, t in together.state_dict().items()}
        alone.load_state_dict(state)
        logits_1BK, own = logits_and_gradients(alone, views_BVHW[:, voter : voter + 1])
        torch.testing.assert_close(logits_VBK[voter], logits_1BK[0], rtol=1e-5, atol=1e-5)
        for name, gradient in own.items():
            torch.testing.assert_close(gradients[name].chunk(10)[voter], gradient, rtol=1e-4, atol=1e-5)


def test_voters_start_apart_and_learn():
    images, labels = digits(8, 1024)
    _, _, test_images, test_labels = mixdigits.split_digits()
    voters = ambiguous.train_voters(images, labels, replace(RECIPES[8], voter_epochs=6), seed=0)
    votes = ambiguous.vote(voters, test_images)
    accuracy_V = (votes == test_labels[:, None]).mean(0)
    assert votes.shape == (500, 10) and votes.dtype == np.uint8
    assert accuracy_V.min() > 0.8 and len({votes[:, v].tobytes() for v in range(10)}) == 10


def test_vote_keeps_two_or_three_distinct_classes():
    votes = np.array([[4] * 10, [4] * 9 + [9], [9, 4, 7] + [4] * 7, [1, 2, 3, 4] + [1] * 6, range(10)], np.uint8)
    assert ambiguous.is_ambiguous(votes).tolist() == [False, True, True, False, False]


def test_shortcut_is_absent_between_halves_of_real_images_and_plain_under_blur():
    images, _ = digits(8, 1297)
    assert abs(blur_check.shortcut_auroc(images[::2], images[1::2]) - 0.5) < 0.07
    around = np.pad(images[1::2].astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    blurred = sum(around[:, :, i : i + 8, j : j + 8] for i in range(3) for j in range(3)) / 9
    for model in ("logistic", "boosting"):
        assert blur_check.shortcut_auroc(images[::2], blurred.astype(np.uint8), model=model) > 0.97
    with pytest.raises(ValueError, match="unknown model 'svm'"):
        blur_check.shortcut_auroc(images, images, model="svm")


def test_build_gives_up_with_a_reason_when_nothing_passes_the_vote(monkeypatch):
    images, labels = digits(8, 128)
    monkeypatch.setattr(ambiguous, "is_ambiguous", lambda votes: np.zeros(len(votes), bool))
    monkeypatch.setattr(ambiguous, "ROUND", 64)
    with pytest.raises(RuntimeError, match="0 of .* mixtures passed the vote"):
        ambiguous.build(
            images, labels, test_images=images, test_labels=labels, count=1, recipe=RECIPES[8], seed=0
        )  # fmt: skip
