"""params.yaml: every wrong value stops the run before any work, in one line that names key, expected and found."""

import json
import re
import shutil
from pathlib import Path
from typing import Literal

import pytest

from pipeline.config import params, signatures, types
from pipeline.config.sections import LabelledSceneSuite, LabelledSuite, LineSuite, SceneSuite
from pipeline.config.types import Recipe
from pipeline.core.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """A copy of what params.yaml is checked against: the file itself and the shared files it names."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    return tmp_path


def changed(project, old, new):
    path = project / "params.yaml"
    text = path.read_text()
    assert old in text, f"{old!r} is no longer in params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def message_of(path):
    with pytest.raises(ConfigurationError) as caught:
        params.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_the_committed_file_is_right():
    loaded = params.load(ROOT / "params.yaml")
    assert set(loaded.strategies) == set(signatures.strategy_names())
    assert loaded.suites_of("strips") == ["plain", "blanks", "jitter", "clutter"]
    assert loaded.suites_of("scenes") == ["scenes"]
    assert loaded.suites_of("lines") == ["lines", "cheques", "cheques_reviewed"]
    assert loaded.suites_of("mnist") == ["mnist"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("budget: 1.0", "budgt: 1.0", r"budgt: unknown key \(did you mean 'budget'\?\)"),
        ("    dropout: 0.3", "    droput: 0.3", r"strategies\.slice\.droput: unknown key \(did you mean 'dropout'\?\)"),
        ("  fallback: embedded", "  fallbck: embedded", r"fetch\.fallbck: unknown key \(did you mean 'fallback'\?\)"),
        ("seed: 20 ", "seed: 20\nseed: 21 ", r':\d+: found duplicate key "?seed"?'),
        ("epochs: ", 'epochs: "10" # ', r"strategies\.slice\.epochs: expected a valid number, found '10'"),
        ("batch: 128", 'batch: "10"', r"strategies\.slice\.batch: expected a valid integer, found '10'"),
        ("batch: 128", "batch: 12.5", r"strategies\.slice\.batch: expected a valid integer.*found 12\.5"),
        ("seed: 20 ", "seed: true ", r"seed: expected a valid integer, found True"),
        ("dropout: 0.3", "dropout: true", r"strategies\.slice\.dropout: expected a valid number, found True"),
        ("epochs: ", "epochs: 0 # ", r"strategies\.slice\.epochs: expected greater than 0, found 0"),
        ("epochs: ", "epochs: -3 # ", r"strategies\.slice\.epochs: expected greater than 0, found -3"),
        ("learning_rate: 0.004", "learning_rate: 0", r"slice\.learning_rate: expected greater than 0, found 0"),
        ("learning_rate: 0.004", "learning_rate: -0.1", r"slice\.learning_rate: expected greater than 0, found -0\.1"),
        ("learning_rate: 0.004", "learning_rate: .nan", r"slice\.learning_rate: expected .*, found nan"),
        ("train: 50000", "train: 50001", r"suites\.mnist: .* is 60001 .*expected 60000"),
        (
            "  slice:\n",
            "  slyce:\n",
            r"strategies\.slyce: unknown strategy \(did you mean 'slice'\?\); there are centernet, cnn,",
        ),
        ("batch: 128", "batch: 50001", r"strategies\.slice\.batch: 50001 is more than the 50000 pictures"),
        ("from: raw/mnist", "from: ../outside", r"suites\.mnist\.from: '\.\./outside' leads outside the project"),
        ("from: raw/mnist", "from: /etc", r"suites\.mnist\.from: '/etc' leads outside the project"),
        (
            "code: pipeline/networks/trunks.py",
            "code: ../x.py",
            r"strategies\.slice\.code: .* leads outside the project",
        ),
        ("code: pipeline/networks/trunks.py", "code: pipeline/none.py", r"strategies\.slice\.code: no file or folder"),
        (
            "features: data/mnist/mnist",
            "features: data/features/slice",
            r"strategies\.sliding_digits\.features: expected 'data/mnist/mnist', since there is no entry",
        ),
        (
            "features: data/features/vgg16",
            "features: data/cifar10/cifar10",
            r"strategies\.vgg16\.features: expected 'data/features/vgg16'",
        ),
        (
            "features: data/proposals",
            "features: data/scenes/scenes",
            r"strategies\.rcnn\.features: expected 'data/proposals', since its model takes regions",
        ),
        ("proposals: [scenes]", "proposals: []", r"proposals: .*rcnn reads, 'scenes' is missing"),
        ("proposals: [scenes]", "proposals: [scene]", r"no suite of scenes 'scene' \(did you mean 'scenes'\?\)"),
        ("  plain: {task: strips", "  'a@b': {task: strips", r"suites\.a@b: expected a name of A-Z"),
        ("  plain: {task: strips", "  plain: {task: stripes", r"suites\.plain\.task: expected one of .*'stripes'"),
        ("  plain: {task: strips,", "  plain: {", r"suites\.plain\.task: missing"),
        ("  plain: {task: strips,", "  plain: [1] #", r"suites\.plain: expected a mapping, found \[1\]"),
        (
            "zca_center: picture ",
            "custom: {zca: {zca_whitening: true}}\n  zca_center: picture ",
            r"normalize: expected custom: another name than 'zca'",
        ),
        (
            "zca_center: picture ",
            "custom: {centred: {samplewise_centre: true}}\n  zca_center: picture ",
            r"normalize\.custom\.centred\.samplewise_centre: unknown key \(did you mean 'samplewise_center'\?\)",
        ),
        ("train_on: mnist/mnist", "train_on: mnist/mnst", r"train_on: no data set .*did you mean 'mnist/mnist'"),
        ("from: mnist/mnist", "from: cifar10/cifar10", r"suites\.plain\.from: strips are composed from single digits"),
        ("digits: [5, 5]", "digits: [5, 4]", r"suites\.plain: expected digits is \[fewest, most\]"),
        (
            "digits: [1, 8]",
            "digits: [5, 4]",
            r"suites\.scenes: expected digits is \[fewest, most\], expected fewest <= most",
        ),
        (
            "digits: [1, 8]",
            "digits: [0, 8]",
            r"suites\.scenes\.digits\.0: expected greater than or equal to 1, found 0",
        ),
        ("digits: [1, 8]", "digits: [1, 9]", r"suites\.scenes\.digits\.1: expected less than or equal to 8, found 9"),
        (
            "digits: [1, 8], clutter",
            "digits: [1, 8], cluter",
            r"suites\.scenes\.cluter: unknown key \(did you mean 'clutter'",
        ),
        ("digits: [1, 8]", "jitter: true, digits: [1, 8]", r"suites\.scenes\.jitter: unknown key"),
        (
            "task: scenes, from: mnist/mnist",
            "task: scenes, from: raw/mnist",
            r"suites\.scenes\.from: scenes are composed",
        ),
        (
            "jitter: true, clutter: true, vary",
            "jitter: false, clutter: true, vary",
            r"suites\.mixed: expected jitter is true",
        ),
        (
            "[plain, blanks, ",
            "[plain, blnks, ",
            r"reported\.strips: no suite 'blnks' of strips \(did you mean 'blanks'",
        ),
        ("[plain, blanks, ", "[plain, plain, ", r"reported\.strips: duplicate suite 'plain'"),
        (
            "[plain, blanks, ",
            "[mixed, plain, ",
            r"reported\.strips: no strategy reads 'mixed'; expected it in the SUITES",
        ),
        (
            "  mnist: [mnist]",
            "  mnist: []",
            r"reported\.mnist: no suite; expected at least one to score lenet5",
        ),
        ("class_share: [0.5, 2.0]", "class_share: [2.0, 0.5]", r"validate: expected class_share is \[least, most\]"),
        ("train_on: scenes/scenes", "train_on: strips/plain", r"rcnn\.train_on: 'strips/plain' does not teach scenes"),
        (
            "train_on: cifar10/cifar10",
            "train_on: mnist/mnist",
            r"'mnist/mnist' does not teach cifar10; expected a data",
        ),
        (
            "train_on: strips/plain\n    normalization: rescale",
            "train_on: strips/plain\n    normalization: zca",
            r"strategies\.multihead\.normalization: pictures of strips/plain are too large to whiten",
        ),
        ("patch: 2 ", "patch: 33 ", r"strategies\.resnet\.patch: expected less than or equal to 8, found 33"),
        ("input_size: 32", "input_size: 16", r"vgg16\.input_size: expected greater than or equal to 32, found 16"),
        ("weights: imagenet ", "weights: imagnet ", r"vgg16\.weights: expected imagenet, none, or \{file: PATH"),
        ("weights: imagenet ", "weights: {file: w.h5, sha256: abc} ", r"vgg16\.weights: .*its 64 hexadecimal digits"),
        ("freeze_until: 19", "freeze_until: 20", r"vgg16\.freeze_until: expected less than or equal to 19, found 20"),
        (
            "features: data/features/vgg16",
            "features: data/features/vgg",
            r"strategies\.vgg16\.features: expected 'data/features/vgg16'",
        ),
        (
            "vgg16: {from: cifar10/cifar10",
            "vgg16: {from: mnist/mnist",
            r"features\.vgg16\.from: expected 'cifar10/cifar10'",
        ),
        (
            "vgg16: {from: cifar10/cifar10",
            "vg16: {from: cifar10/cifar10",
            r"features\.vg16: no strategy of this name",
        ),
        ("save_format: png", "save_format: gif", r"previews\.save_format: expected 'png' or 'jpeg', found 'gif'"),
        ("save_prefix: augmented", "save_prefix: ../up", r"previews\.save_prefix: .*found '\.\./up'"),
        (
            "cifar10: cifar10/cifar10",
            "cifar10: cifar10/cifar",
            r"previews\.suites\.cifar10: no data set 'cifar10/cifar'",
        ),
        ("  pictures: 12", "  pictures: 0", r"previews\.pictures: expected greater than or equal to 1, found 0"),
        (
            "    rotation_range: 20 ",
            "    rotatoin_range: 20 ",
            r"previews\.options\.rotatoin_range: unknown key \(did you mean 'rotation_range'\?\); expected rotation_r",
        ),
        (
            "lines, from: mnist/mnist",
            "lines, from: strips/plain",
            r"suites\.lines\.from: lines are composed from single",
        ),
        ("lines, from: mnist/mnist, train: 30000", "lines, from: mnist/mnist", r"suites\.lines\.train: missing"),
        (
            "lines, from: mnist/mnist, train",
            "lines, from: mnist/mnist, trian",
            r"suites\.lines\.trian: unknown key \(did you mean 'train'\?\); expected from, task, train, valid,",
        ),
        (
            "from: raw/cheques, labels",
            "from: raw/cheques, train: 10, labels",
            r"suites\.cheques\.train: unknown key; expected from, task, labels, recomposed",
        ),
        (
            "labels: published",
            "labels: publshed",
            r"suites\.cheques\.labels: expected 'published' or 'reviewed', found 'publshed'",
        ),
        ("recomposed: 0}", "recomposed: -1}", r"cheques\.recomposed: expected greater than or equal to 0, found -1"),
        (
            "from: raw/cheques, labels: published",
            "from: raw/cheqes, labels: published",
            r"suites\.cheques\.from: expected mnist/mnist, or raw/NAME .* \(cheques\), found 'raw/cheqes' \(did you",
        ),
        (
            "from: raw/cheques, labels: published",
            "from: raw/mnist, labels: published",
            r"suites\.cheques\.from: expected mnist/mnist, or raw/NAME",
        ),
        (
            "from: raw/cifar10, train",
            "from: raw/cheques, train",
            r"suites\.cifar10\.from: expected raw/mnist or raw/cif",
        ),
        (
            "  cheques: {from: public}",
            "  mine: {from: public}",
            r"sources\.mine\.from: only mnist, cifar10, cheques are p",
        ),
        ("  cheques: {from: public}", "  a@b: {from: x}", r"sources\.a@b: expected a name of A-Z"),
        (
            "  cheques: {from: public}",
            "  Mnist: {from: x}",
            r"sources\.Mnist: differs from mnist in upper and lower case",
        ),
        ("regions: 32 ", "regions: 65 ", r"strategies\.rcnn\.regions: expected less than or equal to 64, found 65"),
        ("from: raw/mnist,", "from: raw/mnist, vary: true,", r"suites\.mnist\.vary: unknown key"),
        ("normalization: rescale", "normalization: zka", r"slice\.normalization: expected one of none, rescale"),
        (
            "test: 10000}",
            "test: 10000, leave_out: reviews/none.csv}",
            r"suites\.mnist\.leave_out: no list 'reviews/none\.csv'; expected a CSV file of reviews/, there are none",
        ),
        (
            "recomposed: 0}",
            "recomposed: 0, leave_out: ../list.csv}",
            r"suites\.cheques\.leave_out: '\.\./list\.csv' leads outside the project",
        ),
        (
            "mnist: {from: raw/mnist, folds",
            "mnist: {from: raw/mnst, folds",
            r"suspects\.mnist\.from: no source 'raw/mnst' \(did you mean 'raw/mnist'\?\); there are raw/mnist, raw/c",
        ),
        ("folds: 5", "folds: 1", r"suspects\.mnist\.folds: expected greater than or equal to 2, found 1"),
        ("slice_pictures: 50", "slice_pictures: 0", r"analysis\.slice_pictures: expected greater than or equal to 1"),
        (
            "precision: auto",
            "precision: float16",
            r"precision: expected 'auto', .*, 'mixed_bfloat16' or 'mixed_float16'",
        ),
        ("    dropout: 0.3\n", "", r"strategies\.slice\.dropout: missing"),
        ("seed: 20 ", "seed: !!python/object/apply:os.system ['true'] ", r":\d+: could not determine a constructor"),
        ("seed: 20 ", "seed: [20 ", r":\d+: .*expected plain YAML"),
    ],
)
def test_a_wrong_value_is_one_clear_line(project, old, new, expected):
    message = message_of(changed(project, old, new))
    assert re.search(expected, message), message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"- 1\n", "found list"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_without_sections(project, content, expected):
    path = project / "params.yaml"
    path.write_bytes(content)
    assert expected in message_of(path)


def test_a_name_that_does_not_exist_is_an_error_that_lists_those_that_do():
    loaded = params.load(ROOT / "params.yaml")
    with pytest.raises(ConfigurationError, match=r"strategies: no 'slyce' \(did you mean 'slice'\?\); there are"):
        loaded.strategies["slyce"]
    with pytest.raises(ConfigurationError, match=r"suites: no 'plane' \(did you mean 'plain'\?\); there are mnist,"):
        loaded.suites["plane"]
    with pytest.raises(ConfigurationError, match=r"sources: no 'svhn'; there are mnist, cifar10"):
        loaded.origin_of("svhn")


def test_labels_of_other_sources_were_not_reviewed(project):
    changed(project, "  cheques: {from: public}", "  cheques: {from: public}\n  mine: {from: my_lines}")
    path = changed(project, "from: raw/cheques, labels: reviewed", "from: raw/mine, labels: reviewed")
    assert "suites.cheques_reviewed.labels: only labels of cheques were reviewed; expected 'published'" in message_of(
        path
    )
    loaded = params.load(changed(project, "from: raw/mine, labels: reviewed", "from: raw/mine, labels: published"))
    assert isinstance(loaded.suites["cheques_reviewed"], LabelledSuite)
    assert loaded.origin_of("mine") == "my_lines"


def test_lines_are_labelled_where_they_come_from_a_raw_source():
    loaded = params.load(ROOT / "params.yaml")
    assert isinstance(loaded.suites["lines"], LineSuite)
    assert isinstance(loaded.suites["cheques"], LabelledSuite)


SHELF = "  scenes: {task: scenes, from: mnist/mnist"


def with_shelf(project, entry):
    """A params.yaml with a folder in COCO's format and a suite of it."""
    changed(project, "  cheques: {from: public}", "  cheques: {from: public}\n  shelf: {from: my_shelf}")
    return changed(project, SHELF, f"  shelf: {{{entry}}}\n{SHELF}")


