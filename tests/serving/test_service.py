"""The BentoML service: `bentoml serve` in its own process, and the built bento away from the project."""

import re
import shutil
import socket
import subprocess
import sys
import tarfile
from contextlib import suppress

import httpx
import onnx_models
import pytest
from ruamel.yaml import YAML
from servers import CLASSES, ROOT, bentoml, encoded, environment, expect_error, recording_lookups, started, wait_for

from pipeline.runtime.memory import bound_freed_memory

STRIP = onnx_models.draw(CLASSES)
PNG = encoded(STRIP)
# What BentoML imports warns of what it uses itself; imported in the tests, since there pytest heeds the mark.
# Its client leaves a temporary folder to the garbage collector.
bentoml_imports = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def test_the_server_answers_what_the_application_does(server, client):
    for method, path, content in [
        ("POST", "/read", PNG),
        ("POST", "/read", b"no picture"),
        ("POST", "/classify", encoded(onnx_models.draw([3], onnx_models.CIFAR_SHAPE))),
        ("GET", "/info", None),
        ("GET", "/docs", None),
        ("GET", "/nothing", None),
        ("GET", "/docs.json", None),
        ("PUT", "/read", None),
        # BentoML has answers of its own to these.
        ("GET", "/livez", None),
        ("GET", "/readyz", None),
        ("GET", "/healthz", None),
        ("GET", "/schema.json", None),
    ]:
        ours = client.request(method, path, content=content)
        theirs = server.client.request(method, path, content=content)
        assert (theirs.status_code, theirs.content) == (ours.status_code, ours.content), path
    assert b"reader_requests_total" in server.client.get("/metrics").content


def test_a_worker_starts_with_bounds_on_the_memory_that_it_frees(server):
    bounds: dict[str, str] = {}
    bound_freed_memory(bounds)
    assert bounds
    assert bounds.items() <= server.worker.environ().items()


def expect_no_other_host(recorded):
    lines = (recorded / "lookups.txt").read_text().splitlines()
    looked_up = {line.split()[1] for line in lines}
    assert "127.0.0.1" in looked_up, "nothing was recorded"
    # ZeroMQ, below BentoML's supervisor, asks for the name of this machine.
    assert looked_up <= {"127.0.0.1", "localhost", "0.0.0.0", socket.gethostname(), socket.getfqdn()}


def test_no_host_but_this_one_is_looked_up_although_nobody_told_bentoml_not_to(server):
    server.client.post("/read", content=PNG)
    expect_no_other_host(server.log.parent / "lookups")


@bentoml_imports
def test_bentoml_s_own_client_calls_it(server, tmp_path):
    import bentoml

    strips = [onnx_models.draw(classes) for classes in ([1, 2, 3, 4, 5], [6, 7, 8, 9, 0], [5, 5, 5, 10, 10])]
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for file, strip in zip(files, strips, strict=True):
        file.write_bytes(encoded(strip))
    picture = tmp_path / "cat.png"
    picture.write_bytes(encoded(onnx_models.draw([3], onnx_models.CIFAR_SHAPE)))
    with bentoml.SyncHTTPClient(str(server.client.base_url)) as bento:
        assert bento.read(picture=files[0])["digits"] == "12345"
        many = bento.read_many(pictures=files)["answers"]
        assert [answer["digits"] for answer in many] == ["12345", "67890", "555"]
        assert bento.classify(picture=str(picture))["class"] == "cat"
        assert bento.classify_many(pictures=[picture])["answers"][0]["class"] == "cat"
        # Its way to send a URL, which BentoML itself would fetch.
        with pytest.raises(bentoml.exceptions.BentoMLException, match="not_a_picture"):
            bento.read(picture="http://127.0.0.1/strip.png")


def reads_counted(client):
    """How many requests to /read were answered, as /metrics has it."""
    found = re.search(r'reader_requests_total\{path="/read",status="200"\} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0


def test_workers_count_together_and_apart_from_a_service_with_the_same_bentoml_home(server, artifacts, tmp_path):
    before = reads_counted(server.client)
    env = environment(
        server.log.parent,
        READER_ARTIFACTS=str(artifacts),
        TMPDIR=str(tmp_path),
        BENTOML_CONFIG_OPTIONS="services.reader.workers=2",
    )
    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as other:
        for _ in range(8):
            # A new connection may go to another worker.
            assert other.client.post("/read", content=PNG, headers={"Connection": "close"}).status_code == 200
        assert reads_counted(other.client) == 8
        assert reads_counted(server.client) == before
        assert len(list(tmp_path.glob("reader-metrics-*"))) == 1
    assert not list(tmp_path.glob("reader-metrics-*"))
    assert server.client.post("/read", content=PNG).status_code == 200
    assert reads_counted(server.client) == before + 1


@pytest.mark.slow
def test_what_a_killed_worker_had_in_progress_is_forgotten(artifacts, tmp_path):
    env = environment(tmp_path / "bentoml", READER_ARTIFACTS=str(artifacts))

    def in_progress():
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client,
            suppress(httpx.TransportError),
        ):
            text = client.get("/metrics").text
            return float(re.search(r"(?m)^reader_requests_in_progress (\S+)", text)[1])

    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as server:
        worker = server.worker
        with server.connect() as held:
            held.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            wait_for(lambda: in_progress() == 2, "the request never began")
            worker.kill()
            wait_for(lambda: in_progress() is not None and server.worker.pid != worker.pid, "no other worker began")
        assert in_progress() == 1


