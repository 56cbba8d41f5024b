"""Ten thousand requests over raw sockets to a real server, every second of them malformed at the level of HTTP."""

import os
import re
import socket
import threading
from collections import Counter
from pathlib import Path

import hostile_http
import pytest
import watch
from hostile_http import DIGITS, PNG, Case, judge
from servers import ROOT, Server, environment, started

SEED = int(os.environ.get("FUZZ_SEED", "15"))
COUNT = 10_000
CALLERS = 8
CONTROLS = 50
"""Between so many cases one control picture is read."""


def exchange(server: Server, case: Case) -> tuple[bytes, bool]:
    """What comes back until the connection ends, and whether it was reset."""
    received, reset = b"", False
    with server.connect() as connection:
        try:
            connection.sendall(case.sent)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            # It was closed already; what it was told may still be read.
            reset = True
        try:
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            reset = True
    return received, reset


class Fuzzer:
    """Callers that share the cases, and what came of them."""

    def __init__(self, server: Server, cases: list[Case]) -> None:
        self.server = server
        self.counts: dict[str, Counter[str]] = {}
        self.wrong: list[str] = []
        self.controls = 0
        self._cases = enumerate(cases)
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send everything."""
        callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    def _call(self) -> None:
        while True:
            with self._lock:
                index, case = next(self._cases, (0, None))
            if case is None or len(self.wrong) > 20:
                return
            if index % CONTROLS == 0:
                self._control()
            try:
                outcome = judge(case, *exchange(self.server, case))
            except Exception as error:
                with self._lock:
                    self.wrong.append(f"case {index}, {case.kind}: {error!r:.300} after {case.sent[:300]!r}")
                continue
            with self._lock:
                self.counts.setdefault(case.kind, Counter())[outcome] += 1

    def _control(self) -> None:
        answer = self.server.client.post("/read", content=PNG)
        with self._lock:
            self.controls += 1
            # The client of a well-behaved caller may be told to come back.
            if answer.status_code != 503 and (answer.status_code, answer.json().get("digits")) != (200, DIGITS):
                self.wrong.append(f"a control picture: {answer.status_code} {answer.text[:200]}")


@pytest.mark.slow
def test_ten_thousand_requests_half_of_them_malformed_leave_the_service_as_it_was(with_lines, tmp_path):
    work = tmp_path / "work"
    (work / "tmp").mkdir(parents=True)
    env = environment(work / "bentoml", READER_ARTIFACTS=str(with_lines), TMPDIR=str(work / "tmp"))
    watched = [watch.canary(tmp_path / "canary"), with_lines, ROOT, watch.Root(Path.home(), watch.HOME_DEPTH)]
    with watch.only(work, roots=watched), started(cwd=ROOT, env=env, log=work / "log.txt") as server:
        worker = server.worker
        assert server.client.post("/read", content=PNG).json()["digits"] == DIGITS
        before = worker.memory_info().rss
        fuzzer = Fuzzer(server, hostile_http.cases(SEED, COUNT))
        fuzzer.run()
        for kind, counts in sorted(fuzzer.counts.items()):
            print(f"{kind:18} {sum(counts.values()):5}  {dict(sorted(counts.items()))}")
        print(f"{sum(map(Counter.total, fuzzer.counts.values())):,} requests, {fuzzer.controls} control pictures")
        assert not fuzzer.wrong, "\n".join(fuzzer.wrong)
        assert server.client.post("/read", content=PNG).json()["digits"] == DIGITS
        assert server.worker.pid == worker.pid
        metrics = server.client.get("/metrics").text
        assert re.search(r"(?m)^reader_requests_in_progress (\S+)", metrics)[1] == "1.0"
        assert 'status="500"' not in metrics
        assert worker.memory_info().rss - before < 200 * 1024 * 1024
        lines = (work / "log.txt").read_text().splitlines()
        # On a busy machine a run may take too long, which is no fault of its request.
        wrong = [
            line for line in lines if re.search("Traceback|ERROR|Warning:", line) and "was told to end" not in line
        ]
        assert not wrong, wrong[:20]
        # No client fills the log.
        assert len(lines) < 100, lines[-20:]