def test_scenes_are_labelled_where_they_come_from_a_raw_source(project):
    with_shelf(project, "task: scenes, from: raw/shelf")
    loaded = params.load(changed(project, "proposals: [scenes]", "proposals: [scenes, shelf]"))
    assert isinstance(loaded.suites["scenes"], SceneSuite)
    assert isinstance(loaded.suites["shelf"], LabelledSceneSuite)
    # How many pictures a folder has is not known before it is read.
    params.load(changed(project, "train_on: scenes/scenes", "train_on: scenes/shelf"))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("task: scenes, from: raw/shelf, rounds: 2", r"suites\.shelf\.rounds: unknown key; expected from, task"),
        (
            "task: scenes, from: raw/shelv",
            r"suites\.shelf\.from: .* of labelled scenes \(cheques, shelf\), found .* \(did you mean 'shelf'\?\)",
        ),
        ("task: scenes, from: raw/mnist", r"suites\.shelf\.rounds: missing"),
        ("task: scenes, from: shelf", r"suites\.shelf\.rounds: missing"),
        ("task: strips, from: raw/shelf", r"suites\.shelf\.rounds: missing"),
    ],
)
def test_labelled_scenes_that_cannot_be_made_are_refused(project, entry, expected):
    assert re.search(expected, message_of(with_shelf(project, entry)))


