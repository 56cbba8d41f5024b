"""Labels that look wrong: confident learning on predictions of models that never saw the picture.

C. Northcutt, L. Jiang, I. Chuang, "Confident learning: estimating uncertainty in dataset labels" (JAIR 2021), by
cleanlab. The features are histograms of oriented gradients (Dalal and Triggs 2005), the models logistic regressions.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from pipeline.config.sections import LINE_SIZES, PUBLIC_SIZES
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet
from pipeline.core.lines import PictureSet
from pipeline.data import splits
from pipeline.data.exclusions import pixel_digest

_CELLS = {1: 4, 3: 8}
"""Sides of the cells of the histograms in pixels, by the channels of the pictures."""
_PENALTY = 0.01
"""Inverse strength of the L2 penalty, on features of unit variance."""


@dataclass(frozen=True)
class Labelled:
    """Pictures of one object each with their published labels.

    Attributes:
        images: uint8 (n, H, W, C).
        labels: int (n,), indices of `class_names`.
        class_names: of all classes.
        part: str (n,), the raw set or the split that each picture belongs to.
        index: int (n,), of the picture that was fetched, within its file.
        place: int (n,), which digit of that picture, from 1; 0 where it is one object.
        sha256: str (n,), the digest of the pixels of that picture.
        published: str (n,), the whole label of that picture.
        origin: of the source.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    part: np.ndarray
    index: np.ndarray
    place: np.ndarray
    sha256: np.ndarray
    published: np.ndarray
    origin: str


@dataclass(frozen=True)
class Suspect:
    """A label that looks wrong.

    Attributes:
        row: of `Labelled`.
        predicted: the most probable class, out of fold.
        probability: of that class.
        quality: the probability of the given class, 0 to 1; the lowest is the first suspect.
    """

    row: int
    predicted: str
    probability: float
    quality: float


def load(source: str, folder: Path) -> Labelled:
    """The pictures of a source; of lines, every digit whose box is known.

    Args:
        source: its name.
        folder: what `fetch` wrote.

    Raises:
        DataError: a file is missing or damaged, or there is nothing to compare.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise DataError(f"{folder}: no .npz file; expected the pictures that `fetch` writes")
    if source in PUBLIC_SIZES:
        return _singles({file.stem: ImageSet.load(file) for file in files})
    return _digits(PictureSet.load(files[0]), folder)


def find(labelled: Labelled, *, folds: int, seed: int) -> list[Suspect]:
    """The labels that are probably wrong, the most suspicious first.

    Args:
        labelled: pictures with labels.
        folds: parts; each is predicted by a model of the others.
        seed: of the parts.

    Raises:
        DataError: a class has fewer pictures than there are folds, or there is only one class.
    """
    classes, targets, counts = np.unique(labelled.labels, return_inverse=True, return_counts=True)
    names = [labelled.class_names[index] for index in classes]
    if len(classes) < 2 or counts.min() < folds:
        raise DataError(
            f"class {names[int(counts.argmin())]} has {counts.min()} pictures; expected two classes at least, with "
            f"{folds} pictures each, as many as folds"
        )
    probabilities = out_of_fold(features(labelled.images), targets, folds=folds, seed=seed)
    issues = find_label_issues(targets, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    quality = get_label_quality_scores(targets, probabilities, method="self_confidence")
    return [
        Suspect(
            row=int(row),
            predicted=names[int(probabilities[row].argmax())],
            probability=float(probabilities[row].max()),
            quality=float(quality[row]),
        )
        for row in issues
    ]


def features(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients with mean 0 and variance 1 each, float32 (n, k).

    Args:
        images: uint8 (n, H, W, C), C is 1 or 3.
    """
    channels = images.shape[-1]
    cell = _CELLS[channels]
    made = np.stack(
        [
            hog(
                image if channels == 3 else image[..., 0],
                orientations=9,
                pixels_per_cell=(cell, cell),
                cells_per_block=(2, 2),
                channel_axis=-1 if channels == 3 else None,
            ).astype(np.float32)
            for image in images
        ]
    )
    made -= made.mean(axis=0)
    made /= np.maximum(made.std(axis=0), 1e-3)
    return made


def out_of_fold(values: np.ndarray, targets: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """The probability of each class for every picture, by a model that was not fitted on it, float64 (n, classes).

    Args:
        values: float32 (n, k), features.
        targets: int (n,), 0 to classes - 1.
        folds: parts, stratified by class.
        seed: of the parts.
    """
    found = np.zeros((len(targets), int(targets.max()) + 1))
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # One thread: sums in another order would be other probabilities, and threads wait for each other on a busy machine.
    with threadpool_limits(1):
        for fitted, predicted in parts.split(values, targets):
            model = LogisticRegression(C=_PENALTY, max_iter=200, tol=1e-3).fit(values[fitted], targets[fitted])
            found[predicted] = model.predict_proba(values[predicted])
    return found


def _singles(sets: dict[str, ImageSet]) -> Labelled:
    every = list(sets.values())
    labels = np.concatenate([each.labels[:, 0] for each in every]).astype(int)
    names = every[0].class_names
    return Labelled(
        images=np.concatenate([each.images for each in every]),
        labels=labels,
        class_names=names,
        part=np.repeat(list(sets), [len(each) for each in every]),
        index=np.concatenate([np.arange(len(each)) for each in every]),
        place=np.zeros(len(labels), int),
        sha256=np.array([pixel_digest(image) for each in every for image in each.images]),
        published=np.array([names[label] for label in labels]),
        origin=every[0].origin,
    )


def _digits(pictures: PictureSet, folder: Path) -> Labelled:
    divided = splits.by_name([picture.name for picture in pictures], LINE_SIZES)
    split_of = {row: split for split, rows in divided.items() for row in rows}
    crops, rows = [], []
    for number, picture in enumerate(pictures):
        digest, text = pixel_digest(picture.pixels), "".join(map(str, picture.digits.tolist()))
        if picture.boxes is None:
            continue
        for place, (digit, box) in enumerate(zip(picture.digits, picture.boxes, strict=True), 1):
            crop = _crop(picture.pixels, box)
            if crop is not None:
                crops.append(crop)
                rows.append((int(digit), split_of[number], number, place, digest, text))
    if not crops:
        raise DataError(f"{folder}: no picture with boxes; digits of lines are compared one by one")
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    labels, part, index, places, digests, published = columns
    return Labelled(np.stack(crops), labels, DIGIT_NAMES, part, index, places, digests, published, pictures.origin)


def _crop(pixels: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """A digit of a grey picture, light on dark, uint8 (28, 28, 1); None where its box holds no pixel."""
    x0, y0, x1, y1 = np.rint(box).astype(int)
    held = pixels[max(y0, 0) : y1, max(x0, 0) : x1]
    if not held.size or held.shape[0] < 2 or held.shape[1] < 2:
        return None
    # Amounts are dark on light; the border of the picture says which it is.
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    drawn = 255 - held if np.median(border) > 127 else held
    darkest = int(drawn.min())
    stretched = ((drawn - np.uint8(darkest)) * (255 / max(1, int(drawn.max()) - darkest))).astype(np.uint8)
    scale = (DIGIT - 4) / max(stretched.shape)
    height, width = (max(1, round(side * scale)) for side in stretched.shape)
    small = cv2.resize(stretched, (width, height), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((DIGIT, DIGIT, 1), np.uint8)
    top, left = (DIGIT - small.shape[0]) // 2, (DIGIT - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1], 0] = small
    return canvas
