"""The sources: what digits and letters have in common, and that a letter can be drawn again."""

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

from alkit.benchmarks.sources import catalogue, glyphs
from alkit.benchmarks.sources import glyphs as drawing


@pytest.fixture(scope="module")
def letters():
    return drawing.letters(200, seed=5)


def test_digits_keep_every_grey_level_of_load_digits():
    images, labels = catalogue.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert len(np.unique(images)) == 17 and (images.min(), images.max()) == (0, 255)


def test_block_sums_count_the_ink_of_4x4_blocks():
    bitmap = np.zeros((32, 32), bool)
    bitmap[:4, 4:8] = True
    bitmap[5, 0] = True
    expected = np.zeros((8, 8), int)
    expected[0, 1], expected[1, 0] = 16, 1
    assert np.array_equal(glyphs.block_sums(bitmap), expected)


def test_letters_have_the_resolution_levels_and_ink_of_digits(letters):
    images, labels = letters
    digits, _ = catalogue.digits()
    assert images.shape == (200, 8, 8) and images.dtype == np.uint8
    assert set(np.unique(images)) <= set(np.unique(digits))
    ink = images.sum((1, 2)) * (16 / 255)
    low, high = np.quantile(digits.sum((1, 2)) * (16 / 255), [0.01, 0.99])
    assert low - 1 <= ink.min() and ink.max() <= high + 1
    assert abs(ink.mean() / (digits.mean() * 64 * 16 / 255) - 1) < 0.1
    assert np.array_equal(np.bincount(labels), [20] * 10)


def test_letters_are_legible(letters):
    """A classifier that has seen 20 of each tells A to J apart: chance is 10 %."""
    images, labels = letters
    assert cross_val_score(SVC(C=10), images.reshape(len(images), -1) / 255, labels, cv=5).mean() > 0.9


def test_a_letter_depends_on_its_seed_and_number_alone(letters):
    images, labels = drawing.letters(3, seed=5, first=17)
    assert np.array_equal(images, letters[0][17:20]) and np.array_equal(labels, letters[1][17:20])
    assert not np.array_equal(images, drawing.letters(3, seed=6, first=17)[0])


def test_every_face_draws_ten_different_letters():
    """A font without Latin capitals would draw one box ten times."""
    from PIL import ImageFont

    for face in glyphs.FACES:
        font = ImageFont.truetype(glyphs.font_folder() / f"{face}.ttf", 40)
        assert len({bytes(font.getmask(letter)) for letter in glyphs.LETTERS}) == 10, face
    assert len(set(glyphs.FACES)) == len(glyphs.FACES)


def test_every_source_says_where_it_comes_from_and_under_which_licence():
    for source in catalogue.SOURCES.values():
        assert all([source.title, source.licence, source.citation, source.origin])
