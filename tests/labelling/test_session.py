"""A session: which question comes, what an answer does, what is learned, and what stays over an interruption."""

import os
import threading
import time

import numpy as np
import pytest
from conftest import contents, tiny_benchmark
from folders import DIGITS, features_for, folder_of_digits, pool_without_files, session_of, truth

from alkit import labelling
from alkit.acquisition import NOT_ASKED
from alkit.benchmarks import AMBIGUOUS, ID, OOD, load
from alkit.experiment import Answer
from alkit.store import StoreError


def answers_of(session):
    return {row["path"]: row["answer"] for row in session.labels()}


@pytest.fixture
def session(tmp_path):
    with session_of(tmp_path, budget=40) as opened:
        yield opened


def test_question_stays_until_it_is_answered_and_an_answer_twice_is_one(session):
    first = session.question()
    assert session.question() == first and (session.images.folder / first.path).is_file()
    assert session.answer(first.number, "1") == first.number
    second = session.question()
    assert second.number == first.number + 1 and second.path != first.path
    assert session.answer(first.number, "2") == first.number  # sent again: acknowledged, and ignored
    assert session.looks == 1 and answers_of(session) == {first.path: "1"} and session.question() == second


def test_unknown_answers_and_numbers_are_refused_and_change_nothing(session):
    number = session.question().number
    with pytest.raises(ValueError, match="unknown answer 'not mien' .did you mean 'not mine'"):
        session.answer(number, "not mien")
    with pytest.raises(ValueError, match="question 9 was not asked"):
        session.answer(9, "1")
    assert session.looks == 0 and session.question().number == number


def test_questions_ahead_stay_in_order_and_each_is_answered_by_its_number(session):
    ahead = session.questions(5)
    assert ahead[0] == session.question() and len({question.path for question in ahead}) == 5
    session.answer(ahead[0].number, "0")
    assert session.questions(5)[:4] == ahead[1:]
    for question in ahead[1:]:
        session.answer(question.number, "1")
    assert list(answers_of(session)) == [question.path for question in ahead]


def test_undo_takes_back_as_many_answers_as_wanted_also_in_another_kernel(tmp_path):
    with session_of(tmp_path) as session:
        asked = [session.question()]
        for _ in range(4):
            session.answer(asked[-1].number, truth(asked[-1]))
            asked.append(session.question())
        assert session.undo().path == asked[3].path and session.looks == 3
    with session_of(tmp_path) as session:
        assert session.question().path == asked[3].path
        assert session.undo().path == asked[2].path
        assert list(answers_of(session)) == [question.path for question in asked[:2]]
        for expected in (2, 3, 4):
            question = session.question()
            assert question.path == asked[expected].path
            session.answer(question.number, "2")
        assert session.looks == 5
        while session.undo() and session.looks:
            pass
        assert answers_of(session) == {} and (session.answers_N == NOT_ASKED).all()


def test_same_question_after_a_reload_and_the_same_answers(tmp_path):
    with session_of(tmp_path) as session:
        labelling.run(session, truth, 13)
        question, known = session.question(), session.labels()
    with session_of(tmp_path) as session:
        assert session.question() == question and session.labels() == known


def test_cell_that_is_run_again_takes_over_and_the_old_session_says_so(tmp_path):
    old = session_of(tmp_path)
    question = old.question()
    with session_of(tmp_path) as new:
        assert new.question() == question
        for act in (old.question, lambda: old.answer(question.number, "0"), old.undo):
            with pytest.raises(StoreError, match="this session is closed"):
                act()
    old.close()


def test_budget_ends_the_session_and_a_larger_one_goes_on(tmp_path):
    with session_of(tmp_path, budget=6) as session:
        assert labelling.run(session, truth) == 6
        assert session.question() is None and session.finished == "the budget of 6 looks is spent"
        assert session.status().left == 0
    with session_of(tmp_path, budget=8) as session:
        assert session.finished is None and labelling.run(session, truth) == 2