@pytest.fixture
def reading_lines(project, tmp_path, monkeypatch):
    """Writes a params.yaml in which `ctc` reads lines, and returns its path."""
    folder = tmp_path / "strategies"
    shutil.copytree(ROOT / "pipeline/strategies", folder)
    text = (folder / "ctc.py").read_text()
    (folder / "ctc.py").write_text(text.replace('SUITES = ("plain", ', 'SUITES = ("lines", "plain", '))
    monkeypatch.setattr(signatures, "STRATEGIES_FOLDER", folder)
    document = params.read(project / "params.yaml")
    document["reported"]["lines"] = ["lines"]

    def write(**entry):
        document["strategies"]["ctc"] |= {"task": "lines", **entry}
        (project / "params.yaml").write_text(json.dumps(document))
        return project / "params.yaml"

    return write


@pytest.mark.parametrize(
    ("train_on", "features", "batch", "expected"),
    [
        (
            "lines/cheques_reviewed",
            "data/lines/line",
            32,
            "features: no data set of lines 'data/lines/line' (did you mean",
        ),
        (
            "lines/cheques_reviewed",
            "data/strips/plain",
            32,
            "features: no data set of lines 'data/strips/plain'; there",
        ),
        ("strips/plain", "data/lines/lines", 32, "train_on: 'strips/plain' does not teach lines"),
        ("lines/lines", "data/lines/lines", 30_001, "batch: 30001 is more than the 30000 pictures"),
        ("lines/cheques", "data/lines/lines", 489, "batch: 489 is more than the 488 pictures"),
        ("lines/cheques_reviewed", "data/lines/lines", 40_489, "batch: 40489 is more than the 40488 pictures"),
    ],
)
def test_a_strategy_of_lines_that_cannot_train_is_refused(reading_lines, train_on, features, batch, expected):
    message = message_of(reading_lines(train_on=train_on, features=features, batch=batch))
    assert f"strategies.ctc.{expected}" in message


