"""The manifests and the Dockerfile of a bento. docs/deploying.md says which validators read them besides."""

import io
import re
import tarfile
from pathlib import Path

import pytest
from refusals import refuses
from ruamel.yaml import YAML

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.packaging import kubernetes
from pipeline.packaging.kubernetes import Bento
from pipeline.scheduling.limits import Limits
from pipeline.serving.middleware import HEALTH_PATHS

ROOT = Path(__file__).parents[2]
DIGEST = "a" * 64
CONTENT = f"""
name: reader
version: 0123abcd-mnist-0.1.0
labels: {{project: digit-strips, mnist.strategy: convnet, mnist.sha256: {DIGEST}}}
image: {{python_version: '3.11'}}
envs: [{{name: BENTOML_DO_NOT_TRACK, value: 'True', stage: all}}]
"""


def bento(path, content=CONTENT):
    with tarfile.open(path, "w:xz") as archive:
        entry = tarfile.TarInfo("./bento.yaml")
        entry.size = len(content.encode())
        archive.addfile(entry, io.BytesIO(content.encode()))
    return path


@pytest.fixture
def written(tmp_path):
    image = kubernetes.write(Bento.read(bento(tmp_path / "reader.bento")), tmp_path / "out", stop_seconds=35)
    assert image == "reader:0123abcd-mnist-0.1.0"
    yaml = YAML(typ="safe", pure=True)
    return {path.stem: yaml.load(path.read_text()) for path in (tmp_path / "out").glob("*.yaml")}


def test_the_pods_have_no_more_rights_than_they_need(written):
    pod = written["deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1034
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert written["networkpolicy"]["spec"]["egress"] == []


def test_probes_ask_what_the_service_answers_and_it_may_finish(written):
    spec = written["deployment"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths <= set(HEALTH_PATHS)
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    limits = Limits()
    assert pod["terminationGracePeriodSeconds"] > kubernetes.DRAIN + limits.stop_seconds + limits.close_seconds
    assert "replicas" not in spec


def test_every_object_selects_the_pods_of_the_deployment(written):
    labels = written["deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        written["deployment"]["spec"]["selector"]["matchLabels"],
        written["service"]["spec"]["selector"],
        written["poddisruptionbudget"]["spec"]["selector"]["matchLabels"],
        written["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    # A selector never changes, a version does.
    assert all("app.kubernetes.io/version" not in selector for selector in selectors)
    assert labels["app.kubernetes.io/version"] == "0123abcd-mnist-0.1.0"
    assert sorted(written["kustomization"]["resources"]) == sorted(
        f"{name}.yaml" for name in written if name not in ("kustomization", "prometheus-adapter-values")
    )


def test_the_autoscaler_asks_for_a_metric_that_the_service_has(written):
    (metric,) = written["horizontalpodautoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f'"{name}"' in (ROOT / "pipeline/serving/metrics.py").read_text()
    (rule,) = written["prometheus-adapter-values"]["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(name + "{")


def test_the_image_pins_what_it_installs_and_runs_as_a_number(tmp_path):
    text = kubernetes.dockerfile(Bento.read(bento(tmp_path / "reader.bento")))
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.11-slim"] * 2
    assert "--require-hashes" in text
    assert re.search(r"^USER 1034:1034$", text, re.MULTILINE)
    assert "BENTOML_DO_NOT_TRACK=True" in text


@pytest.mark.parametrize("image", ["reader", "registry.example.org:5000/reader", "reader:latest", "reader:a b", "-r:1"])
def test_an_image_has_a_tag_that_stays(tmp_path, image):
    found = Bento.read(bento(tmp_path / "reader.bento"))
    with refuses(ConfigurationError, "IMAGE: "):
        kubernetes.write(found, tmp_path / "out", stop_seconds=35, image=image)
    digest = f"registry.example.org:5000/reader@sha256:{DIGEST}"
    assert kubernetes.write(found, tmp_path / "out", stop_seconds=35, image=digest) == digest


@pytest.mark.parametrize("content", ["", "name: reader", CONTENT.replace("reader", "Reader'"), "a: [", "- 1"])
def test_another_file_is_one_line(tmp_path, content):
    with refuses(DataError, "reader.bento: not a bento of this project"):
        Bento.read(bento(tmp_path / "reader.bento", content))
    (tmp_path / "text.bento").write_text("text")
    with refuses(DataError, "text.bento: not a bento of this project"):
        Bento.read(tmp_path / "text.bento")
    with refuses(DataError, "no such file; `make repro` builds the bento"):
        Bento.read(tmp_path / "lost.bento")
