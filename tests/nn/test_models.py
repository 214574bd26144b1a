"""The networks: shapes, initialisation from the seed alone, and no dependence of one image on another in evaluation."""

from dataclasses import replace

import pytest
import torch
import torchvision
from conftest import TINY
from torch import nn

from alkit import models
from alkit.recipes import recipe

RESNET = recipe("mixcifar60", "paper")


def images(n, channels, side, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize(
    ("chosen", "channels", "side", "width", "parameters"),
    [
        (TINY, 1, 8, 128, 9 * (32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128)),
        (replace(TINY, pooling=(1, 2, 2)), 1, 28, 128, 9 * (32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128)),
        (replace(TINY, readout="linear"), 1, 28, 128,
         9 * (32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128) + 9 * 128 * 128 + 2 * 128),
        # torchvision's 11,689,512 less its 7 x 7 stem and its classifier, plus a 3 x 3 stem
        (RESNET, 3, 32, 512, 11_689_512 - 64 * 3 * 49 - (512 * 1000 + 1000) + 64 * 3 * 9),
        # a quarter of the channels: a sixteenth of the weights of every convolution but the first
        (replace(RESNET, net_width=16), 3, 32, 128,
         (11_689_512 - 64 * 3 * 49 - 513_000 - 9600) // 16 + 9600 // 4 + 16 * 3 * 9),
    ],
)  # fmt: skip
def test_encoder_gives_one_row_of_its_width_per_image(chosen, channels, side, width, parameters):
    net = models.encoder(chosen, channels, seed=0).eval()
    assert net.width == width and len(weights(net)) == parameters
    with torch.no_grad():
        assert net(images(3, channels, side)).shape == (3, width)


@pytest.mark.parametrize("side", [8, 28, 7, 9, 2])
@pytest.mark.parametrize("channels", [1, 5])
def test_pooled_convolution_is_a_convolution_and_then_a_mean_forward_and_backward(side, channels):
    fused = models.PooledConv(channels, 6).double()
    plain = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1, bias=False), nn.AvgPool2d(2)).double()
    plain[0].load_state_dict(fused.state_dict())
    one = images(4, channels, side).double().requires_grad_()
    other = one.detach().clone().requires_grad_()
    made, expected = fused(one), plain(other)
    assert made.shape == (4, 6, side // 2, side // 2)
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (made * weights).sum().backward(), (expected * weights).sum().backward()
    for a, b in ((made, expected), (fused.weight.grad, plain[0].weight.grad), (one.grad, other.grad)):
        assert torch.allclose(a, b, atol=1e-12)


def test_resnet_keeps_the_resolution_that_32_px_images_need():
    net = models.encoder(RESNET, 3, seed=0).eval()
    seen = {}
    net.layers[0].register_forward_hook(lambda *a: seen.update(first=a[2].shape[2:]))
    net.layers[-1].register_forward_hook(lambda *a: seen.update(last=a[2].shape[2:]))
    with torch.no_grad():
        net(images(1, 3, 32))
    assert seen == {"first": (32, 32), "last": (4, 4)}


@pytest.mark.parametrize("chosen", [TINY, RESNET])
def test_weights_depend_on_the_seed_alone(chosen):
    channels = 3 if chosen is RESNET else 1
    torch.manual_seed(1)
    first = weights(models.encoder(chosen, channels, seed=7))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = weights(models.encoder(chosen, channels, seed=7))
    assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, weights(models.encoder(chosen, channels, seed=8)))


def test_head_is_simclrs():
    head = models.projection_head(TINY, 128, seed=0)
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert head(torch.zeros(2, 128)).shape == (2, TINY.projection[1]) and head[0].out_features == TINY.projection[0]
    assert torch.equal(weights(head), weights(models.projection_head(TINY, 128, seed=0)))


