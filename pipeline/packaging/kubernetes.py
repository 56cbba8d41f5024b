"""A Dockerfile and Kubernetes manifests for a bento, from what the bento says of itself.

The container gets what docs/deploying.md says and nothing else: a numeric user without privileges, a file system that
is read-only but for /tmp, and no way out to the network.
"""

import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable, replacing

PORT = 3000
USER = 1034
"""The number that BentoML gives its user `bentoml`; Kubernetes cannot tell that a name is not root's."""
WORKERS = 2
"""Processes of a pod, each with a core."""
MEMORY = ("768Mi", "2Gi")
"""Requested, and at most: two workers take 440 MiB before a request, and 480 after large ones (docs/performance.md)."""
QUEUE_METRIC = "reader_requests_in_progress"
"""Requests that wait or are being read, of all workers of a pod."""
QUEUE = 8
"""Of these, for each pod on average, beyond which pods are added: twice the threads that read."""
REPLICAS = (2, 10)
DRAIN = 5
"""Seconds between a pod's removal from the service and its SIGTERM: proxies notice late."""
MARGIN = 10
"""Seconds for the processes to end, once the service has given up what was not finished."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}")


@dataclass(frozen=True)
class Bento:
    """What a bento says of itself.

    Attributes:
        name, version: its tag.
        python: the version of Python.
        models: the SHA-256 of the model of each task.
        environment: variables that it sets.
    """

    name: str
    version: str
    python: str
    models: Mapping[str, str]
    environment: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "Bento":
        """From a `.bento` file.

        Raises:
            DataError: there is no such file, or it is not a bento with a name and a version.
        """
        try:
            with tarfile.open(path) as archive:
                file = archive.extractfile("./bento.yaml")
                content = YAML(typ="safe", pure=True).load(file.read() if file else b"")
            labels = content["labels"]
            bento = cls(
                name=content["name"],
                version=str(content["version"]),
                python=content["image"]["python_version"],
                models={key[: -len(".sha256")]: value for key, value in labels.items() if key.endswith(".sha256")},
                environment={entry["name"]: entry["value"] for entry in content["envs"]},
            )
            matches = _NAME.fullmatch(bento.name) and _LABEL.fullmatch(bento.version)
            if not (matches and re.fullmatch(r"3\.\d{1,2}", bento.python)):
                raise ValueError(f"name {bento.name!r}, version {bento.version!r} and Python {bento.python!r} found")
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such file; `make repro` builds the bento, and `registry deploy --bento`"
            ) from None
        except (tarfile.TarError, YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = printable(" ".join(str(error).split()))[:200]
            raise DataError(f"{path}: not a bento of this project ({reason}); `make repro` builds it") from None
        return bento


def write(bento: Bento, out: Path, *, stop_seconds: float, image: str = "") -> str:
    """Write the Dockerfile, the manifests and a kustomization to a folder; what is there under these names is replaced.

    Args:
        bento: that the image has.
        out: the folder.
        stop_seconds: that the service takes at most to end after SIGTERM.
        image: the image's name with its tag or digest; "" for the bento's own tag, as `bentoml containerize` gives it.

    Returns:
        The image that the manifests name.

    Raises:
        ConfigurationError: the image's name cannot be one, or has no tag.
    """
    image = image or f"{bento.name}:{bento.version}"
    if not _IMAGE.fullmatch(image) or ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
        raise ConfigurationError(
            f"IMAGE: {printable(image)} found, expected a name with a tag other than latest, or a digest, such as "
            f"registry.example.org/{bento.name}:{bento.version}"
        )
    documents = manifests(bento, image, stop_seconds)
    documents["kustomization"] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{name}.yaml" for name in documents],
    }
    documents["prometheus-adapter-values"] = adapter_values()
    for name, document in documents.items():
        _write_text(out / f"{name}.yaml", _as_yaml(document))
    _write_text(out / "Dockerfile", dockerfile(bento))
    return image


def manifests(bento: Bento, image: str, stop_seconds: float) -> dict[str, dict[str, Any]]:
    """The objects of Kubernetes, by the names of their files, as `write` makes them."""
    selector = {"app.kubernetes.io/name": bento.name, "app.kubernetes.io/part-of": "digit-strips"}
    labels = {**selector, "app.kubernetes.io/version": bento.version}

    def made(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": bento.name, "labels": dict(labels)},
            "spec": spec,
        }

    return {
        "deployment": made("apps/v1", "Deployment", _deployment(bento, image, stop_seconds, selector, labels)),
        "service": made(
            "v1",
            "Service",
            {"selector": dict(selector), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        ),
        "horizontalpodautoscaler": made("autoscaling/v2", "HorizontalPodAutoscaler", _autoscaler(bento)),
        "poddisruptionbudget": made(
            "policy/v1", "PodDisruptionBudget", {"maxUnavailable": 1, "selector": {"matchLabels": dict(selector)}}
        ),
        "networkpolicy": made(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            {
                "podSelector": {"matchLabels": dict(selector)},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"ports": [{"protocol": "TCP", "port": "http"}]}],
                # It fetches nothing, not even names.
                "egress": [],
            },
        ),
    }


def _deployment(
    bento: Bento, image: str, stop_seconds: float, selector: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Any]:
    scrape = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}
    models = {f"digit-strips/{task}.sha256": sha256 for task, sha256 in sorted(bento.models.items())}
    return {
        # No number of replicas: it would undo what the autoscaler has decided.
        "selector": {"matchLabels": dict(selector)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": dict(labels), "annotations": scrape | models},
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": round(DRAIN + stop_seconds + MARGIN),
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": dict(selector)},
                    }
                ],
                "containers": [_container(bento, image)],
                # What the service writes: the files of its metrics, and what BentoML leaves in its home.
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}],
            },
        },
    }


def _container(bento: Bento, image: str) -> dict[str, Any]:
    def get(path: str, **more: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 2, **more}

    environment = {
        # BentoML would count the cores of the node.
        "BENTOML_CONFIG_OPTIONS": f"services.{bento.name}.workers={WORKERS}",
        "BENTOML_HOME": "/tmp/bentoml",
        "HOME": "/tmp",
    }
    return {
        "name": bento.name,
        "image": image,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": str(WORKERS), "memory": MEMORY[0]},
            # No limit of processor time: a throttled worker answers late though cores are idle.
            "limits": {"memory": MEMORY[1]},
        },
        # The models are read and proved at the start.
        "startupProbe": get("/readyz", periodSeconds=2, failureThreshold=60),
        "livenessProbe": get("/livez", periodSeconds=10, failureThreshold=3),
        "readinessProbe": get("/readyz", periodSeconds=2, failureThreshold=2),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def _autoscaler(bento: Bento) -> dict[str, Any]:
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": bento.name},
        "minReplicas": REPLICAS[0],
        "maxReplicas": REPLICAS[1],
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": QUEUE_METRIC},
                    "target": {"type": "AverageValue", "averageValue": str(QUEUE)},
                },
            }
        ],
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 300,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
            },
        },
    }


def adapter_values() -> dict[str, Any]:
    """Values for the Helm chart of the Prometheus Adapter, by which `QUEUE_METRIC` becomes a metric of pods."""
    series = f'{QUEUE_METRIC}{{namespace!="",pod!=""}}'
    query = f"sum(avg_over_time({QUEUE_METRIC}{{<<.LabelMatchers>>}}[1m])) by (<<.GroupBy>>)"
    return {
        "rules": {
            "custom": [
                {
                    "seriesQuery": series,
                    "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
                    "name": {"as": QUEUE_METRIC},
                    # A gauge that is scraped at one moment says little of the half minute around it.
                    "metricsQuery": query,
                }
            ]
        }
    }


def dockerfile(bento: Bento) -> str:
    """A Dockerfile whose context is the unpacked bento.

    BentoML's own installs a compiler and git, names its user, and pins nothing that it installs besides the
    requirements.
    """
    environment = {
        "PATH": "/app/.venv/bin:$PATH",
        "PYTHONUNBUFFERED": "1",
        "BENTOML_CONTAINERIZED": "true",
        "BENTOML_HOME": "/tmp/bentoml",
        **bento.environment,
    }
    variables = " \\\n    ".join(f"{name}={value}" for name, value in environment.items())
    check = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/readyz', timeout=2)"
    return f"""\
# {bento.name}:{bento.version}. Written by `make kubernetes`; its context is the unpacked bento.
FROM python:{bento.python}-slim AS environment
COPY env/python/requirements.txt /requirements.txt
RUN python -m venv /app/.venv && \\
    /app/.venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /requirements.txt

FROM python:{bento.python}-slim
RUN groupadd --gid {USER} bentoml && \\
    useradd --no-log-init --uid {USER} --gid {USER} --create-home bentoml
ENV {variables}
COPY --from=environment /app/.venv /app/.venv
COPY . /home/bentoml/bento
USER {USER}:{USER}
EXPOSE {PORT}
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["python", "-c", "{check}"]
ENTRYPOINT ["bentoml", "serve", "/home/bentoml/bento"]
"""


def _as_yaml(document: Mapping[str, Any]) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    text = StringIO()
    yaml.dump(document, text)
    return f"# Written by `make kubernetes`.\n{text.getvalue()}"


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
