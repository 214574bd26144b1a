"""What comes out of a session, and annotators that are no person."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from conftest import tiny_benchmark
from folders import DIGITS, folder_of_digits, session_of
from PIL import Image

from alkit import benchmarks, experiment, labelling
from alkit.benchmarks import AMBIGUOUS, ID, OOD
from alkit.labelling import annotators, export


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A session in which 90 of 140 images have answers, seven of them wrong."""
    place = tmp_path_factory.mktemp("answered")
    scripted = labelling.Scripted(tiny_benchmark(), error=0.1, seed=3)
    folder = folder_of_digits(place, 140)
    (folder / "a copy, <b>.png").write_bytes((folder / "000000.png").read_bytes())
    with session_of(place, folder=folder, stage_looks=30) as session:
        session.again([session.images.paths.index("000000.png")])
        labelling.run(session, lambda question: scripted(replace(question, path=original(question.path))), 90)
        session.refit()
        yield session


def original(path):
    return "000000.png" if "copy" in path else path


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_table_of_labels_has_a_row_for_each_file_with_an_answer(answered):
    rows = rows_of(labelling.labels_csv(answered))
    assert list(rows[0]) == ["path", "answer", "time", "annotator", "why", "test"]
    assert len(rows) == 91 and {row["path"] for row in rows} >= {"000000.png", "a copy, <b>.png"}
    named = {row["path"]: row["answer"] for row in rows}
    assert named["000000.png"] == named["a copy, <b>.png"]
    assert {row["annotator"] for row in rows} == {"me"} and "cautious_coverage, stage 0, place 1" in {
        row["why"] for row in rows
    }


def test_table_of_predictions_has_a_row_for_each_file_and_agrees_with_the_classifier(answered):
    rows, probs_NC = rows_of(labelling.predictions_csv(answered)), answered.predictions()
    assert len(rows) == 141 and {row["predicted"] for row in rows} <= {*DIGITS, "ambiguous", "not mine"}
    by_path = {row["path"]: row for row in rows}
    for path, probs_C in zip(answered.images.paths, probs_NC, strict=True):
        row = by_path[path]
        shares = [float(row[f"P({name})"]) for name in (*DIGITS, "ambiguous or not mine")]
        assert np.allclose(shares, probs_C, rtol=1e-5) and float(row["P(iD)"]) == pytest.approx(1 - probs_C[-1], 1e-4)
        assert (row["predicted"] in DIGITS) == (probs_C.argmax() < 3)
    benchmark = tiny_benchmark().pool
    said = [row["predicted"] for row in rows if row["path"] != "a copy, <b>.png"]
    junk = [benchmark.category_N[int(path[:6])] for path in sorted(set(answered.images.paths) - {"a copy, <b>.png"})]
    told = [kind for kind, word in zip(junk, said) if word == "not mine"]
    assert len(told) > 10 and np.mean(np.array(told) == OOD) > 0.8


def test_likely_errors_are_answers_that_others_contradict(answered):
    found = labelling.likely_errors(answered, 10)
    truth = tiny_benchmark().pool
    wrong = {
        position
        for position, value in answered.answers().items()
        if value in DIGITS and truth.labels_N[int(original(answered.images.paths[position])[:6])] != int(value)
    }
    assert [row["probability"] for row in found] == sorted(row["probability"] for row in found)
    assert all(row["answer"] == answered.answers()[row["position"]] != row["predicted"] for row in found)
    caught = wrong & {row["position"] for row in found}
    assert wrong and len(caught) >= len(wrong) / 2
    sheet = Image.open(labelling.contact_sheet(answered, most=8))
    assert sheet.size == (export.COLUMNS * export.TILE, 2 * (export.TILE + export.CAPTION))
    assert np.unique(np.asarray(sheet)).size > 20


def test_map_is_a_page_of_all_images_and_names_are_data(answered, tmp_path):
    page = labelling.map_page(answered, tmp_path / "map.html", projector="pca").read_text()
    assert '"n":140' in page and "P(iD)" in page and "<b>" not in page


@pytest.mark.parametrize("link", [False, True])
def test_copies_are_sorted_into_folders_by_answer(answered, tmp_path, link):
    assert labelling.sorted_copies(answered, tmp_path / "sorted", link=link) == 91
    assert labelling.sorted_copies(answered, tmp_path / "sorted", link=link) == 91  # again: nothing twice
    made = [path for path in (tmp_path / "sorted").rglob("*") if path.is_file()]
    assert len(made) == 91 and all(path.is_symlink() == link for path in made)
    for row in answered.labels():
        copy = tmp_path / "sorted" / row["answer"] / row["path"]
        assert copy.read_bytes() == (answered.images.folder / row["path"]).read_bytes()


