"""Augmentation against the old generator itself, picture by picture and draw by draw, and what a wrong option says."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from PIL import Image
from scipy.stats import ks_2samp

from pipeline.config import params, types
from pipeline.core.errors import ConfigurationError
from pipeline.core.images import ImageSet
from pipeline.preprocessing.augmentation import Augmentation, Transform
from pipeline.preprocessing.flow import save_each
from pipeline.training import loop
from stages import preview

# The old generator calls SciPy by a name that SciPy has given up.
pytestmark = pytest.mark.filterwarnings("ignore:Please (import|use) `affine_transform`:DeprecationWarning")

ROOT = Path(__file__).parents[2]
SIDE = 24
PICTURES = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
PARAMETERS = {
    "rotation": {"theta": 17.0},
    "rotation back": {"theta": -40.0},
    "shift along the width": {"tx": 3.3},
    "shift along the height": {"ty": -2.6},
    "shear": {"shear": 14.0},
    "shear back": {"shear": -25.0},
    "zoom": {"zx": 0.83, "zy": 1.27},
    "horizontal flip": {"flip_horizontal": True},
    "vertical flip": {"flip_vertical": True},
    "channel shift": {"channel_shift_intensity": -37.0},
    "darker": {"brightness": 0.6},
    "brighter": {"brightness": 1.4},
    "all": {
        "theta": 11.0,
        "tx": -2.2,
        "ty": 1.7,
        "shear": 9.0,
        "zx": 0.9,
        "zy": 0.8,
        "flip_horizontal": True,
        "flip_vertical": True,
        "channel_shift_intensity": 21.0,
        "brightness": 0.7,
    },
}
GEOMETRY = ("theta", "tx", "ty", "shear", "zx", "zy")
EVERYTHING = {
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "height_shift_range": 2,
    "shear_range": 10,
    "zoom_range": (0.8, 1.3),
    "brightness_range": (0.6, 1.4),
    "channel_shift_range": 30,
    "horizontal_flip": True,
    "vertical_flip": True,
    "fill_mode": "constant",
    "cval": 128,
}


def varied(given, pictures=PICTURES, **options):
    """The same parameters for every picture."""
    transform = Transform(**{name: tf.constant([value] * len(pictures)) for name, value in given.items()})
    return Augmentation(**options).apply(tf.constant(pictures), transform).numpy()


def formerly(given, pictures=PICTURES, **options):
    old = ImageDataGenerator(**options)
    return np.stack([old.apply_transform(picture.astype(np.float32), given) for picture in pictures])


def inside(given):
    """Pixels that show what lay within the picture: there, no border is involved."""
    geometry = {name: value for name, value in given.items() if name in GEOMETRY or name.startswith("flip")}
    white = np.full((1, SIDE, SIDE, 1), 255, np.uint8)
    return formerly(geometry, white, fill_mode="constant")[0] > 254.9


def seed(*numbers):
    return tf.constant(numbers, tf.int64)


@pytest.mark.parametrize("given", PARAMETERS.values(), ids=PARAMETERS)
def test_the_same_parameters_give_the_old_generators_picture(given):
    difference = np.abs(varied(given, interpolation_order=1) - formerly(given, interpolation_order=1))
    where = np.broadcast_to(inside(given), difference.shape)
    assert where.mean() > 0.4
    # Ours is rounded once; brightness there is cut to whole levels before and after the factor.
    assert difference[where].max() <= (2.01 if "brightness" in given else 0.51)


@pytest.mark.parametrize("given", PARAMETERS.values(), ids=PARAMETERS)
def test_without_interpolation_too(given):
    difference = np.abs(varied(given, interpolation_order=0) - formerly(given, interpolation_order=0))
    where = np.broadcast_to(inside(given), difference.shape)
    assert (difference[where] <= (2.01 if "brightness" in given else 0.01)).mean() > 0.995


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect"])
def test_borders_are_filled_as_they_were(fill_mode):
    given = {name: PARAMETERS["all"][name] for name in GEOMETRY} | {"zx": 1.5, "zy": 1.4}
    assert np.abs(varied(given, fill_mode=fill_mode) - formerly(given, fill_mode=fill_mode)).max() <= 0.51


def test_a_constant_border_is_cval():
    given = {"zx": 2.0, "zy": 2.0}
    ours, theirs = (make(given, fill_mode="constant", cval=77) for make in (varied, formerly))
    assert (ours[:, 0] == 77).all()
    assert (theirs[:, 0] == 77).all()


def test_wrap_repeats_the_picture_as_was_written_of_it():
    """SciPy's `wrap`, which the old generator asked for, lets the first and the last line overlap; its words do not."""
    np.testing.assert_array_equal(varied({"tx": 5}, fill_mode="wrap"), np.roll(PICTURES, -5, axis=2))


