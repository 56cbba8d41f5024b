"""Files of tokens, rates that workers share, and the audit log."""

import fcntl
import json
import multiprocessing
import subprocess
import sys
import threading
import time

import pytest

from pipeline.access import rates, tokens
from pipeline.access.audit import Audit
from pipeline.access.rates import Rates
from pipeline.access.settings import AccessSettings
from pipeline.core.errors import ConfigurationError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.json"


def test_a_file_has_hashes_and_no_secret(file):
    secret = tokens.create(file, "ci", ["read"], 60, 30)
    assert len(secret) >= 43 + len(tokens.PREFIX)
    assert secret not in file.read_text()
    assert json.loads(file.read_text())["tokens"][0]["sha256"] == tokens.digest(secret)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    tokens.create(file, "ops", ["admin", "read"], 60, None)
    assert file.stat().st_mode & 0o777 == 0o640
    found = tokens.Tokens(file)
    assert found.of(secret).name == "ci"
    assert found.of(secret + "x") is None
    with pytest.raises(ConfigurationError, match="'ci' is there"):
        tokens.create(file, "ci", ["read"], 60, None)
    tokens.revoke(file, "ci")
    with pytest.raises(ConfigurationError, match="no token 'ci'; there are: ops"):
        tokens.revoke(file, "ci")


def grant_and_revoke(file, number):
    for _ in range(15):
        tokens.create(file, f"token-{number}", ["read"], 60, None)
        tokens.revoke(file, f"token-{number}")


def test_a_grant_brings_no_token_back_that_is_revoked_meanwhile(file):
    context = multiprocessing.get_context("spawn")
    people = [context.Process(target=grant_and_revoke, args=(file, number)) for number in range(3)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    # Each finds its own token once it is there, and never after it was revoked.
    assert [each.exitcode for each in people] == [0, 0, 0]
    assert tokens.read_tokens(file).tokens == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "tokens.json: Invalid JSON"),
        ('{"tokens": [{"name": "x"}]}', "tokens.json: tokens.0.scopes: Field required"),
        ("", "Invalid JSON"),
    ],
)
def test_a_damaged_file_is_named(file, content, message):
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=message):
        tokens.read_tokens(file)


def test_a_file_that_others_can_write_is_refused(file):
    tokens.create(file, "ci", ["read"], 60, None)
    file.chmod(0o620)
    with pytest.raises(ConfigurationError, match="mode 620 found"):
        tokens.read_tokens(file)


def test_a_file_that_becomes_damaged_changes_nothing(file, monkeypatch, caplog):
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)
    secret = tokens.create(file, "ci", ["read"], 60, None)
    found = tokens.Tokens(file)
    file.write_text("{")
    assert found.of(secret).name == "ci"
    assert "stay as they were" in caplog.text


def test_an_allowance_comes_back_with_time(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(rates.time, "monotonic", lambda: clock[0])
    limit = Rates(None)
    assert [limit.take("a", 2) for _ in range(2)] == [0, 0]
    assert limit.take("a", 2) == pytest.approx(30)
    clock[0] += 31
    assert limit.take("a", 2) == 0
    assert limit.take("a", 2) > 0
    assert limit.take("b", 2) == 0


def take(folder, key, queue):
    queue.put(sum(Rates(folder).take(key, 50) == 0 for _ in range(50)))


def test_workers_share_one_allowance(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=take, args=(tmp_path, "a" * 32, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    taken = sum(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    # What comes back while they run.
    assert 50 <= taken <= 55


def test_the_log_is_bounded_whole_and_follows_a_rotation(tmp_path):
    path = tmp_path / "audit.jsonl"
    logs = [Audit(path, 20_000) for _ in range(2)]

    def write(log):
        for _ in range(200):
            log.note("ci", "POST", "/read", 200, "127.0.0.1")

    threads = [threading.Thread(target=write, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    files = [path, path.with_name("audit.jsonl.1")]
    assert all(each.stat().st_size <= 20_500 for each in files)
    assert all(json.loads(line)["token"] == "ci" for each in files for line in each.read_text().splitlines())
    log = Audit(path, 20_000)
    path.rename(tmp_path / "moved")
    log.note("late", "GET", "/info", 200, "127.0.0.1")
    log.close()
    assert json.loads(path.read_text())["token"] == "late"


def test_a_line_that_is_written_in_part_is_completed_or_taken_back(tmp_path):
    """The system writes less than was asked for where a disk is nearly full, and then fails."""
    code = (
        "import json, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from pipeline.access.audit import Audit\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1])\n"
        "for limit in (150, 10_000):\n"
        "    log = Audit(path, 2**20)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    for name in ('first', 'second'):\n"
        "        log.note(name, 'POST', '/read', 200, '127.0.0.1')\n"
        "    log.close()\n"
    )
    path = tmp_path / "audit.jsonl"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["token"] for line in path.read_text().splitlines()] == ["first", "first", "second"]
    assert "requests are not in the audit log" in done.stderr


def test_a_request_does_not_wait_for_the_log(tmp_path):
    log = Audit(tmp_path / "audit.jsonl", 2**20)
    with (tmp_path / "audit.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        started = time.monotonic()
        for _ in range(10):
            log.note("ci", "POST", "/read", 200, "127.0.0.1")
        assert time.monotonic() - started < 5
        assert (tmp_path / "audit.jsonl").read_bytes() == b""
    log.close()
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 10


def test_guesses_do_not_fill_the_log(tmp_path):
    log = Audit(tmp_path / "audit.jsonl", 2**20)
    for _ in range(1000):
        log.note(None, "POST", "/read", 401, "127.0.0.1")
    log.note("ci", "POST", "/read", 200, "127.0.0.1")
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert len(lines) <= 50
    assert sum(line.get("left_out", 0) for line in lines) + len(lines) == 1001


def test_a_log_without_tokens_is_refused(tmp_path):
    assert AccessSettings.of({}, 1) is None
    with pytest.raises(ConfigurationError, match=r"READER_AUDIT: .* without READER_TOKENS"):
        AccessSettings.of({"READER_AUDIT": str(tmp_path / "x")}, 1)
    tokens.create(tmp_path / "t.json", "ci", ["read"], 60, None)
    with pytest.raises(ConfigurationError, match=r"READER_AUDIT: .* expected a file to write"):
        AccessSettings.of({"READER_TOKENS": str(tmp_path / "t.json"), "READER_AUDIT": str(tmp_path)}, 1)