def test_classifier_adds_a_linear_layer_to_the_very_encoder_it_is_given():
    body = models.encoder(TINY, 1, seed=0)
    net = models.classifier(body, 4, seed=3)
    assert net.encoder is body and net.linear.out_features == 4 and net.linear.in_features == 128
    assert torch.equal(net.linear.weight, models.classifier(models.encoder(TINY, 1, seed=9), 4, seed=3).linear.weight)
    assert not torch.equal(net.linear.weight, models.classifier(body, 4, seed=4).linear.weight)
    x = images(2, 1, 8)
    assert torch.allclose(net.eval()(x), net.linear(body.eval()(x)))


@pytest.mark.parametrize(("chosen", "channels", "side"), [(TINY, 1, 8), (RESNET, 3, 32)])
def test_features_of_an_image_do_not_depend_on_its_neighbours_in_evaluation(chosen, channels, side):
    net, x = models.encoder(chosen, channels, seed=0).eval(), images(5, channels, side)
    with torch.no_grad():
        assert torch.allclose(net(x), torch.cat([net(image[None]) for image in x]), atol=1e-5)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("n", [7, 64])
def test_maps_of_the_wanted_size_pass_the_readout_as_through_the_pool(n, bf16):
    """Bit for bit, features and every gradient, whatever the layout of the maps; other sizes are pooled."""
    chosen, found = recipe("mixmnist", "paper"), []
    for pool in (models.Grid(3), nn.AdaptiveAvgPool2d(3)):
        net = models.encoder(chosen, 1, seed=0).train()
        net.readout[0] = pool
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            features = net(images(n, 1, 28))
        features.float().square().sum().backward()
        found.append(torch.cat([features.float().flatten(), *(p.grad.flatten() for p in net.parameters())]))
    assert torch.equal(*found)
    assert models.Grid(3)(images(2, 3, 9)).shape == (2, 3, 3, 3)


def test_every_parameter_gets_a_gradient():
    for chosen, channels, side in ((TINY, 1, 8), (RESNET, 3, 32)):
        net = models.classifier(models.encoder(chosen, channels, seed=0), 4, seed=0)
        net(images(4, channels, side))[:, 0].square().sum().backward()
        named = dict(net.named_parameters())
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in named.values()), named.keys()


def test_resnet_is_torchvisions_with_another_stem():
    """The same weights give the same features as torchvision's own net without its stem's pooling."""
    ours, theirs = models.encoder(RESNET, 3, seed=0).eval(), torchvision.models.resnet18()
    theirs.conv1, theirs.maxpool, theirs.fc = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity(), nn.Identity()
    weights_of = list(ours.stem.state_dict().values()) + list(ours.layers.state_dict().values())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights_of, strict=True)))
    x = images(2, 3, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs.eval()(x - 0.5))


@pytest.mark.parametrize("chosen", [TINY, replace(RESNET, net_width=8)])
def test_spectral_cap_bounds_every_convolution_and_leaves_small_ones_alone(chosen):
    channels = 3 if chosen.net == "resnet18" else 1
    net = models.encoder(chosen, channels, seed=0, spectral=True)
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    for factor, capped in ((1e-3, False), (50.0, True)):
        with torch.no_grad():
            for module in convolutions:
                original = module.parametrizations.weight.original
                original.mul_(factor / torch.linalg.matrix_norm(original.flatten(1), 2))
        net.train()
        for _ in range(60):  # the estimate follows the weights a step a pass
            net(images(2, channels, 32))
        net.eval()
        for module in convolutions:
            norm = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
            assert norm == pytest.approx(3 if capped else factor, rel=0.1)


def test_spectral_cap_lets_gradients_through_and_changes_nothing_in_evaluation():
    net = models.encoder(TINY, 1, seed=0, spectral=True)
    net(images(4, 1, 8)).sum().backward()
    originals = [module.parametrizations.weight.original for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert all(original.grad.abs().sum() > 0 for original in originals)
    before = {name: value.clone() for name, value in net.eval().state_dict().items()}
    with torch.no_grad():
        net(images(4, 1, 8, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