@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect", "wrap"])
def test_whole_shifts_and_flips_are_what_interpolation_makes_of_them(fill_mode):
    flips = {"flip_horizontal": True, "flip_vertical": True}
    quick = varied({"tx": 3, "ty": -5, **flips}, fill_mode=fill_mode, cval=9)
    slow = varied({"tx": 3.0, "ty": -5.0, **flips}, fill_mode=fill_mode, cval=9)
    np.testing.assert_array_equal(quick, slow)


def test_a_wide_picture_turns_about_its_middle():
    wide = np.random.default_rng(1).integers(0, 256, (2, 10, 30, 1), np.uint8)
    difference = varied({"theta": 180.0}, wide).astype(int) - wide[:, ::-1, ::-1]
    assert np.abs(difference).max() <= 1


def test_what_the_old_generator_did_not_do_as_it_said():
    """Two slips of its that are not ours: shifts exchanged, and pictures that are no squares turned about elsewhere."""
    old = ImageDataGenerator(width_shift_range=[2]).random_transform(PICTURES[0].astype(np.float32))
    moved = [np.roll(PICTURES[0], shift, axis=0) for shift in (-2, 2)]
    assert any((old[2:-2] == rolled[2:-2]).all() for rolled in moved), "rows moved"
    wide = np.zeros((10, 30, 1), np.uint8)
    wide[5, 15] = 255
    assert formerly({"theta": 180.0}, wide[None], fill_mode="constant").max() < 1, "the middle left the picture"
    assert varied({"theta": 180.0}, wide[None], fill_mode="constant")[0, 4, 14] == 255


def test_each_channel_may_have_a_shift_of_its_own():
    levels = np.random.default_rng(2).uniform(-40, 40, (len(PICTURES), 3)).astype(np.float32)
    ours = Augmentation().apply(tf.constant(PICTURES), Transform(channel_shift_intensity=tf.constant(levels)))
    low, high = (extreme(PICTURES, axis=(1, 2, 3), keepdims=True) for extreme in (np.min, np.max))
    np.testing.assert_allclose(ours, np.clip(PICTURES + levels[:, None, None], low, high), atol=0.51)
    drawn = Augmentation(channel_shift_range=40, channel_shift_mode="independent").draw(500, (8, 8, 3), seed(1, 2))
    shifts = drawn.channel_shift_intensity.numpy()
    assert shifts.shape == (500, 3)
    assert np.abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 0.15
    assert 38 < np.abs(shifts).max() <= 40


@pytest.mark.parametrize(
    ("options", "ours", "theirs"),
    [
        ({"rotation_range": 30}, "theta", "theta"),
        # The old generator drew ty from width_shift_range, and then moved rows by it: the two were exchanged.
        ({"width_shift_range": 0.2}, "tx", "ty"),
        ({"height_shift_range": 0.3}, "ty", "tx"),
        ({"width_shift_range": 2.5}, "tx", "ty"),
        ({"width_shift_range": [0, 1]}, "tx", "ty"),
        ({"width_shift_range": [1, 3, 4]}, "tx", "ty"),
        ({"height_shift_range": [0.1, 0.25]}, "ty", "tx"),
        ({"shear_range": 15}, "shear", "shear"),
        ({"zoom_range": 0.3}, "zx", "zx"),
        ({"zoom_range": [0.5, 0.8]}, "zy", "zy"),
        ({"channel_shift_range": 20}, "channel_shift_intensity", "channel_shift_intensity"),
        ({"brightness_range": [0.4, 1.2]}, "brightness", "brightness"),
        ({"horizontal_flip": True}, "flip_horizontal", "flip_horizontal"),
        ({"vertical_flip": True}, "flip_vertical", "flip_vertical"),
    ],
    ids=str,
)
def test_draws_are_spread_as_the_old_generators(options, ours, theirs):
    old = ImageDataGenerator(**options)
    np.random.seed(0)  # noqa: NPY002 - the old generator draws from NumPy's global state
    before = np.array([old.get_random_transform((SIDE, SIDE, 3))[theirs] for _ in range(4000)], np.float64)
    drawn = Augmentation(**options).draw(4000, (SIDE, SIDE, 3), seed(3, 4))
    now = getattr(drawn, ours).numpy().astype(np.float64)
    assert ks_2samp(now.round(3), before.round(3)).statistic < 0.04
    np.testing.assert_allclose([now.min(), now.max()], [before.min(), before.max()], atol=0.02 * np.ptp(before))
    assert {field.name for field in dataclasses.fields(drawn) if getattr(drawn, field.name) is not None} <= {
        ours,
        *(("zx", "zy") if "zoom_range" in options else ()),
    }


