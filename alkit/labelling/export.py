"""What comes out of a session: tables, a contact sheet, a map, sorted copies, and a benchmark to run cells on."""

import io
import os
import re
import shutil
from pathlib import Path
from typing import Annotated

import numpy as np

from alkit import explorer, rng
from alkit.benchmarks import AMBIGUOUS as KIND_AMBIGUOUS
from alkit.benchmarks import ID, OOD, Benchmark, Part, assemble, own
from alkit.labelling.answers import AMBIGUOUS, NOT_MINE, SKIP
from alkit.labelling.images import SMALL, hash_of, opened, outside
from alkit.labelling.session import JUNK, Session
from alkit.learners.regression import Regression
from alkit.options import Range, check_value
from alkit.paths import OWN, pools_folder
from alkit.store import StoreError, csv_bytes, write_atomic

FOLDS = 5  # to predict each answer by a classifier that has not learned it
TILE, COLUMNS, CAPTION = 160, 6, 52  # px and number of the pictures of a contact sheet, px of the text under each


def _place(session: Session, path: str | Path | None, name: str) -> Path:
    """`path`, by default `name` in the session's folder. ValueError where it lies in the folder of images."""
    return outside(Path(path or session.where / name).expanduser().resolve(), session.images.folder)


def labels_csv(session: Session, path: str | Path | None = None) -> Path:
    """Write every answer to a table: path, answer, time, annotator, why it was asked, whether as a test; its path."""
    path = _place(session, path, "labels.csv")
    columns = ("path", "answer", "time", "annotator", "why", "test")
    write_atomic(path, csv_bytes(session.labels(), columns, header=True))
    return path


def predictions_csv(session: Session, path: str | Path | None = None) -> Path:
    """Write what the classifier says of every file: what it predicts, P(iD), a column for each class; its path."""
    path, images = _place(session, path, "predictions.csv"), session.images
    probs_NC, predicted = session.predictions(), predictions(session)
    rows = []
    for position in range(len(images)):
        numbers = {f"P({c})": f"{p:.6g}" for c, p in zip((*session.classes, JUNK), probs_NC[position], strict=True)}
        made = {"predicted": predicted[position], "P(iD)": f"{1 - probs_NC[position, -1]:.6g}", **numbers}
        rows += [{"path": one, **made} for one in images.all_paths(position)]
    columns = ("path", "predicted", "P(iD)", *(f"P({name})" for name in (*session.classes, JUNK)))
    write_atomic(path, csv_bytes(rows, columns, header=True))
    return path


def predictions(session: Session) -> list[str]:
    """What is predicted for each image: a class, "ambiguous" or "not mine".

    The classifier has one column for both of the last; the nearest image with one of these answers tells which.
    """
    probs_NC, values = session.predictions(), session.answers()
    unit_ND = session.learning.unit_ND
    junk = np.array([position for position, value in values.items() if value in (AMBIGUOUS, NOT_MINE)], np.int64)
    found = [session.classes[k] for k in probs_NC[:, :-1].argmax(1)]
    for position in np.flatnonzero(probs_NC.argmax(1) == len(session.classes)).tolist():
        nearest = (unit_ND[junk] @ unit_ND[position]).argmax() if len(junk) else None  # None: they were taken back
        found[position] = NOT_MINE if nearest is None else values[int(junk[nearest])]
    return found


def likely_errors(session: Session, most: int = 24) -> list[dict]:
    """The answers that the classifier contradicts most: position, path, answer, its probability, what is predicted.

    Each is predicted by a classifier that has not learned it (5 folds). Answers that fewer than 5 images have are not
    judged. Look at them again with `session.again(positions)`.
    """
    values = {position: value for position, value in session.answers().items() if value != SKIP}
    rows, codes = np.array(list(values), np.int64), np.array([session.book.code(value) for value in values.values()])
    n_outputs = len(session.classes) + 1
    often = np.bincount(codes, minlength=n_outputs)[codes] >= FOLDS if len(codes) else np.zeros(0, bool)
    if not often.any():
        return []
    fold_L = rng.numpy_stream(session.seed, "folds").permutation(len(rows)) % FOLDS
    probs_LC, recipe = np.zeros((len(rows), n_outputs)), session.learning.learner.setting.recipe
    unit_LD = session.learning.unit_ND[rows]
    for fold in range(FOLDS):
        known = fold_L != fold
        model = Regression.fit(unit_LD[known], codes[known], n_outputs, c=recipe.probe_c, n_threads=recipe.cpu_threads)
        probs_LC[~known] = model.probs(unit_LD[~known])
    own_L = probs_LC[np.arange(len(rows)), codes]
    wrong = np.flatnonzero(often & (probs_LC.argmax(1) != codes))
    names = (*session.classes, JUNK)
    return [
        {
            "position": int(rows[i]),
            "path": session.images.paths[rows[i]],
            "answer": values[int(rows[i])],
            "probability": float(own_L[i]),
            "predicted": names[probs_LC[i].argmax()],
        }
        for i in wrong[np.argsort(own_L[wrong], kind="stable")][:most].tolist()
    ]


