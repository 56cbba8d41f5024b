"""Runs a plan on Ray: each chain of stages is a task, which begins when the chains before it have ended.

The driver keeps no state of its own. What is finished is in the remote, so a driver that is started again, here or on
another machine, goes on where the last one stopped.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pipeline.cluster import outcomes, plan, session, shipping
from pipeline.cluster.plan import Plan, Task
from pipeline.config.sections import Cluster, Resources
from pipeline.core.errors import ConfigurationError
from pipeline.core.files import write_text
from pipeline.experiments import lanes
from pipeline.experiments.lanes import Chain
from pipeline.project import dvc, git
from pipeline.project.dvc import Stopped
from pipeline.project.progress import format_seconds
from pipeline.project.ray_address import ADDRESS_VARIABLE
from pipeline.project.remote import Remote, explained
from pipeline.records.outcome import Outcome

LOGS = Path("reports/logs/cluster")
"""The logs of the tasks that ended here."""
SECRETS = (
    *("access_key_id", "secret_access_key", "session_token", "password", "passphrase", "account_key", "sas_token"),
    *("connection_string", "client_secret", "sse_customer_key", "oss_key_id", "oss_key_secret"),
    *("token", "gdrive_client_secret"),
)
"""Settings of a remote that are not sent over the network: a node has its own, as DVC and the libraries find them."""
_MANY = 3
"""Stages of a chain that the dashboard names."""


@dataclass
class Progress:
    """What has happened so far.

    Attributes:
        outcomes: by key, of every task that is finished.
        ran: keys of the tasks that this driver had run.
        failures: by the names of the stages, why they failed.
    """

    outcomes: dict[str, Outcome]
    total: int
    ran: list[str] = field(default_factory=list)
    failures: dict[str, Stopped] = field(default_factory=dict)


def find(tasks: Plan) -> dict[str, Outcome]:
    """The tasks that need not run: dvc.lock has their outcome, or the remote. Pushes what only this machine has.

    Raises:
        ConfigurationError, RemoteError: there is no remote, or it cannot be used.
    """
    with dvc.opened() as repo:
        remote = Remote.of(repo)
        remote.probe()
    current = plan.known(tasks)
    plan.expect_sources(tasks, list(current))
    found = {**current, **outcomes.read_all(remote, [key for key in tasks.tasks if key not in current])}
    needed = {each for key, task in tasks.tasks.items() if key not in found for each in task.upstream}
    if here := sorted({tasks.tasks[key].stage.name for key in needed if key in current}):
        with dvc.opened() as repo, explained(remote.name, remote.address):
            repo.push(targets=here)
    return found


def run(command: str, tasks: Plan, settings: Cluster, finished: Callable[[Progress], None]) -> Progress:
    """Run what is not finished, each chain of stages on one node.

    A failed stage stops what depends on it, and nothing else. A task whose worker or node dies is run again elsewhere.

    Args:
        command: what the user called, for messages.
        tasks: of all runs.
        settings: the section `cluster` of params.yaml.
        finished: called once at the beginning, and after every task that ended.

    Returns:
        What was done; failures are in it.

    Raises:
        ConfigurationError: no remote, no Ray, no node that is large enough.
        ClusterError, RemoteError: the cluster or the remote cannot be used.
    """
    progress = Progress(find(tasks), len(tasks.tasks))
    finished(progress)
    pending = {key: task for key, task in tasks.tasks.items() if key not in progress.outcomes}
    print(f"{len(progress.outcomes)} of {progress.total} stages are known; {len(pending)} are to run", flush=True)
    if not pending:
        return progress
    chains = lanes.chains({key: set(task.upstream & pending.keys()) for key, task in pending.items()})
    with session.connected() as ray:
        wanted = {chain: _resources(settings, [pending[key].stage.name for key in chain]) for chain in chains}
        for chain, resources in wanted.items():
            session.expect_room(ray, resources, _title(pending, chain))
        _Run(command, ray, settings.retries, pending, chains, wanted, progress, finished).follow()
    return progress


@dataclass
class _Run:
    command: str
    ray: ModuleType
    retries: int
    pending: Mapping[str, Task]
    chains: dict[Chain, set[Chain]]
    wanted: Mapping[Chain, Resources]
    progress: Progress
    finished: Callable[[Progress], None]

    def follow(self) -> None:
        """Start what can begin, and take what has ended, until nothing is left."""
        # By value: a node has no clone of the project.
        self.ray.cloudpickle.register_pickle_by_value(shipping)
        remote = self.ray.remote(shipping.run)
        bundle, job = self.ray.put(_bundle()), _job()
        ended: set[Chain] = set()
        running: dict[Any, Chain] = {}
        while True:
            for chain in [chain for chain, before in self.chains.items() if before <= ended]:
                del self.chains[chain]
                title = _title(self.pending, chain)
                options = session.options(self.wanted[chain], title, self.retries)
                reference = remote.options(**options).remote(bundle, {**job, **self._stages(chain)})
                running[reference] = chain
            if not running:
                return
            (reference,), _ = self.ray.wait(list(running), num_returns=1)
            chain = running.pop(reference)
            if self._take(chain, reference):
                ended.add(chain)

    def _stages(self, chain: Chain) -> dict[str, Any]:
        """The part of a job that differs from chain to chain."""
        before = {key for each in chain for key in self.pending[each].upstream} - set(chain)
        known = [self.progress.outcomes[key] for key in sorted(before)]
        return {
            "changes": list(self.pending[chain[-1]].changes),
            "stages": [{"name": self.pending[key].stage.name, "key": key} for key in chain],
            "upstream": {outcome.stage: outcome.as_json() for outcome in known},
        }

    def _take(self, chain: Chain, reference: Any) -> bool:
        """Take the result of a task; returns whether all of its stages are finished."""
        title = _title(self.pending, chain)
        try:
            result = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            reason = " ".join(str(getattr(error, "cause", None) or error).split())[-300:]
            result = {"outcomes": {}, "log": str(error), "error": {"exit_code": 4, "kind": "cluster", "line": reason}}
        for key, document in result["outcomes"].items():
            self.progress.outcomes[key] = Outcome.model_validate(document)
            self.progress.ran.append(key)
        log = LOGS / f"{chain[0][:12]}.log"
        write_text(log, result["log"])
        place = next((self.progress.outcomes[key].machine for key in chain if key in self.progress.outcomes), "")
        position = f"[{len(self.progress.outcomes)}/{self.progress.total}]"
        if failed := result.get("error"):
            print(f"{position} {title}  failed  {failed['line']}", flush=True)
            line = f"{title}: {failed['kind']}: {failed['line']}; log: {log}"
            self.progress.failures[title] = Stopped(self.command, failed["exit_code"], line)
        else:
            cached = all(self.progress.outcomes[key].cached for key in chain)
            computed = sum(self.progress.outcomes[key].seconds for key in chain)
            took = "from the run cache" if cached else format_seconds(computed)
            print(f"{position} {title}  {took}  on {place}", flush=True)
        self.finished(self.progress)
        return not failed


def expect_success(progress: Progress) -> None:
    """Raise the first failure, if there was one, and count the others."""
    if progress.failures:
        first, *others = progress.failures.values()
        more = f" (and {len(others)} more above)" if others else ""
        raise Stopped(first.kind.removesuffix(" stopped"), first.exit_code, f"{first}{more}")


def check_settings(settings: Cluster, stages: Collection[str]) -> None:
    """Check that the section `cluster` names stages that dvc.yaml has.

    Raises:
        ConfigurationError: it names another.
    """
    kinds = {name.partition("@")[0] for name in stages}
    for name in settings.resources:
        if name != "default" and name not in kinds and name not in stages:
            raise ConfigurationError(
                f"params.yaml: cluster.resources.{name}: no such stage; expected default, one of "
                f"{', '.join(sorted(kinds))}, or a single one as in train@slice"
            )


def _resources(settings: Cluster, stages: list[str]) -> Resources:
    """What the most demanding stage of a chain asks for."""
    each = [settings.of(stage) for stage in stages]
    return Resources(
        cores=max(one.cores for one in each), memory=max(one.memory for one in each), gpus=max(one.gpus for one in each)
    )


def _title(pending: Mapping[str, Task], chain: Chain) -> str:
    names = [pending[key].stage.name for key in chain]
    seen = ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
    changed = shlex.join(pending[chain[-1]].changes)
    return f"{seen} ({changed})" if changed else seen


def _bundle() -> bytes:
    """The commit and its history, as git reads them elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        git.output("bundle", "create", "--quiet", f"{folder}/commit.bundle", "HEAD")
        return Path(folder, "commit.bundle").read_bytes()


