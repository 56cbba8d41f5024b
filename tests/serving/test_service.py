"""The service as a caller sees it: `bentoml serve` in its own process, and the built bento away from the project."""

import re
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx_models
import pytest
from servers import CLASSES, ROOT, bentoml, encoded, environment, refused, serving

LIMIT = 4 * 1024 * 1024

STRIP = onnx_models.draw(CLASSES)
SOUND = encoded(STRIP)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(folder, boxes=True)
    onnx_models.package(folder, "cifar10")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("bentoml")


@pytest.fixture(scope="module")
def client(artifacts, home):
    env = environment(home, READER_ARTIFACTS=str(artifacts))
    with serving(cwd=ROOT, env=env, log=home / "log.txt") as client:
        yield client


def test_a_strip_is_read(client, artifacts):
    response = client.post("/read", content=SOUND, headers={"Content-Type": "image/png"})
    assert response.status_code == 200
    answer = response.json()
    assert answer["digits"] == "9754"
    assert [slot["class"] for slot in answer["slots"]] == ["9", "7", "5", "4", "blank"]
    for slot in answer["slots"]:
        assert slot["probability"] == slot["probabilities"][slot["class"]] > 0.99
        assert sum(slot["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        if slot["class"] == "blank":
            assert slot["box"] is None, "there is nothing to put a box around"
        else:
            sides = [0, slot["probability"], 2 * slot["probability"], 3 * slot["probability"]]
            assert slot["box"] == pytest.approx(sides)
    assert 0.98 < answer["confidence"] < 1
    assert answer["accepted"] is True
    assert answer["notes"] == []
    assert answer["model"] == {
        "task": "strips",
        "strategy": "bands",
        "sha256": onnx_models.sha256(artifacts / "strips" / "model.onnx"),
        "version": None,
        "origin": "mnist",
    }


def test_a_reading_below_the_threshold_is_not_accepted(client):
    faint = (STRIP * 0.5).astype(np.uint8)
    answer = client.post("/read", content=encoded(faint)).json()
    assert answer["confidence"] < 0.9
    assert answer["accepted"] is False


def test_a_standing_strip_is_turned_and_the_answer_says_so(client):
    answer = client.post("/read", content=encoded(np.rot90(STRIP, -1))).json()
    assert (answer["digits"], answer["notes"]) == ("9754", ["turned"])


@pytest.mark.parametrize("kind", ["image/png", "image/jpg", "application/octet-stream", None])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_the_content_decides_how_a_picture_is_decoded(client, form, kind):
    headers = {"Content-Type": kind} if kind else {}
    assert client.post("/read", content=encoded(STRIP, form), headers=headers).json()["digits"] == "9754"


@pytest.mark.parametrize("field", ["file", "picture"])
def test_a_form_with_one_file_is_read(client, field):
    response = client.post("/read", files={field: ("strip.bin", SOUND, "text/plain")}, data={"comment": "mine"})
    assert response.json()["digits"] == "9754"


def test_a_picture_is_classified_and_the_answer_says_that_the_model_saw_only_the_stand_in(client):
    picture = onnx_models.draw([3], onnx_models.CIFAR_SHAPE)
    answer = client.post("/classify", content=encoded(picture)).json()
    assert answer["class"] == "cat"
    assert [slot["class"] for slot in answer["slots"]] == ["cat"]
    assert answer["slots"][0]["box"] is None
    assert answer["accepted"] is None
    assert answer["model"]["origin"] == "embedded"


def test_info_describes_every_model(client, artifacts):
    for path in ("/info", "/"):
        models = client.get(path, follow_redirects=True).json()["models"]
        assert set(models) == {"strips", "cifar10"}
    assert models["cifar10"]["origin"] == "embedded"
    strips = models["strips"]
    assert strips["sha256"] == onnx_models.sha256(artifacts / "strips" / "model.onnx")
    assert strips["inputs"] == {"height": 28, "width": 140, "channels": 1, "dtype": "uint8"}
    assert (strips["slots"], len(strips["class_names"]), strips["threshold"]) == (5, 11, 0.9)
    assert strips["metrics"] == {"sequence_accuracy": 0.97}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_what_operators_ask_for_is_as_bentoml_has_it(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"not a picture", 400, "not_a_picture"),
        (b"http://127.0.0.1/strip.png", 400, "not_a_picture"),
        (SOUND[:-20], 400, "damaged"),
        (encoded(STRIP, "GIF"), 415, "unsupported_format"),
        (encoded(np.zeros((28, 28), np.uint8)), 422, "wrong_size"),
        (encoded(np.zeros((5000, 5000), np.uint8)), 413, "too_many_pixels"),
        (b"x" * (LIMIT + 1), 413, "body_too_large"),
    ],
    ids=["empty", "text", "an address", "truncated", "GIF", "another size", "many pixels", "many bytes"],
)
def test_a_body_that_is_no_strip_is_refused(client, body, status, code):
    message = refused(client.post("/read", content=body), status, code)
    assert "expected" in message
    if code == "wrong_size":
        assert "140×28" in message


