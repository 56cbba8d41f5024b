"""Suites: each split of its own digits, from a random stream of its own, always the same bytes."""

import hashlib
import json

import numpy as np
import pytest
from noise_suites import failures, validate
from PIL import Image
from refusals import refuses

from pipeline.config.sections import (
    LINE_SIZES,
    LabelledSceneSuite,
    LabelledSuite,
    LineSuite,
    SceneSuite,
    SplitSuite,
    StripSuite,
    Validation,
)
from pipeline.core.errors import DataError
from pipeline.core.images import SPLITS, ImageSet
from pipeline.core.lines import Picture, PictureSet
from pipeline.data import folders, splits, stand_in, suites
from pipeline.validation.suite_spec import SuiteSpec

SEED = 7
DIGITS = {"source": "mnist/mnist", "rounds": 1, "digits": [5, 5], "jitter": False, "clutter": False}
SUITES = {
    "mnist": SplitSuite(task="mnist", source="raw/mnist", train=50_000, valid=5_000, gate=5_000, test=10_000),
    "cifar10": SplitSuite(task="cifar10", source="raw/cifar10", train=40_000, valid=5_000, gate=5_000, test=10_000),
    "plain": StripSuite(task="strips", **DIGITS),
    "blanks": StripSuite(task="strips", **DIGITS | {"digits": [0, 5]}),
    "jitter": StripSuite(task="strips", **DIGITS | {"jitter": True}),
    "clutter": StripSuite(task="strips", **DIGITS | {"jitter": True, "clutter": True}),
    "mixed": StripSuite(
        task="strips", **DIGITS | {"rounds": 3, "digits": [0, 5], "jitter": True, "clutter": True, "vary": True}
    ),
    "scenes": SceneSuite(task="scenes", source="mnist/mnist", rounds=2, digits=[1, 8], clutter=True),
}
DIGESTS = {
    "mnist": "4d810a737dfd478a1ba29b5fdee415d2d0508fcc9b92860f6ad7de50c6ef6858",
    "cifar10": "3d041afd162764bb6b8cc4861289e284a759fc115744d6fb8eb7f5569f936867",
    "plain": "7b2b82e3799d60591c58edddaaabfb940d1b5a7f0b05e11929e05e23b31ca20a",
    "blanks": "666b2de4ddc8000d9299e349d1de818c939b36735e5ffe761e258c328df0d22f",
    "jitter": "54241e29022bb226c2e86c5a1eafbcb520203b0edce19069efc88c2cf630c22e",
    "clutter": "fc6a61198ad78618e39d9ea915bbfa156e56a9bda2cbfb754a9e192d11fd25df",
    "mixed": "70758f1b2b790ef76eb1a781d685832ad4fb8c50dee10019196c19e4998d653b",
    "scenes": "da8cadae08edf9e02c1112145cc4327361e6344579f18598410cc51a27f603d3",
}
"""SHA-256 of all arrays of the four splits that each suite makes of the stand-in."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the stand-in's sets in `raw`, and its digits in splits in `mnist/mnist`."""
    folder = tmp_path_factory.mktemp("data")
    for source in ("mnist", "cifar10"):
        for name, pictures in stand_in.read(source).items():
            pictures.save(folder / f"raw/{source}/{name}.npz")
    for split, pictures in suites.compose("mnist", SUITES["mnist"], folder / "raw/mnist", SEED).items():
        pictures.save(folder / f"mnist/mnist/{split}.npz")
    return folder