def test_every_image_is_asked_about_once(tmp_path):
    with session_of(tmp_path, 30) as session:
        assert labelling.run(session, truth) == 30
        assert session.finished == "every image was asked about" and len(answers_of(session)) == 30
        assert session.questions(3) == [] and session.upcoming(5) == []


def test_skipped_images_are_not_learned_and_not_asked_again(tmp_path):
    with session_of(tmp_path, 30) as session:
        assert labelling.run(session, lambda question: "skip") == 30
        assert (session.answers_N == NOT_ASKED).all() and session.status().by_kind["skipped"] == 30
        assert session.neighbours(0) == [] and session.opinion(0) is None
        assert session.undo() is not None and session.status().by_kind["skipped"] == 29


def test_labels_never_move_when_files_come_go_and_are_renamed(tmp_path):
    folder = folder_of_digits(tmp_path, 40)
    with session_of(tmp_path, folder=folder) as session:
        labelling.run(session, truth, 12)
        known, pending = answers_of(session), session.question()
        ids = dict(zip(session.images.paths, session.images.ids))
    gone, moved, *_ = known
    (folder / "sub").mkdir()
    (folder / moved).rename(folder / "sub" / "aaa.png")
    labelling.write_folder(tiny_benchmark(), folder, 50)  # ten more, and the one that was moved
    (folder / gone).unlink()
    (folder / pending.path).unlink()
    with session_of(tmp_path, folder=folder) as session:
        found = {row["path"]: row for row in session.labels()}
        assert found[gone]["why"] == "its file is gone" and found[gone]["answer"] == known[gone]
        assert found["sub/aaa.png"]["answer"] == known[moved]
        now = dict(zip(session.images.ids, session.images.paths))
        for path, answer in known.items():
            if path != gone:
                code = session.answers_N[session.images.ids.index(ids[path])]
                assert session.book.code(answer) == code and found[now[ids[path]]]["answer"] == answer
        assert session.question().path != pending.path and len(session.images) == 48


def test_file_that_goes_while_one_labels_is_passed_over(session):
    question = session.question()
    (session.images.folder / question.path).unlink()
    other = session.question()
    assert other.path != question.path and session.status().left == 40
    (session.images.folder / other.path).unlink()
    with pytest.raises(StoreError, match="was removed or changed"):
        session.picture(other.position)


def test_copies_and_near_duplicates_are_asked_about_once_and_all_get_the_answer(tmp_path):
    from PIL import Image

    folder = folder_of_digits(tmp_path, 20)
    (folder / "copy.png").write_bytes((folder / "000003.png").read_bytes())
    for i in (3, 4):  # the same pixels in a file of other bytes
        Image.open(folder / f"{i:06}.png").save(folder / f"other {i}.bmp")
    with session_of(tmp_path, folder=folder) as session:
        assert len(session.images) == 22 and len(session.groups) == 2
        asked = []
        labelling.run(session, lambda question: asked.append(question.path) or "2")
        assert len(asked) == 20 and len(answers_of(session)) == 23
        (named,) = [one for one in asked if one in ("000003.png", "copy.png", "other 3.bmp")]
        rows = {row["path"]: row for row in session.labels()}
        others = {"000003.png", "copy.png", "other 3.bmp"} - {named}
        assert all(rows[path]["why"] == f"the same as {named}" for path in others)
        while session.looks:
            session.undo()
        assert (session.answers_N == NOT_ASKED).all()
    with session_of(tmp_path, folder=folder, alike=1) as session:
        assert session.groups == []


def test_full_disk_keeps_the_question_and_says_so(session, monkeypatch):
    question = session.question()

    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(labelling.answers, "write_all", full)
    with pytest.raises(StoreError, match="nothing was saved.*No space left"):
        session.answer(question.number, "1")
    assert session.question() == question and session.looks == 0
    monkeypatch.undo()
    session.answer(question.number, "1")
    assert session.looks == 1