def contact_sheet(session: Session, path: str | Path | None = None, most: int = 24) -> Path:
    """Write a PNG of the images whose answers are likely errors, each with its answer and what is predicted; its path.

    ValueError where no answer is contradicted.
    """
    from PIL import Image, ImageDraw

    path, rows = _place(session, path, "likely_errors.png"), likely_errors(session, most)
    if not rows:
        raise ValueError("no answer is contradicted by the classifier, so there is no sheet of likely errors")
    height = -(-len(rows) // COLUMNS) * (TILE + CAPTION)
    sheet = Image.new("RGB", (COLUMNS * TILE, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        x, y = number % COLUMNS * TILE, number // COLUMNS * (TILE + CAPTION)
        image = opened(session.images.bytes_of(row["position"]), TILE)
        scale = (TILE - 8) / max(image.size)
        how = Image.Resampling.NEAREST if scale > 4 else Image.Resampling.BICUBIC  # a few pixels are shown as pixels
        image = image.resize([max(1, round(length * scale)) for length in image.size], how)
        sheet.paste(image, (x + (TILE - image.width) // 2, y + (TILE - image.height) // 2))
        predicted = "no class" if row["predicted"] == JUNK else row["predicted"]
        lines = (f"answered {row['answer']}", f"predicted {predicted}", Path(row["path"]).name)
        for line, text in enumerate(lines):
            draw.text((x + 4, y + TILE + 14 * line), text[:28], "black")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
    return path


def map_page(session: Session, path: str | Path | None = None, *, projector: str | None = None) -> Path:
    """Write the explorer page of the images' features, with answers and predictions to colour by; its path."""
    path, values, images = _place(session, path, "map.html"), session.answers(), session.images
    table: dict = {"answer": [values.get(position, "") for position in range(len(images))]}
    if session.opinion(0) is not None:
        table |= {"predicted": predictions(session), "P(iD)": 1 - session.predictions()[:, -1]}
    pixels, features = images.pixels(SMALL), np.asarray(session.learning.features_ND, np.float32)
    about = f"{len(images)} images of {images.folder.name}, {len(values)} of them with an answer"
    return explorer.write(path, features, pixels, table, title="Your images", about=about, projector=projector)


def sorted_copies(session: Session, folder: str | Path, *, link: bool = False) -> int:
    """Copy every file with an answer into a subfolder of `folder` named after the answer; how many there are.

    `link`: symbolic links in place of copies. A file that is there already is left alone; where an answer has changed
    since, the copy under the old one is removed. ValueError where `folder` is in the folder of images, StoreError where
    it cannot be written to.
    """
    folder = outside(Path(folder).expanduser().resolve(), session.images.folder)
    names, done = folder_names((*session.classes, AMBIGUOUS, NOT_MINE)), 0
    for row in session.labels():
        source = session.images.folder / row["path"]
        if row["answer"] == SKIP or not source.is_file():
            continue
        target = folder / names[row["answer"]] / row["path"].replace("/", "__")
        try:
            for name in names.values():
                old = folder / name / target.name
                if old != target and old.is_file() and hash_of(old) == hash_of(source):
                    old.unlink()
            target.parent.mkdir(parents=True, exist_ok=True)
            if link and not target.is_symlink():
                os.symlink(source, target)
            elif not link and not target.exists():
                part = target.with_name(f".{os.getpid()}.part")
                shutil.copyfile(source, part)
                os.replace(part, target)
        except OSError as error:
            raise StoreError(f"could not write {target}: {error.strerror}; choose another folder") from error
        done += 1
    return done


def folder_names(answers: tuple[str, ...]) -> dict[str, str]:
    """A folder's name for each answer: letters, digits, space, dot, dash; no two alike, whatever the case."""
    names: dict[str, str] = {}
    for answer in answers:
        name = re.sub(r"[^\w .-]", "_", answer).strip(". ") or "_"
        while name.lower() in {taken.lower() for taken in names.values()}:
            name += "_"
        names[answer] = name
    return names


def as_benchmark(session: Session, *, test: float = 0.3, side: int = SMALL, name: str = "mine") -> Benchmark:
    """The images with an answer as a benchmark: `test` of each class as its test set, all others its pool.

    Images are RGB of `side` px. `save_benchmark` keeps it for cells and for the other notebooks. ValueError where a
    class has fewer than two answers.
    """
    check_value(test, Annotated[float, Range(0, 1, above=True)], "test")
    values = {position: value for position, value in session.answers().items() if value != SKIP}
    rows = np.array(sorted(values), np.int64)
    images = np.asarray(session.images.pixels(side)[rows]).transpose(0, 2, 3, 1)
    answers = [values[int(row)] for row in rows]
    codes = np.array([session.book.code(answer) for answer in answers])
    tested = np.zeros(len(rows), bool)
    for k, label in enumerate(session.classes):
        mine = rng.numpy_stream(session.seed, "test set", k).permutation(np.flatnonzero(codes == k))
        if len(mine) < 2:
            raise ValueError(f"a benchmark needs two images of each class or more, {label!r} has {len(mine)}")
        tested[mine[: min(len(mine) - 1, max(1, round(test * len(mine))))]] = True
    pool, junk = ~tested, codes == len(session.classes)
    unclear = np.array([answer == AMBIGUOUS for answer in answers])
    parts = [
        Part(ID, "answered", images[pool & ~junk], codes[pool & ~junk]),
        Part(KIND_AMBIGUOUS, AMBIGUOUS, images[unclear]),
        Part(OOD, NOT_MINE, images[junk & ~unclear]),
    ]
    parts = [part for part in parts if len(part.images)]
    return assemble(name, parts, images[tested], codes[tested], session.classes)[0]


def save_benchmark(session: Session, name: str = "mine", *, test: float = 0.3, side: int = SMALL) -> Benchmark:
    """Keep `as_benchmark` of the session as own-<name> in the data folder, and return it.

    From then on `benchmarks.load("own-mine")`, cells and notebooks find it, in every process. One that was saved under
    that name is replaced. ValueError for a name of other than small letters, digits and _, or with too few answers.
    """
    benchmark = as_benchmark(session, test=test, side=side, name=f"{OWN}-{name}")
    outside(pools_folder(), session.images.folder)
    own.save(benchmark)
    return benchmark
