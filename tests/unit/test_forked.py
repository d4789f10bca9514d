"""Forked workers: everybody who waits for one learns how it has ended."""

import threading
import time

from tests.forked import ForkedWorker


def test_how_a_worker_ended_is_what_everybody_is_told(tmp_path):
    """Threads ask one worker while others start: each start asks all that there are."""
    stop, found = threading.Event(), []

    def ask(worker) -> None:
        while not stop.is_set():
            if (status := worker.exit_status) is not None:
                found.append(status)
                return

    workers = []
    for number in range(6):
        workers.append(ForkedWorker(f"refused-{number}", {"app": "a"}, tmp_path))
        threading.Thread(target=ask, args=(workers[-1],), daemon=True).start()
    deadline = time.monotonic() + 40
    while len(found) < len(workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    log = workers[0].log.read_text()
    assert found == [2] * 6, log
    assert [worker.exit_status for worker in workers] == [2] * 6
    assert "--source" in log