def refuses_to_start(artifacts, home, **variables):
    command = bentoml("serve", "--host", "127.0.0.1", "--port", "0")
    env = environment(home, READER_ARTIFACTS=str(artifacts), **variables)
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("BENTOML_CONFIG_OPTIONS", "services.reader.http.cors.enabled=true", "access_control_allow_origins"),
        ("BENTOML_CONFIG_OPTIONS", "services.reader.traffic.max_concurrency=5", "READER_REQUESTS"),
        ("READER_HOSTS", "a b", "READER_HOSTS"),
        ("READER_HEAD_BYTES", "0", "READER_HEAD_BYTES"),
    ],
)
def test_settings_that_cannot_hold_are_refused_at_the_start(artifacts, tmp_path, variable, value, named):
    assert named in refuses_to_start(artifacts, tmp_path, **{variable: value})


@pytest.mark.slow
def test_browsers_of_other_origins_are_answered_where_bentoml_s_settings_say_so(artifacts, server, tmp_path):
    page = "https://app.example.org"
    cors = "services.reader.http.cors"
    options = f'services.reader.workers=1 {cors}.enabled=true {cors}.access_control_allow_origins="{page}"'
    env = environment(tmp_path / "bentoml", READER_ARTIFACTS=str(artifacts), BENTOML_CONFIG_OPTIONS=options)
    origin = {"Origin": page}
    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as other:
        asked = other.client.options("/read", headers={**origin, "Access-Control-Request-Method": "POST"})
        answers = [
            asked,
            other.client.post("/read", content=PNG, headers=origin),
            other.client.post("/read", content=b"x", headers=origin),
            other.client.get("/livez", headers=origin),
            other.client.get("/nothing", headers=origin),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 400, 200, 404]
        assert {answer.headers.get("access-control-allow-origin") for answer in answers} == {page}
        foreign = other.client.get("/livez", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
    assert "access-control-allow-origin" not in server.client.get("/livez", headers=origin).headers


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What a bento is built from: the project's own files around a small model."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pipeline", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bentofile.yaml", "requirements/serve.lock", "docs/serving.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    document = YAML(typ="safe").load(ROOT / "params.yaml")
    document["package"] = {"strips": {}}
    YAML().dump(document, folder / "params.yaml")
    onnx_models.package(folder / "artifacts", boxes=True)
    return folder


@pytest.fixture(scope="module")
def built(project):
    """The stage `bento`, run once, and the file it wrote."""
    made = build(project, "artifacts/reader.bento")
    assert made.returncode == 0, made.stderr
    return made, project / "artifacts/reader.bento"


def build(project, out):
    command = [sys.executable, "-m", "stages.bento", "--artifacts", "artifacts", "--out", out]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)


def test_the_built_bento_served_anywhere_answers_the_same(server, project, built, tmp_path):
    made, _ = built
    env = environment(tmp_path / "home")
    advised = re.search(r"`bentoml (import [^`]+)`", made.stdout)[1].split()
    subprocess.run(bentoml(*advised), cwd=project, env=env, capture_output=True, check=True)
    env |= recording_lookups(tmp_path / "lookups")
    del env["BENTOML_DO_NOT_TRACK"]
    with started("reader:latest", cwd=tmp_path, env=env, log=tmp_path / "log.txt") as other:
        assert other.client.post("/read", content=PNG).json() == server.client.post("/read", content=PNG).json()
        expect_error(other.client.post("/classify", content=PNG), 404, "not_packaged")
        assert "SwaggerUIBundle" in other.client.get("/docs/swagger-ui-bundle.js").text
        assert "/page/app.js" in other.client.get("/", headers={"Accept": "text/html"}).text
        assert other.client.get("/page/app.js").status_code == 200
    expect_no_other_host(tmp_path / "lookups")


def test_a_bento_holds_what_serving_imports(project, built):
    with tarfile.open(built[1]) as archive:
        names = {name.removeprefix("./src/") for name in archive.getnames() if name.startswith("./src/")}
        description = archive.extractfile("./bento.yaml").read().decode()
    assert {"artifacts/strips/model.onnx", "artifacts/strips/manifest.json", "pipeline/serving/service.py"} <= names
    page = ROOT / "pipeline" / "serving" / "page"
    assert {str(file.relative_to(ROOT)) for file in page.rglob("*") if file.is_file()} <= names
    packages = {name.split("/")[1] for name in names if name.startswith("pipeline/") and name.count("/") > 1}
    assert packages == {"access", "core", "monitoring", "records", "rollout", "runtime", "scheduling", "serving"}
    assert not any(name.startswith(("stages", "tests")) for name in names)
    digest = onnx_models.sha256(project / "artifacts" / "strips" / "model.onnx")
    assert f"strips.sha256: {digest}" in description
    assert "strips.origin: mnist" in description


def test_a_bento_is_the_same_file_when_built_again_where_dvc_runs_experiments(project, built, tmp_path):
    """Below a folder whose name begins with a dot, where BentoML itself builds nothing."""
    copy = shutil.copytree(project, tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "copy")
    made = build(copy, "there.bento")
    assert made.returncode == 0, made.stderr
    assert (copy / "there.bento").read_bytes() == built[1].read_bytes()


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
    assert "artifacts/strips/model.onnx" in made.stderr