def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(client):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 100 * LIMIT:
            sent += 65536
            yield bytes(65536)

    refused(client.post("/read", content=endless()), 413, "body_too_large")
    assert sent < 10 * LIMIT


@pytest.mark.parametrize("kind", ["application/json", "text/html", "application/vnd.bentoml+pickle"])
def test_a_content_type_that_is_no_picture_is_refused(client, kind):
    response = client.post("/read", content=SOUND, headers={"Content-Type": kind})
    assert kind in refused(response, 415, "unsupported_content_type")


def test_a_form_without_exactly_one_file_is_refused(client):
    address = {"file": (None, "http://127.0.0.1/strip.png")}
    assert "no file in the form" in refused(client.post("/read", files=address), 400, "empty")
    two = [("file", ("a.png", SOUND)), ("file", ("b.png", SOUND))]
    assert "Too many files" in refused(client.post("/read", files=two), 400, "bad_request")
    assert refused(client.post("/read", files={"file": ("a.png", b"")}), 400, "empty")
    broken = {"Content-Type": "multipart/form-data"}
    assert "boundary" in refused(client.post("/read", content=SOUND, headers=broken), 400, "bad_request")
    large = {"file": ("a.png", bytes(LIMIT))}
    refused(client.post("/read", files=large), 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/docs.json", 404, "not_found"),
        ("GET", "/read", 405, "method_not_allowed"),
        ("DELETE", "/classify", 405, "method_not_allowed"),
        ("POST", "/info", 405, "method_not_allowed"),
    ],
)
def test_another_path_or_method_gets_the_same_kind_of_error(client, method, path, status, code):
    response = client.request(method, path)
    assert path in refused(response, status, code)
    assert ("allow" in response.headers) == (status == 405)


def test_answers_to_many_at_once_are_each_ones_own(client):
    readings = [np.random.default_rng(seed).permutation(10)[:5] for seed in range(64)]
    with ThreadPoolExecutor(16) as callers:
        bodies = [encoded(onnx_models.draw(classes)) for classes in readings]
        answers = callers.map(lambda body: client.post("/read", content=body).json()["digits"], bodies)
        assert list(answers) == ["".join(map(str, classes)) for classes in readings]


