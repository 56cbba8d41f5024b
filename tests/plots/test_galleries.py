"""Galleries of readings: which pictures they show, their captions and their boxes."""

import evaluations
import numpy as np
import pytest
from evaluations import singles, strips
from onnx_models import CIFAR_NAMES
from PIL import Image

from pipeline.core.images import BLANK, DIGIT_NAMES, STRIP_NAMES
from pipeline.evaluation.detection import true_positives
from pipeline.evaluation.evaluated import Evaluated
from pipeline.plots import galleries, style


def of(pictures, wrong=0.2, positional=True):
    """Noisy readings of pictures."""
    return Evaluated.of(evaluations.noisy(pictures, wrong), pictures, positional)


@pytest.mark.parametrize("names", [STRIP_NAMES, DIGIT_NAMES, CIFAR_NAMES], ids=["strips", "digits", "cifar10"])
def test_galleries_of_every_kind_of_picture_are_drawn(tmp_path, names):
    evaluated = of(strips(40) if names is STRIP_NAMES else singles(40, names))
    for draw in (galleries.errors, galleries.examples):
        style.save(draw(evaluated, "title"), tmp_path / "drawn.png")
        with Image.open(tmp_path / "drawn.png") as drawn:
            assert drawn.info.keys() <= {"dpi"}, "neither date nor program"
            assert len(np.unique(np.asarray(drawn.convert("L")))) > 20


def test_the_most_confident_errors_come_first_with_their_caption():
    evaluated = of(strips(300))
    shown = galleries.confident_errors(evaluated)
    assert len(shown) == galleries.ERRORS
    assert np.all(np.diff(evaluated.readings.confidence[shown]) <= 0)
    drawn = galleries.errors(evaluated, "slice on plain, valid")
    first = shown[0]
    predicted, target = (
        galleries.as_text(rows[first], STRIP_NAMES) for rows in (evaluated.readings.classes, evaluated.pictures.labels)
    )
    confidence = evaluated.readings.confidence[first]
    caption = drawn.axes[0].get_title("left").replace("\n", ", ")
    assert caption == f"predicted {predicted}, target {target}, confidence {confidence:.2f}"
    assert "slice on plain, valid" in drawn.get_suptitle()


def test_no_errors_make_a_gallery_without_pictures(tmp_path):
    drawn = galleries.errors(of(strips(10), wrong=0), "none")
    assert [len(axis.images) for axis in drawn.axes] == [0] * len(drawn.axes)
    assert drawn.axes[0].texts[0].get_text()
    style.save(drawn, tmp_path / "none.png")


@pytest.mark.parametrize(
    ("classes", "names", "expected"),
    [
        pytest.param([1, BLANK, 2], STRIP_NAMES, "12", id="digits"),
        pytest.param([BLANK], STRIP_NAMES, "nothing", id="nothing"),
        pytest.param([1], CIFAR_NAMES, "automobile", id="a class"),
        pytest.param([BLANK], DIGIT_NAMES, "class 10", id="a class without a name"),
    ],
)
def test_a_reading_as_text(classes, names, expected):
    assert galleries.as_text(np.array(classes), names) == expected


def test_examples_are_the_first_correct_readings_and_the_most_confident_errors():
    evaluated = evaluations.scenes()
    drawn = galleries.examples(evaluated, "detector on scenes")
    captions = [axis.get_title("left").replace("\n", ", ") for axis in drawn.axes]
    confidence = evaluated.readings.confidence

    def text(rows, index):
        return galleries.as_text(rows[index], STRIP_NAMES)

    targets, read = evaluated.pictures.labels, evaluated.readings.classes
    first = np.flatnonzero(evaluated.correct)[: galleries.EACH]
    wrong = galleries.confident_errors(evaluated, galleries.EACH)
    assert [caption for caption in captions if caption and "target" not in caption] == [
        f"predicted {text(targets, index)}, confidence {confidence[index]:.2f}" for index in first
    ]
    assert [caption for caption in captions if "target" in caption] == [
        f"predicted {text(read, index)}, target {text(targets, index)}, confidence {confidence[index]:.2f}"
        for index in wrong
    ]


def test_boxes_are_drawn_at_their_pixels_and_coloured_by_whether_they_are_true_positives():
    evaluated = evaluations.scenes()
    readings, pictures = evaluated.readings, evaluated.pictures
    drawn = galleries.errors(evaluated, "detector on scenes")
    shown = galleries.confident_errors(evaluated)
    true, read = pictures.labels[shown[0]] != BLANK, readings.classes[shown[0]] != BLANK
    patches = drawn.axes[0].patches
    dashed, solid = ([p for p in patches if (p.get_linestyle() == "solid") is kind] for kind in (False, True))
    assert [patch.get_xy() for patch in dashed] == [tuple(box[:2] - 0.5) for box in pictures.boxes[shown[0]][true]]
    assert [(patch.get_width(), patch.get_height()) for patch in dashed] == [(20, 20)] * true.sum()
    assert [patch.get_xy() for patch in solid] == [tuple(box[:2] - 0.5) for box in readings.boxes[shown[0]][read]]
    labels = [text.get_text() for text in drawn.axes[0].texts]
    assert labels == [str(name) for name in readings.classes[shown[0]][read]]
    hits = true_positives(readings, pictures)
    colours = [text.get_color() for axis in drawn.axes for text in axis.texts]
    expected = [hit for index in shown for hit in hits[index][readings.classes[index] != BLANK]]
    assert colours == [galleries.TRUE_POSITIVE if hit else galleries.FALSE_POSITIVE for hit in expected]
    assert len(set(colours)) == 2


@pytest.mark.parametrize("known", [True, False])
def test_lines_are_drawn_with_the_boxes_that_are_known(tmp_path, known):
    evaluated = evaluations.lines(known=known)
    drawn = galleries.errors(evaluated, "crnn on lines", most=4)
    dashed = sum(patch.get_linestyle() != "solid" for axis in drawn.axes for patch in axis.patches)
    assert (dashed > 0) == known
    style.save(drawn, tmp_path / "drawn.png")
    assert [axis.get_title("left") for axis in galleries.diagnostics(evaluated, "").axes][2] == (
        "Accuracy by number of digits"
    )


def test_only_readings_with_positions_have_slots_underlined():
    pictures = strips(60)
    lines = {
        positional: sum(len(axis.lines) for axis in galleries.errors(of(pictures, positional=positional), "").axes)
        for positional in (True, False)
    }
    evaluated = of(pictures)
    shown = galleries.confident_errors(evaluated)
    assert lines == {True: np.sum(evaluated.readings.classes[shown] != pictures.labels[shown]), False: 0}