# learning


def test_neither_question_nor_answer_waits_for_a_fit_and_the_order_in_force_goes_on(tmp_path, monkeypatch):
    with session_of(tmp_path, 140, stage_looks=5, test_share=0) as session:
        order, may_go = session.fits.fitted.order, threading.Event()
        real = session.learning.fit

        def slow(*args):
            assert may_go.wait(30)
            return real(*args)

        monkeypatch.setattr(session.learning, "fit", slow)
        asked = []
        for _ in range(12):
            asked.append(session.question())
            session.answer(asked[-1].number, truth(asked[-1]))
        assert session.status().fitting and [question.position for question in asked] == list(order[:12])
        assert session.upcoming(2) == list(order[12:14])
        may_go.set()
        session.wait()
        assert session.fits.fitted.order != order and not session.status().fitting
        assert not {question.position for question in asked} & {session.question().position}


def test_order_that_runs_out_is_followed_by_images_at_random(tmp_path, monkeypatch):
    with session_of(tmp_path, stage_looks=2, test_share=0) as session:
        monkeypatch.setattr(session, "_start_fit", lambda: None)
        for _ in range(20):
            question = session.question()
            session.answer(question.number, truth(question))
        assert question.why == "at random, while the next order is made" and len(answers_of(session)) == 20


def test_fit_that_fails_is_told_and_the_session_goes_on(tmp_path, monkeypatch):
    with session_of(tmp_path) as session:

        def broken(*args):
            raise RuntimeError("out of memory")

        monkeypatch.setattr(session.learning, "fit", broken)
        assert labelling.run(session, truth, 25) == 25
        assert "could not be fitted: out of memory" in session.status().sentence


def test_share_of_tests_is_drawn_and_learned_and_judged_by_who_did_not_learn_them(tmp_path, monkeypatch):
    seen = []
    with session_of(tmp_path, 140, test_share=0.2) as session:
        real = session.learning.fit
        monkeypatch.setattr(
            session.learning, "fit", lambda codes, *rest: seen.append(codes.copy()) or real(codes, *rest)
        )
        labelling.run(session, truth, 60)
        rows = [session.images.paths.index(row["path"]) for row in session.labels() if row["test"]]
        assert len(rows) == 12 and (seen[-1][rows] != NOT_ASKED).all()
        estimate = session.status().accuracy
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1 and 0 < estimate.n <= 12
        noise = session.learning.unit_ND[::-1].copy()  # by features of other images nothing unlearned can be told
        monkeypatch.setattr(session.learning, "unit_ND", noise)
        session.learning.learner.unit_ND = noise
        session.refit()
        assert session.status().accuracy.value < 0.75 < estimate.value


def test_the_last_answers_are_learned_when_the_budget_is_spent(tmp_path, monkeypatch):
    with session_of(tmp_path, budget=25) as session:
        learned, real = [], session.learning.fit
        monkeypatch.setattr(session.learning, "fit", lambda codes, *rest: learned.append(codes) or real(codes, *rest))
        labelling.run(session, truth)
        assert [int((codes >= 0).sum()) for codes in learned] == [10, 20, 25]


def test_no_test_is_drawn_where_none_is_wanted(tmp_path):
    with session_of(tmp_path, test_share=0) as session:
        labelling.run(session, truth, 30)
        assert not any(row["test"] for row in session.labels()) and session.status().accuracy is None


def test_status_opinion_neighbours_and_predictions(session):
    assert session.opinion(0) is None and session.status().id_share is None
    with pytest.raises(ValueError, match="nothing is predicted yet"):
        session.predictions()
    labelling.run(session, truth, 30)
    status = session.status()
    assert status.looks == 30 and sum(status.by_kind.values()) == 30 and status.left == 10 and status.progress == 1
    assert 0 < status.id_share < 1 and 0 <= status.naive <= 1
    names, shares = zip(*session.opinion(5))
    assert set(names) == {*DIGITS, "ambiguous or not mine"} and list(shares) == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    near = session.neighbours(5, 3)
    known = session.answers()
    similarity = session.learning.unit_ND @ session.learning.unit_ND[5]
    best = max((position for position in known if position != 5), key=lambda position: similarity[position])
    assert near[0][0] == best and all(known[position] == answer for position, answer, _ in near)
    assert session.predictions().shape == (60, 4)