@pytest.mark.parametrize("link", [False, True])
def test_copy_under_an_answer_that_was_changed_goes_and_what_is_not_ours_stays(tmp_path, link):
    with session_of(tmp_path, 20) as session:
        first = session.question()
        session.answer(first.number, "0")
        labelling.sorted_copies(session, tmp_path / "sorted", link=link)
        session.undo()
        session.answer(session.question().number, "1")
        (tmp_path / "sorted" / "2").mkdir()
        (tmp_path / "sorted" / "2" / first.path).write_bytes(b"somebody's own")
        labelling.sorted_copies(session, tmp_path / "sorted", link=link)
        found = {path.relative_to(tmp_path / "sorted").as_posix() for path in (tmp_path / "sorted").rglob("*.png")}
        assert found == {f"1/{first.path}", f"2/{first.path}"}
        assert (session.images.folder / first.path).is_file()


def test_names_of_folders_are_safe_and_apart():
    names = export.folder_names(("../up", "a/b", "a:b", "Cat", "cat", "..", "größe"))
    assert names == {
        "../up": "_up",
        "a/b": "a_b",
        "a:b": "a_b_",
        "Cat": "Cat",
        "cat": "cat_",
        "..": "_",
        "größe": "größe",
    }


def test_benchmark_of_what_was_labelled_can_be_loaded_and_run(answered, tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "data"))
    benchmark = labelling.save_benchmark(answered, test=0.3, side=8)
    values = list(answered.answers().values())
    assert len(benchmark.pool) + len(benchmark.test_labels_M) == len(values) == 90
    counts = {kind: int((benchmark.pool.category_N == kind).sum()) for kind in (AMBIGUOUS, OOD)}
    assert counts == {AMBIGUOUS: values.count("ambiguous"), OOD: values.count("not mine")}
    assert benchmark.class_names == DIGITS and set(benchmark.test_labels_M) == {0, 1, 2}
    assert benchmark.fingerprint == labelling.as_benchmark(answered, test=0.3, side=8).fingerprint
    cell = experiment.Cell(
        "own-mine", "smoke", "probe", "random", changes={"con_first_epochs": 1, "pooling": [2, 2, 2]}
    )
    (*_, last) = experiment.run(cell, root=tmp_path)
    half = (benchmark.pool.category_N == ID).sum() // 2
    assert last["n_id"] == half and last["fingerprint"] == benchmark.fingerprint


def test_benchmark_is_never_saved_among_the_images_nor_under_an_odd_name(answered, tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_DATA", str(answered.images.folder))
    with pytest.raises(ValueError, match="never written to"):
        labelling.save_benchmark(answered, side=8)
    assert not (answered.images.folder / "pools").exists()
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="small letters, digits and _, got 'My cats'"):
        labelling.save_benchmark(answered, "My cats", side=8)
    assert list(tmp_path.iterdir()) == []


def test_session_without_answers_has_nothing_to_show_and_says_so(tmp_path):
    with session_of(tmp_path, 20) as session:
        assert rows_of(labelling.labels_csv(session)) == [] and labelling.likely_errors(session) == []
        assert labelling.sorted_copies(session, tmp_path / "sorted") == 0
        for act, message in (
            (labelling.predictions_csv, "nothing is predicted yet"),
            (labelling.contact_sheet, "no answer is contradicted"),
            (labelling.as_benchmark, "'0' has 0"),
        ):
            with pytest.raises(ValueError, match=message):
                act(session)
        labelling.map_page(session, projector="pca")


# annotators


def question(position):
    return labelling.Question(1, 0, f"{position:06}.png", "", False)


def test_scripted_annotator_tells_the_truth_and_the_same_twice():
    pool, scripted = tiny_benchmark().pool, labelling.Scripted(tiny_benchmark())
    said = [scripted(question(position)) for position in range(140)]
    words = {ID: None, AMBIGUOUS: "ambiguous", OOD: "not mine"}
    assert said == [words[kind] or str(label) for kind, label in zip(pool.category_N, pool.labels_N)]
    assert said == [scripted(question(position)) for position in range(140)]


def test_annotator_errs_as_often_as_wanted_and_always_names_another_class():
    right, errs = labelling.Scripted(tiny_benchmark()), labelling.Scripted(tiny_benchmark(), error=0.3, seed=1)
    wrong = [errs(question(i)) for i in range(140) if errs(question(i)) != right(question(i))]
    assert 25 <= len(wrong) <= 60 and set(wrong) <= set(DIGITS)
    other = labelling.Scripted(tiny_benchmark(), error=0.3, seed=2)
    assert [other(question(i)) for i in range(140)] != [errs(question(i)) for i in range(140)]


def test_unsure_annotator_calls_what_is_hard_ambiguous():
    hard = annotators.hard_images(benchmarks.load("mixdigits"))
    pool = benchmarks.load("mixdigits").pool
    assert 20 < len(hard) < 120 and (pool.category_N[list(hard)] == ID).all()
    unsure = labelling.Scripted(benchmarks.load("mixdigits"), ambiguous_when_hard=True)
    assert {unsure(question(i)) for i in hard} == {"ambiguous"}
    with pytest.raises(ValueError, match="give one, or leave it out"):
        labelling.Scripted({"a.png": "cat"}, ambiguous_when_hard=True)


def test_annotator_can_answer_from_a_table():
    scripted = labelling.Scripted({"000001.png": "cat", "000002.png": "not mine"})
    assert [scripted(question(i)) for i in (1, 2)] == ["cat", "not mine"]
    with pytest.raises(KeyError):
        scripted(question(3))