def test_a_strategy_of_lines_takes_a_second_data_set(reading_lines):
    entry = {"train_on": "lines/cheques_reviewed", "batch": 32}
    loaded = params.load(reading_lines(features="data/lines/lines", **entry))
    assert loaded.strategies["ctc"].takes_features
    loaded = params.load(reading_lines(features="data/lines/cheques_reviewed", **entry))
    assert not loaded.strategies["ctc"].takes_features
    others = [name for name, each in loaded.strategies.items() if each.features.startswith("data/features/")]
    assert others == ["vgg16", "vgg16_article"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("models/strips/slice   #", "models/strips/slices #", r"multihead\.features: no model .*did you mean"),
        ("models/strips/slice   #", "models/mnist/slice #", r"no model of a strategy that begins anew"),
        ("models/strips/slice   #", "models/strips/ctc #", r"no model of a strategy that begins anew"),
        ("models/strips/slice   #", "data/ #", r"multihead\.features: no data set of strips 'data/'"),
        (
            "    code: pipeline/networks/blocks.py\n    features: data/strips/mixed\n    gap: 3",
            "    code: pipeline/networks/blocks.py\n    features: models/strips/slice\n    gap: 3",
            r"sdnn_lenet5\.features: expected 'data/strips/mixed', since sdnn_lenet5 takes no",
        ),
    ],
)
def test_a_strategy_begins_with_what_another_one_made(project, before, after, message):
    loaded = params.load(project / "params.yaml")
    assert loaded.strategies["multihead"].features == "models/strips/slice"
    assert loaded.strategies["multihead"].takes_features
    assert re.search(message, message_of(changed(project, before, after)))