def sha256(made: dict[str, ImageSet]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        for array in (made[split].images, made[split].labels, made[split].boxes, made[split].sources):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_always_the_same_bytes(data, name):
    """A change here makes every training stale, and its scores those of other pictures."""
    suite = SUITES[name]
    assert sha256(suites.compose(name, suite, data / suite.source, SEED)) == DIGESTS[name]


def test_each_split_is_made_of_its_own_digits_and_goes_round_as_often_as_its_suite_says(data):
    suite = SUITES["clutter"].model_copy(update={"rounds": 2, "valid_rounds": 3})
    made = suites.compose("clutter", suite, data / suite.source, SEED)
    for split in SPLITS:
        digits = ImageSet.load(data / f"mnist/mnist/{split}.npz").sources[:, 0]
        assert set(made[split].sources.ravel()) - {-1} <= set(digits)
        assert len(made[split]) == len(digits) // 5 * {"train": 2, "valid": 3}.get(split, 1)


LABELLED = {"task": "lines", "source": "raw/cheques"}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder with the stand-in's lines and two empty sheets, whose names put one into train and one into test."""
    folder = tmp_path_factory.mktemp("cheques")
    made = stand_in.lines()
    sheets = [
        Picture(f"sheet-{number}.png", np.full((40, 160), 230, np.uint8), np.array([4], np.uint8)) for number in (9, 0)
    ]
    PictureSet((*made.pictures[:118], *sheets), made.origin).save(folder / "pictures.npz")
    return folder


def test_labelled_pictures_are_in_one_split_each_whatever_their_labels(labelled, capsys):
    made = suites.compose("cheques", LabelledSuite(**LABELLED, labels="published", recomposed=0), labelled, SEED)
    again = suites.compose("other", LabelledSuite(**LABELLED, labels="reviewed", recomposed=0), labelled, SEED + 1)
    assert sha256(made) == sha256(again), "the corrections are of the public pictures alone"
    ids = {split: set(made[split].sources[:, 0].tolist()) for split in SPLITS}
    assert sum(map(len, ids.values())) == len(set().union(*ids.values()))
    assert [len(made[split]) for split in SPLITS] == [71, 12, 12, 24]
    assert 118 not in ids["train"]
    assert 119 in ids["test"]
    said = "no line was found in 1 pictures of train, which are left out, and in 0 of valid, 0 of gate, 1 of test"
    assert f"cheques: {said}" in capsys.readouterr().err


def test_recomposed_lines_follow_the_real_ones_of_train_and_are_made_of_them(labelled):
    suite = LabelledSuite(**LABELLED, labels="published", recomposed=136)
    plain = suites.compose("cheques", suite.model_copy(update={"recomposed": 0}), labelled, SEED)
    made = suites.compose("cheques", suite, labelled, SEED)
    real = len(plain["train"])
    assert np.array_equal(made["train"].images[:real], plain["train"].images)
    # As many for each training picture as of the public source, which has 488.
    assert len(made["train"]) == real + round(136 * 72 / 488)
    assert set(made["train"].sources[real:].ravel()) - {-1} <= set(plain["train"].sources.ravel())
    for split in SPLITS[1:]:
        assert np.array_equal(made[split].images, plain[split].images)


@pytest.fixture
def shelf(tmp_path):
    """A folder in COCO's format of 24 pictures, each of the stand-in's digits, dark on light in every second one."""
    digits, rng = stand_in.read("mnist")["pool"], np.random.default_rng(3)
    images, annotations = [], []
    for number in range(24):
        height, width, count = 120 + 5 * number, 300 - 4 * number, number % 8 + 1
        pixels = np.full((height, width), 20, np.uint8)
        # From right to left: the document need not be in order.
        for slot in reversed(range(count)):
            row, x, y = int(rng.integers(len(digits))), slot * (width // 8), int(rng.integers(0, height - 28))
            cell = digits.images[row, ..., 0][:, : width // 8]
            pixels[y : y + 28, x : x + cell.shape[1]] = np.maximum(pixels[y : y + 28, x : x + cell.shape[1]], cell)
            ys, xs = np.nonzero(cell >= 100)
            box = [x + int(xs.min()), y + int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
            annotations.append({"image_id": number, "category_id": int(digits.labels[row, 0]), "bbox": box})
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels if number % 2 else 255 - pixels).save(tmp_path / f"images/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
    categories = [{"id": digit, "name": str(digit)} for digit in range(10)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    return tmp_path


def test_labelled_scenes_of_a_folder_are_composed_and_meet_what_is_expected(shelf, tmp_path):
    pictures = folders.read_lines(shelf)
    pictures.save(tmp_path / "raw/pictures.npz")
    suite = LabelledSceneSuite(task="scenes", source="raw/shelf")
    made = suites.compose("shelf", suite, tmp_path / "raw", SEED)
    divided = splits.by_name([picture.name for picture in pictures], LINE_SIZES)
    for split in SPLITS:
        assert made[split].sources[:, 0].tolist() == divided[split]
        for row, labels in zip(divided[split], made[split].labels, strict=True):
            digits = pictures.pictures[row].digits.tolist()
            assert labels[labels != 10].tolist() == digits
    spec = SuiteSpec.from_params("shelf", suite, Validation(class_share=[0.5, 2.0], constant_share=0.0))
    report = validate(made, spec, tmp_path / "docs")
    assert failures(report) == {}
    assert any("the longer side of every box" in note for note in report.notes)


def test_scenes_of_a_source_without_boxes_are_refused_by_name(labelled):
    with refuses(DataError, "2 to correct", "sheet-9.png: no boxes", "sheet-0.png: no boxes"):
        suites.compose("cheques", LabelledSceneSuite(task="scenes", source="raw/cheques"), labelled, SEED)


@pytest.mark.parametrize(
    "suite",
    [
        LabelledSuite(**LABELLED, labels="published", recomposed=0),
        LabelledSceneSuite(task="scenes", source="raw/cheques"),
    ],
    ids=["lines", "scenes"],
)
def test_a_source_without_files_is_refused(tmp_path, suite):
    with refuses(DataError, tmp_path, "no .npz file"):
        suites.compose("cheques", suite, tmp_path, SEED)


def test_a_split_has_at_most_as_many_composed_lines_as_digits(data):
    suite = LineSuite(task="lines", source="mnist/mnist", train=20, valid=10, gate=10, test=30_000)
    made = suites.compose("lines", suite, data / "mnist/mnist", SEED)
    digits = {split: ImageSet.load(data / f"mnist/mnist/{split}.npz") for split in SPLITS}
    assert [len(made[split]) for split in SPLITS] == [20, 10, 10, len(digits["test"])]
    for split in SPLITS:
        assert set(made[split].sources.ravel()) - {-1} <= set(digits[split].sources.ravel())


def test_the_stream_depends_on_seed_suite_and_split():
    seeds = {
        suites.stream_seed(seed, name, split) for seed in (1, 2) for name in ("plain", "blanks") for split in SPLITS
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**32 for seed in seeds)
