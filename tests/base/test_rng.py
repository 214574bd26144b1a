"""Named random streams: the same name, seed and stage give the same numbers, and any other gives others."""

import pytest
import torch
from conftest import python

from alkit import rng

STREAMS = [
    (0, "initial"),
    (1, "initial"),
    (0, "strategy"),
    (0, "strategy", 0),
    (0, "strategy", 1),
    (0, "strategy", 1, 0),
]


def draws(make, *args):
    generator = make(*args)
    if isinstance(generator, torch.Generator):
        return torch.rand(4, generator=generator).tolist()
    return generator.random(4).tolist()


@pytest.mark.parametrize("make", [rng.numpy_stream, rng.torch_stream])
def test_streams_are_the_same_for_the_same_name_and_differ_in_any_part_of_it(make):
    found = [tuple(draws(make, *stream)) for stream in STREAMS]
    assert found == [tuple(draws(make, *stream)) for stream in STREAMS]
    assert len(set(found)) == len(STREAMS)


def test_streams_do_not_hang_on_the_process():
    """Python salts `hash` per process; a stream named by it would differ between a run and its resumption."""
    show = "print(rng.integer(3, 'model', 2), rng.numpy_stream(3, 'initial').permutation(9).tolist())"
    code = f"from alkit import rng; {show}"
    said = {python(code, PYTHONHASHSEED=salt).stdout for salt in ("1", "2")}
    assert said == {f"{rng.integer(3, 'model', 2)} {rng.numpy_stream(3, 'initial').permutation(9).tolist()}\n"}


def test_one_stream_is_not_moved_by_draws_from_another():
    first = rng.numpy_stream(0, "strategy", 1)
    rng.numpy_stream(0, "initial").random(1000)
    assert first.random() == rng.numpy_stream(0, "strategy", 1).random()


def test_integers_fit_a_signed_64_bit_seed_and_differ_by_stage():
    values = [rng.integer(seed, "model", stage) for seed in range(20) for stage in range(20)]
    assert all(0 <= value < 2**63 for value in values) and len(set(values)) == 400


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_seed_that_is_none_is_refused(seed):
    with pytest.raises((ValueError, TypeError)):
        rng.numpy_stream(seed, "initial")


def test_seeded_block_depends_on_its_seed_alone_and_leaves_the_global_stream():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with rng.seeded(1):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    torch.rand(100)
    with rng.seeded(1):
        assert torch.equal(torch.rand(3), inside)
    with rng.seeded(2):
        assert not torch.equal(torch.rand(3), inside)


def test_seeded_block_restores_the_global_stream_after_an_error():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(KeyError), rng.seeded(1):
        torch.rand(7)
        raise KeyError
    assert torch.equal(torch.rand(3), expected)