def _job() -> dict[str, Any]:
    return {
        "commit": git.output("rev-parse", "HEAD"),
        "prefix": git.output("rev-parse", "--show-prefix"),
        "remote": _remote(),
    }


def _remote() -> dict[str, Any]:
    """The default remote, for the configuration of DVC on a node.

    On a cluster elsewhere, without what is secret. A cluster of this machine reads what this user has.
    """
    with dvc.opened() as repo:
        name = repo.config["core"]["remote"]
        remote = dict(repo.config["remote"][name])
        url = remote["url"]
        if "://" not in url:
            remote["url"] = os.path.abspath(url)  # noqa: PTH100  # DVC's own, relative to nothing here.
    settings, held = (remote, []) if not os.environ.get(ADDRESS_VARIABLE) else without_secrets(remote)
    if held:
        print(f"note     remote     {', '.join(held)} stay here; each node needs its own", file=sys.stderr)
    return {"name": name, "settings": settings}


def without_secrets(remote: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What of a remote's settings may travel over the network, and the names of what may not.

    A password may also be part of the address, as in `ssh://ada:secret@host/folder`. `git.without_password` is for
    messages, where it may hide more than a password; a node has to reach this address.
    """
    settings = {key: value for key, value in remote.items() if key not in SECRETS}
    held = sorted(set(remote) - set(settings))
    address = urlsplit(remote["url"])
    if address.password is not None:
        name, _, host = address.netloc.rpartition("@")
        settings["url"] = address._replace(netloc=f"{name.partition(':')[0]}@{host}").geturl()
        held.append("the password in url")
    return settings, held