def test_a_missing_file(tmp_path):
    assert "no such file" in message_of(tmp_path / "params.yaml")


def test_a_batch_larger_than_the_fewest_scenes_there_can_be(project):
    path = project / "params.yaml"
    before, _, entry = path.read_text().partition("  rcnn:")
    path.write_text(f"{before}  rcnn:{entry.replace('batch: 32', 'batch: 12501', 1)}")
    assert "rcnn.batch: 12501 is more than the 12500 pictures" in message_of(path)


def test_settings_are_the_keyword_arguments_and_those_of_the_recipe(project):
    settings = signatures.settings_of("multihead")
    assert {"distortion", "blank_rate", *Recipe.model_fields} <= set(settings)
    assert not {"normalizer", "seed", "budget", "train", "valid", "recipe"} & set(settings)
    entry = params.load(project / "params.yaml").strategies["multihead"]
    assert entry.settings["distortion"]["stroke"] == 0.4
    recipe = Recipe(epochs=4, batch=32, learning_rate=0.0015, weight_decay=0.05)
    assert entry.arguments["recipe"] == recipe
    assert "epochs" not in entry.arguments


def test_a_setting_that_is_not_listed_has_its_default(project):
    path = changed(project, "    batch_norm: true\n    epochs: 20", "    epochs: 20")
    assert params.load(path).strategies["vgg16"].settings["batch_norm"] is False


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("int", int),
        ("Literal['a', 'b']", Literal["a", "b"]),
        ("Literal[1]", Literal[1]),
        ("str | None", str | None),
        ("Positive", types.Positive),
    ],
)
def test_annotations_are_read_without_being_evaluated(annotation, kind, tmp_path, monkeypatch):
    (tmp_path / "new.py").write_text(f"def train(train, valid, *, seed, setting: {annotation} = 1): ...\n")
    monkeypatch.setattr(signatures, "STRATEGIES_FOLDER", tmp_path)
    assert signatures.settings_of("new") == {"setting": (kind, 1)}