@pytest.mark.parametrize("extent", [2, 2.0])
def test_whole_numbers_are_whole_pixels_up_to_themselves(extent):
    shifts = Augmentation(width_shift_range=extent).draw(1000, (9, 9, 1), seed(1, 2)).tx.numpy()
    assert shifts.dtype == np.int32
    assert np.bincount(shifts + 2, minlength=5).min() > 150
    assert np.abs(shifts).max() == 2


def test_the_two_axes_zoom_apart():
    drawn = Augmentation(zoom_range=0.5).draw(1000, (9, 9, 1), seed(1, 2))
    assert abs(np.corrcoef(drawn.zx, drawn.zy)[0, 1]) < 0.1


def test_one_option_draws_the_same_whatever_else_is_on():
    alone = Augmentation(rotation_range=20).draw(8, (SIDE, SIDE, 3), seed(1, 2)).theta
    among = Augmentation(**EVERYTHING).draw(8, (SIDE, SIDE, 3), seed(1, 2)).theta
    np.testing.assert_array_equal(alone, among)


def test_a_seed_fixes_every_picture_and_labels_are_kept():
    augment = Augmentation(**EVERYTHING)
    labels = np.arange(len(PICTURES))[:, None]
    first, kept = augment(tf.constant(PICTURES), tf.constant(labels), seed(1, 2))
    again, _ = tf.function(augment)(tf.constant(PICTURES), tf.constant(labels), seed(1, 2))
    other, _ = augment(tf.constant(PICTURES), tf.constant(labels), seed(1, 3))
    np.testing.assert_array_equal(kept, labels)
    assert np.abs(first.numpy().astype(int) - again.numpy()).max() <= 1
    assert (first.numpy() != other.numpy()).mean() > 0.5
    assert first.dtype == tf.uint8
    assert first.shape == PICTURES.shape


def test_everything_off_does_nothing():
    pictures = tf.constant(PICTURES)
    assert Augmentation().apply(pictures, Augmentation().draw(6, PICTURES.shape[1:], seed(1, 2))) is pictures
    off = {"width_shift_range": 0, "zoom_range": [1, 1], "brightness_range": None, "horizontal_flip": False}
    assert Augmentation(**off)(pictures, tf.zeros((6, 1)), seed(1, 2))[0] is pictures


@pytest.mark.parametrize("shape", [(12, 12, 1), (28, 140, 1), (16, 16, 3)], ids=str)
@pytest.mark.parametrize("order", [0, 1])
def test_batches_of_training_take_every_option(shape, order):
    train = ImageSet(np.full((20, *shape), 200, np.uint8), np.zeros((20, 1), np.uint8), ("a",), "embedded")
    augment = Augmentation(**EVERYTHING, channel_shift_mode="independent", interpolation_order=order)
    stream = loop.batches(train, 7, seed=1, augment=augment)
    assert stream.element_spec[0].shape.as_list() == [None, *shape]
    for images, labels in stream.take(3):
        assert images.dtype == tf.uint8
        assert images.shape == (7, *shape)
        assert labels.shape == (7, 1)


def test_pictures_are_uint8():
    with pytest.raises(TypeError, match="expected uint8, found float32"):
        Augmentation(rotation_range=5)(tf.zeros((2, 8, 8, 1)), tf.zeros((2, 1)), seed(1, 2))


def test_params_and_augmentation_name_the_same_options():
    fields = {field.name: field.default for field in dataclasses.fields(Augmentation)}
    section = {name: field.default for name, field in types.AugmentationSection.model_fields.items()}
    assert fields == section
    # What the old generator took besides stands elsewhere: normalization, loading, splits.
    elsewhere = {"rescale", "preprocessing_function", "data_format", "validation_split", "dtype", "zca_epsilon"}
    elsewhere |= {f"{kind}wise_{what}" for kind in ("feature", "sample") for what in ("center", "std_normalization")}
    old = set(ImageDataGenerator.__init__.__code__.co_varnames[1 : ImageDataGenerator.__init__.__code__.co_argcount])
    assert set(fields) == old - elsewhere - {"zca_whitening"} | {"channel_shift_mode"}


