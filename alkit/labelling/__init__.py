"""A person as the oracle: label a folder of images, asked in the order of an acquisition strategy.

    images = labelling.scan("photos")
    session = labelling.Session(labelling.default_keep("photos"), images, ["cat", "dog"])

The folder is never written to, every answer is on the disk before the next question, and nothing goes over the network.
"""

from alkit.labelling.annotators import Scripted, run, write_folder
from alkit.labelling.answers import AMBIGUOUS, NOT_MINE, SKIP
from alkit.labelling.export import (
    as_benchmark,
    contact_sheet,
    labels_csv,
    likely_errors,
    map_page,
    predictions_csv,
    save_benchmark,
    sorted_copies,
)
from alkit.labelling.features import seconds_for
from alkit.labelling.images import Images, default_keep, near_duplicates, scan
from alkit.labelling.session import Question, Session, Status

__all__ = [
    "AMBIGUOUS",
    "NOT_MINE",
    "SKIP",
    "Images",
    "Question",
    "Scripted",
    "Session",
    "Status",
    "as_benchmark",
    "contact_sheet",
    "default_keep",
    "labels_csv",
    "likely_errors",
    "map_page",
    "near_duplicates",
    "predictions_csv",
    "run",
    "save_benchmark",
    "scan",
    "seconds_for",
    "sorted_copies",
    "write_folder",
]