@pytest.mark.parametrize("annotation", ["list[int]", "open('/dev/null')", "os.PathLike", "__import__('os')"])
def test_an_annotation_that_is_not_a_setting_type_is_an_error(annotation, tmp_path, monkeypatch):
    (tmp_path / "new.py").write_text(f"def train(train, valid, *, setting: {annotation}): ...\n")
    monkeypatch.setattr(signatures, "STRATEGIES_FOLDER", tmp_path)
    with pytest.raises(ConfigurationError, match=r"new\.py: setting: "):
        signatures.settings_of("new")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("shift_loss: 0.03", "shift_loss: 1.0", "gates.prod.shift_loss: expected less than 1"),
        ("accepted_wrong: 0.03", "accepted_wrong: 1.5", "accepted_wrong: expected less than or equal to 1"),
        ("  pictures: 300 ", "  pictures: 0 ", "robustness.pictures: expected greater than or equal to 1"),
        ("  pictures: 300 ", "  picture: 300 ", "robustness.picture: unknown key"),
        ("prod: {allowed_loss: 0.01", "prod: {allowed_los: 0.01", "gates.prod.allowed_los: unknown key"),
        ("prod: {allowed_loss: 0.01", "prod: {allowed_loss: 1.5", "gates.prod.allowed_loss: expected less than 1"),
        ("mnist: {floor: 0.98", "mnist: {flor: 0.98", "gates.tasks.mnist.flor: unknown key (did you mean 'floor'?)"),
        (
            "    scenes: {floor: 0.80, ece: 0.10, accepted_wrong: 0.03, milliseconds: 250.0, megabytes: 40.0}\n",
            "",
            "gates.tasks.scenes: missing",
        ),
        ("    mnist: {floor: 0.98", "    minst: {floor: 0.98", "gates.tasks.minst"),
        ("resamples: 10000", "resamples: 10", "gates.resamples: expected greater than or equal to 1000"),
    ],
)
def test_the_policy_of_the_registry_is_checked_like_everything_else(project, old, new, expected):
    assert expected in message_of(changed(project, old, new))
