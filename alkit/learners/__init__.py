"""Learners: each turns images and the oracle's answers into features and class probabilities of the whole pool.

A learner knows no benchmark and no strategy. It sees the pool's images, the answers so far and a recipe:

    learner.fit(answers_N, stage)        answers: -1 not asked, 0..K-1 an iD class, K non-iD
    learner.show() -> Shown              features and probabilities of every pool image, in evaluation mode
    learner.predict(images) -> probs     of other images
    learner.state() / learner.restore()  tensors that bring a killed run back, bit for bit

The `stage` names the random streams that a fit draws from, so a fit depends on nothing but its arguments (and, for
`contrastive`, on the weights of the stage before).
"""

import inspect

from alkit.learners.base import Setting, Shown, labelled_rows, probabilities, train_on_labelled
from alkit.learners.contrastive import Contrastive
from alkit.learners.pretrained import Pretrained
from alkit.learners.probe import Probe
from alkit.learners.semi_supervised import SemiSupervised
from alkit.learners.supervised import SpectralSupervised, Supervised
from alkit.options import check_name, check_value

__all__ = [
    "LEARNERS",
    "Contrastive",
    "Pretrained",
    "Probe",
    "SemiSupervised",
    "Setting",
    "Shown",
    "SpectralSupervised",
    "Supervised",
    "get",
    "labelled_rows",
    "probabilities",
    "train_on_labelled",
]
LEARNERS = {
    "supervised": Supervised,
    "supervised_sn": SpectralSupervised,
    "contrastive": Contrastive,
    "probe": Probe,
    "semi_supervised": SemiSupervised,
    "pretrained": Pretrained,
}


def get(name: str, options: dict | None = None) -> type:
    """The learner called `name`; ValueError for an unknown name, option or value, listing what there is."""
    check_name(name, LEARNERS, "learner")
    known = {n: p for n, p in inspect.signature(LEARNERS[name]).parameters.items() if p.kind is p.KEYWORD_ONLY}
    for option, value in (options or {}).items():
        check_name(option, known, "option", of=f"learner {name!r}")
        check_value(value, known[option].annotation, f"learner {name!r}: {option}")
    return LEARNERS[name]