def test_only_junk_answered_leaves_nothing_to_fit_and_the_session_goes_on(tmp_path):
    with session_of(tmp_path) as session:
        assert labelling.run(session, lambda question: "not mine", 25) == 25
        assert session.opinion(0) is None and session.status().sentence == ""


def test_person_answers_as_every_oracle_does(session):
    words = iter(["1", "ambiguous", "not mine", "skip"])
    positions = []
    for word in words:
        question = session.question()
        positions.append(question.position)
        session.answer(question.number, word)
    assert [session.ask(position) for position in positions[:3]] == [
        Answer(1, ID),
        Answer(None, AMBIGUOUS),
        Answer(None, OOD),
    ]
    assert session.cost == 4
    with pytest.raises(ValueError, match="has no answer"):
        session.ask(positions[3])


def test_again_asks_anew_and_the_new_answer_stands(tmp_path):
    with session_of(tmp_path) as session:
        labelling.run(session, truth, 12)
        pending = session.question()
        first, second = list(session.answers())[:2]
        assert session.again([first, second]).position == first
        session.answer(session.question().number, "2")
        assert session.question().position == second
        session.answer(session.question().number, "not mine")
        assert session.question() == pending and session.looks == 14
        known = session.answers()
        assert known[first] == "2" and known[second] == "not mine" and len(session.labels()) == 12
    with session_of(tmp_path) as session:
        assert session.answers() == known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(classes="cat"), "classes must be a list of names"),
        (dict(classes=["cat", " "]), "classes must be a list of names"),
        (dict(classes=["cat", "cat"]), "names of their own"),
        (dict(classes=["cat", "skip"]), "skip is an answer for images of no class"),
        (dict(budget=0), "budget must be a whole number from 1 up"),
        (dict(test_share=1.0), "test_share must be a number from 0 to 0.9"),
        (dict(stage_looks=0), "stage_looks must be"),
        (dict(strategy="oracle_random"), "sees hidden labels"),
        (dict(strategy="cautious"), "did you mean 'cautious_coverage'"),
        (dict(features="resnet5"), "unknown features 'resnet5'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        session_of(tmp_path, 20, **options)
    session_of(tmp_path, 20).close()  # and nothing is left locked


def test_classes_may_be_added_but_none_with_answers_left_out(tmp_path):
    with session_of(tmp_path) as session:
        session.answer(session.question().number, "2")
    with pytest.raises(ValueError, match="has answers '2', which are not among the classes"):
        session_of(tmp_path, classes=["0", "1"])
    with session_of(tmp_path, classes=["9", "2", "0"]) as session:
        assert list(session.answers().values()) == ["2"] and sorted(session.answers_N)[-1] == 1


def test_empty_folder_and_a_session_within_the_folder_are_refused(tmp_path):
    folder = folder_of_digits(tmp_path, 5)
    images = labelling.scan(folder, keep=tmp_path / "keep")
    with pytest.raises(ValueError, match="never written to"):
        labelling.Session(folder / "session", images, DIGITS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        labelling.Session(tmp_path / "s", labelling.scan(tmp_path / "empty"), DIGITS)


def test_folder_is_never_written_to(tmp_path):
    folder = folder_of_digits(tmp_path, 40)
    before, times = contents(folder), {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with session_of(tmp_path, folder=folder) as session:
        labelling.run(session, truth, 25)
        session.undo(), session.picture(0)
        labelling.labels_csv(session), labelling.predictions_csv(session), labelling.map_page(session, projector="pca")
        labelling.sorted_copies(session, tmp_path / "sorted")
        labelling.sorted_copies(session, tmp_path / "links", link=True)
        for place in (folder / "labels.csv", folder / "sub" / "labels.csv"):
            with pytest.raises(ValueError, match="never written to"):
                labelling.labels_csv(session, place)
    assert contents(folder) == before
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())} == times
    folder.chmod(0o755)


def test_same_answers_lead_to_the_same_questions(tmp_path):
    asked = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        with session_of(tmp_path / place, 60) as session:
            labelling.run(session, truth, 35)
            asked.append([(row["path"], row["answer"], row["why"]) for row in session.labels()])
    assert asked[0] == asked[1]


@pytest.mark.parametrize("annotator", [dict(error=0.05), dict(ambiguous_when_hard=True)], ids=["errs", "unsure"])
def test_simulated_from_a_folder_to_labels(tmp_path, annotator):
    """MixDigits as PNG files, asked of an annotator who is not perfect: the classifier learns."""
    benchmark = load("mixdigits")
    folder = labelling.write_folder(benchmark, tmp_path / "digits", 500)
    images = labelling.scan(folder, keep=tmp_path / "session")
    scripted = labelling.Scripted(benchmark, **annotator, seed=1)
    options = dict(features=features_for(images, tmp_path), budget=160, stage_looks=40)
    with labelling.Session(tmp_path / "session", images, benchmark.class_names, **options) as session:
        assert labelling.run(session, scripted) == 160
        position = [int(path[:6]) for path in images.paths]
        is_id, labels = benchmark.pool.category_N[position] == ID, benchmark.pool.labels_N[position]
        right = (session.predictions()[:, :-1].argmax(1) == labels)[is_id].mean()
        status = session.status()
        assert right > 0.7 and status.accuracy.n >= 5 and sum(status.by_kind.values()) == 160
        rows = session.labels()
        pool = benchmark.pool
        said = {row["path"]: row["answer"] for row in rows}
        true = {path: str(pool.labels_N[int(path[:6])]) for path in said if pool.category_N[int(path[:6])] == ID}
        wrong = sum(said[path] != label for path, label in true.items())
        if "error" in annotator:
            assert 0 < wrong <= 16 and set(said.values()) >= {"ambiguous", "not mine"}
        else:
            assert wrong > 0 and all(said[path] in (label, "ambiguous") for path, label in true.items())
        assert scripted(session.question() or labelling.Question(0, 0, rows[0]["path"], "", False)) == rows[0]["answer"]


@pytest.mark.slow
def test_next_image_is_there_within_200_ms_at_100_000_images(tmp_path):
    images, features = pool_without_files(tmp_path, 100_000, width=64)
    names = [f"class {k}" for k in range(10)]
    options = dict(features=features, alike=1, stage_looks=20, test_share=0.1)
    with labelling.Session(tmp_path / "session", images, names, **options) as session:
        stream, seconds = np.random.default_rng(0), []
        for _ in range(300):
            time.sleep(0.03)  # a quick person; fits go on meanwhile
            start = time.perf_counter()
            question = session.question()
            session.upcoming(8), session.neighbours(question.position), session.opinion(question.position)
            session.status()
            session.answer(question.number, str(stream.choice([*names, "not mine"])))
            seconds.append(time.perf_counter() - start)
        assert session.status().looks == 300 and np.quantile(seconds, 0.95) < 0.2, np.quantile(seconds, [0.5, 0.95, 1])


def test_nothing_goes_wrong_when_many_threads_answer(tmp_path):
    """A front end may deliver messages in several threads."""
    with session_of(tmp_path, 60, stage_looks=5) as session:

        def answer():
            for _ in range(10):
                question = session.question()
                session.answer(question.number, "1")
                os.sched_yield()

        threads = [threading.Thread(target=answer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 10 <= session.looks <= 40 and len(answers_of(session)) == session.looks