def read_so_far(client):
    """How many requests to /read were answered, as /metrics has it."""
    found = re.search(r'reader_requests_total\{path="/read",status="200"\} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0


def test_a_service_that_starts_with_the_same_bentoml_home_leaves_the_counters_of_the_first(
    client, artifacts, home, tmp_path
):
    for _ in range(3):
        assert client.post("/read", content=SOUND).status_code == 200
    before = read_so_far(client)
    assert before >= 3
    env = environment(home, READER_ARTIFACTS=str(artifacts), TMPDIR=str(tmp_path))
    with serving(cwd=ROOT, env=env, log=tmp_path / "log.txt") as other:
        assert other.post("/read", content=SOUND).status_code == 200
        assert read_so_far(other) == 1
        assert read_so_far(client) == before
        assert len(list(tmp_path.glob("reader-metrics-*"))) == 1
    assert not list(tmp_path.glob("reader-metrics-*"))
    assert client.post("/read", content=SOUND).status_code == 200
    assert read_so_far(client) == before + 1


def refuses_to_start(artifacts, home):
    command = bentoml("serve", "--host", "127.0.0.1", "--port", "0")
    env = environment(home, READER_ARTIFACTS=str(artifacts))
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr + result.stdout
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_model_with_one_byte_changed_is_not_served(tmp_path):
    path = onnx_models.package(tmp_path) / "model.onnx"
    expected = onnx_models.sha256(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    line = refuses_to_start(tmp_path, tmp_path / "home")
    assert expected in line
    assert onnx_models.sha256(path) in line


def test_nothing_packaged_is_not_served(tmp_path):
    assert "no packaged model" in refuses_to_start(tmp_path, tmp_path / "home")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What a bento is built from: the project's own files around a small model."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pipeline", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bentofile.yaml", "requirements/serve.lock", "docs/serving.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    onnx_models.package(folder / "artifacts", boxes=True)
    return folder


def build(project, out):
    command = [sys.executable, "-m", "stages.bento", "--artifacts", "artifacts", "--out", out]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)


def test_the_built_bento_served_anywhere_answers_the_same(client, project, tmp_path):
    made = build(project, "artifacts/reader.bento")
    assert made.returncode == 0, made.stderr
    env = environment(tmp_path / "home")
    advised = re.search(r"`bentoml (import [^`]+)`", made.stdout)[1].split()
    subprocess.run(bentoml(*advised), cwd=project, env=env, capture_output=True, check=True)
    with serving("reader:latest", cwd=tmp_path, env=env, log=tmp_path / "log.txt") as other:
        assert other.post("/read", content=SOUND).json() == client.post("/read", content=SOUND).json()
        message = refused(other.post("/classify", content=SOUND), 404, "not_packaged")
        assert "cifar10" in message
        assert "strips" in message


def test_a_bento_holds_what_serving_imports_and_is_the_same_when_built_again(project):
    assert build(project, "first.bento").returncode == 0
    first = (project / "first.bento").read_bytes()
    assert build(project, "first.bento").returncode == 0
    assert (project / "first.bento").read_bytes() == first
    with tarfile.open(project / "first.bento") as archive:
        names = {name.removeprefix("./src/") for name in archive.getnames() if name.startswith("./src/")}
        description = archive.extractfile("./bento.yaml").read().decode()
    assert {"artifacts/strips/model.onnx", "artifacts/strips/manifest.json", "pipeline/serving/service.py"} <= names
    assert not any(name.startswith(("stages", "tests")) for name in names)
    assert "pipeline/training/loop.py" not in names
    digest = onnx_models.sha256(project / "artifacts" / "strips" / "model.onnx")
    assert f"strips.sha256: {digest}" in description
    assert "strips.origin: mnist" in description


def test_a_bento_is_built_where_dvc_runs_experiments(project, tmp_path):
    """Below a folder whose name begins with a dot, where BentoML itself builds nothing."""
    copy = shutil.copytree(project, tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "copy")
    made = build(copy, "there.bento")
    assert made.returncode == 0, made.stderr
    assert build(project, "here.bento").returncode == 0
    assert (copy / "there.bento").read_bytes() == (project / "here.bento").read_bytes()


def test_a_bento_is_not_built_of_a_damaged_model(project, tmp_path):
    copy = shutil.copytree(project, tmp_path / "copy")
    model = copy / "artifacts" / "strips" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    made = build(copy, "broken.bento")
    assert made.returncode == 3
    assert "SHA-256" in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1
    assert not list(copy.glob("*broken*"))


def test_a_bento_that_would_leave_out_a_packaged_model_is_not_built(project, tmp_path):
    copy = shutil.copytree(project, tmp_path / "copy")
    bentofile = copy / "bentofile.yaml"
    bentofile.write_text(bentofile.read_text().replace("  - artifacts/*/model.onnx\n", ""))
    made = build(copy, "broken.bento")
    assert made.returncode == 2
    assert "artifacts/strips/model.onnx is packaged but not included" in made.stderr
