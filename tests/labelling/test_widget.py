"""The widget's Python side, without a browser: each message, its acknowledgement, and what is refused or kept."""

import pytest
from labelling_fake import CLASSES, EVIL_CLASS, FakeSession
from labelling_page import Kernel

from alkit.labelling.widget import LARGEST, QUESTIONS, SMALLEST, THUMBNAIL, class_keys
from alkit.store import StoreError


@pytest.fixture
def session(tmp_path):
    return FakeSession(tmp_path)


@pytest.fixture
def kernel(session):
    return Kernel(session)


def said(kernel, **message):
    """What the kernel says to one message."""
    return [content for content, _ in kernel.say(message)]


def answer(kernel, number, text="cat", path=None, id="x"):
    (reply,) = said(
        kernel, kind="answer", id=id, number=number, path=path or f"folder/image {number - 1}.png", answer=text
    )
    return reply


def test_each_class_has_a_digit_and_the_first_letter_that_no_other_key_has():
    names = ("cat", "cow", "aou", "Émeu", "c", "2 dogs", "owl", "x-ray", "zebra", "yak", "yyy", "bat")
    keys = class_keys(names)
    assert [one["name"] for one in keys] == list(names)
    assert [one["digit"] for one in keys] == [*"123456789", "", "", ""]
    assert [one["letter"] for one in keys] == ["c", "w", "", "é", "", "d", "l", "x", "z", "y", "e", "b"]


def test_a_class_that_is_called_by_a_digit_has_that_digit():
    assert [one["digit"] for one in class_keys(tuple("0123456789"))] == [*"0123456789"]
    assert [one["digit"] for one in class_keys(("cat", "2", "dog", "10", "7"))] == ["1", "2", "3", "4", "7"]


def test_state_names_the_questions_in_hand_and_the_pictures_to_load(kernel):
    (reply,) = said(kernel, kind="hello")
    state = reply["state"]
    assert [one["number"] for one in state["questions"]] == list(range(1, QUESTIONS + 1))
    assert state["questions"][0]["path"] == "folder/image 0.png"
    assert state["upcoming"] == list(range(1, 22))
    assert state["last"] is None and state["finished"] is None
    assert [one["name"] for one in state["classes"]] == list(CLASSES)


def test_an_answer_is_saved_before_it_is_acknowledged(kernel, session):
    reply = answer(kernel, 1, EVIL_CLASS)
    assert reply["ack"] == "x" and "refused" not in reply
    assert session.answers() == {0: EVIL_CLASS}
    assert reply["state"]["last"] == 1 and reply["state"]["questions"][0]["number"] == 2


def test_an_answer_sent_again_is_acknowledged_and_changes_nothing(kernel, session):
    answer(kernel, 1, "cat")
    kernel.restart()  # as after a kill of the kernel
    assert "refused" not in answer(kernel, 1, "cat", id="y")
    assert session.answers() == {0: "cat"}


def test_another_answer_to_what_is_answered_is_not_called_saved(kernel, session):
    answer(kernel, 1, "cat")  # by another page, or in another cell
    assert answer(kernel, 1, "cow", id="y")["refused"] == "its answer is “cat” already"
    assert session.answers() == {0: "cat"}


def test_answers_are_for_their_question_in_whatever_order_they_come(kernel, session):
    answer(kernel, 3, "cow")
    answer(kernel, 1, "cat")
    assert session.answers() == {2: "cow", 0: "cat"}


def test_an_answer_to_another_image_or_of_an_unknown_word_or_number_is_refused(kernel, session):
    assert "another image" in answer(kernel, 1, path="moved.png")["refused"]
    assert "unknown answer" in answer(kernel, 1, "horse")["refused"]
    assert "was not asked" in answer(kernel, 99)["refused"]
    assert session.given == {}


def test_an_answer_that_the_disk_does_not_take_is_not_acknowledged(kernel, session):
    session.trouble = StoreError("no space is left")
    reply = answer(kernel, 1)
    assert "ack" not in reply and reply["trouble"] == "no space is left"
    session.trouble = None
    assert answer(kernel, 1)["ack"] == "x"
    assert session.answers() == {0: "cat"}


def test_a_closed_session_says_so_and_acknowledges_nothing(kernel, session):
    def closed(n):
        raise StoreError("this session is closed")

    session.questions = closed
    assert answer(kernel, 1) == {"kind": "state", "trouble": "this session is closed"}


def test_an_answer_is_acknowledged_even_where_no_further_question_can_be_put(kernel, session):
    def full(number, text):
        session.given[number] = (session.waiting.pop(), text)
        session.questions = fail

    def fail(n):
        raise StoreError("the disk is full")

    said(kernel, kind="hello")
    session.answer = full
    assert answer(kernel, 1) == {"kind": "state", "ack": "x", "trouble": "the disk is full"}


def test_an_undo_takes_back_the_answer_that_it_names_and_no_other_when_sent_again(kernel, session):
    answer(kernel, 1, "cat")
    answer(kernel, 2, "cow")
    (reply,) = said(kernel, kind="undo", id="u", number=2)
    assert reply["ack"] == "u" and session.answers() == {0: "cat"}
    first = reply["state"]["questions"][0]
    assert first["path"] == "folder/image 1.png" and first["number"] not in (1, 2)
    (reply,) = said(kernel, kind="undo", id="u", number=2)
    assert reply["ack"] == "u" and session.answers() == {0: "cat"}
    answer(kernel, 2, "cow")  # sent again, too late: it was taken back
    assert session.answers() == {0: "cat"}


def test_pictures_have_the_size_of_the_page_within_bounds_and_a_bad_file_says_why(kernel, session):
    asked = []

    def picture(position, longest):
        asked.append(longest)
        if position == 1:
            raise OSError("its file is gone")
        return b"picture"

    session.picture = picture
    replies = kernel.say({"kind": "pictures", "positions": [0, 1], "thumbnail": False, "longest": 640})
    assert replies[0][1] == ["cGljdHVyZQ=="] and replies[0][0]["position"] == 0
    assert replies[1] == [{"kind": "picture", "position": 1, "thumbnail": False, "trouble": "its file is gone"}, []]
    for longest in (1, 99_999):
        kernel.say({"kind": "pictures", "positions": [0], "thumbnail": False, "longest": longest})
    kernel.say({"kind": "pictures", "positions": [0], "thumbnail": True})
    assert asked == [640, 640, SMALLEST, LARGEST, THUMBNAIL]


def test_neighbours_and_the_opinion_are_of_the_image_asked_about(kernel):
    assert said(kernel, kind="opinion", position=5) == [{"kind": "opinion", "position": 5, "opinion": None}]
    for number in (1, 2, 3):
        answer(kernel, number)
    (reply,) = said(kernel, kind="neighbours", position=5)
    assert reply["neighbours"][0] == {"position": 2, "answer": "cat", "similarity": 0.9}
    (reply,) = said(kernel, kind="opinion", position=5)
    assert reply["opinion"][0][0] == EVIL_CLASS