def test_options_of_params_arrive_as_a_mapping():
    given = {"rotation_range": 10, "zoom_range": [0.9, 1.1], "width_shift_range": [0, 2], "horizontal_flip": True}
    options = types.checked(types.AugmentationOptions, given, "strategies.cnn.augmentation")
    assert type(options) is dict
    assert Augmentation(**options) == Augmentation(**given)
    assert options["fill_mode"] == "nearest"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("rotation_range", -5, "expected greater than or equal to 0, found -5"),
        ("rotation_range", "10", "expected a valid number, found '10'"),
        ("width_shift_range", -0.1, r"expected a number from 0 up .* or a list of numbers to choose from, found -0\.1"),
        ("height_shift_range", [], r"expected a number from 0 up .*, found \[\]"),
        ("shear_range", float("nan"), "found nan"),
        ("zoom_range", 1.5, r"expected a number from 0 to below 1, or \[low, high\] with 0 < low <= high, found 1\.5"),
        ("zoom_range", [1.2, 0.8], r"found \[1\.2, 0\.8\]"),
        ("brightness_range", 0.5, r"expected null, or \[low, high\] with 0 <= low <= high, found 0\.5"),
        ("channel_shift_range", 300, "expected less than or equal to 255, found 300"),
        ("channel_shift_mode", "each", "expected 'joint' or 'independent', found 'each'"),
        ("horizontal_flip", 1, "expected a valid boolean, found 1"),
        ("vertical_flip", "yes", "expected a valid boolean, found 'yes'"),
        ("fill_mode", "mirror", "expected 'constant', 'nearest', 'reflect' or 'wrap', found 'mirror'"),
        ("cval", -1, "expected greater than or equal to 0, found -1"),
        ("interpolation_order", 3, "expected 0 or 1, found 3"),
    ],
)
def test_a_wrong_option_is_one_clear_line(option, value, expected):
    with pytest.raises(ConfigurationError, match=rf"^strategies\.cnn\.augmentation\.{option}: .*{expected}") as caught:
        types.checked(types.AugmentationOptions, {option: value}, "strategies.cnn.augmentation")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=rf"^Augmentation\.{option}: .*{expected}"):
        Augmentation(**{option: value})


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(
        ConfigurationError, match=r"augmentation\.rotatoin_range: unknown key \(did you mean 'rotation_range'\?\)"
    ):
        types.checked(types.AugmentationOptions, {"rotatoin_range": 3}, "augmentation")
    with pytest.raises(ConfigurationError, match=r"^augmentation: expected a mapping, found 5"):
        types.checked(types.AugmentationOptions, 5, "augmentation")


def test_every_option_that_is_on_is_shown_by_itself():
    shown = Augmentation(**EVERYTHING).alone()
    modes = {"fill_mode", "cval", "interpolation_order", "channel_shift_mode"}
    assert set(shown) == {*EVERYTHING, *modes, "all"}
    assert shown["rotation_range"] == {
        "rotation_range: 20": Augmentation(rotation_range=20, fill_mode="constant", cval=128)
    }
    assert list(shown["fill_mode"]) == [f"fill_mode: {mode}" for mode in ("constant", "nearest", "reflect", "wrap")]
    assert list(shown["zoom_range"]) == ["zoom_range: [0.8, 1.3]"]
    assert list(shown["cval"]) == ["cval: 0", "cval: 128", "cval: 255"]
    assert list(Augmentation(vertical_flip=True).alone()) == ["vertical_flip", "all"]


@pytest.mark.parametrize(("channels", "format"), [(1, "png"), (3, "png"), (3, "jpeg")])
def test_single_pictures_are_saved_under_their_former_names(channels, format, tmp_path):
    images = PICTURES[..., :channels]
    save_each(images, tmp_path / "new", "aug", format)
    for index, image in enumerate(images):
        name = f"aug_{index}_{hashlib.sha256(image.tobytes()).hexdigest()[:8]}.{format}"
        with Image.open(tmp_path / "new" / name) as saved:
            assert saved.format == format.upper()
            assert saved.size == (SIDE, SIDE)
            if format == "png":
                np.testing.assert_array_equal(np.asarray(saved).reshape(image.shape), image)
    assert len(list((tmp_path / "new").iterdir())) == len(images)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """params.yaml in a folder of its own, and the command runs there."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_writes_a_sheet_an_option_and_single_pictures_the_same_each_time(project):
    train = ImageSet(PICTURES, np.zeros((len(PICTURES), 1), np.uint8), ("a",), "embedded")
    train.save(project / "data" / "train.npz")
    written = []
    for out in (project / "one", project / "two"):
        preview.main(project / "data", out)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        written.append({str(path.relative_to(out)): path.read_bytes() for path in files})
    assert written[0] == written[1]
    wanted = params.load(project / "params.yaml").previews
    sheets = {f"{option}.png" for option in Augmentation(**wanted.options.model_dump()).alone()}
    singles = {name for name in written[0] if name.startswith("pictures/")}
    assert set(written[0]) - singles == sheets
    assert len(singles) == min(wanted.pictures, len(PICTURES))
    assert all(name.startswith(f"pictures/{wanted.save_prefix}_") for name in singles)
