"""Streams a log through a real worker by the public commands, and reads the predictions."""

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from stream_rnn.local.workers import WorkerProcess
from stream_rnn.predictions import Prediction, PredictionReader

PARTITIONS = 2
QUIET_S = 60.0


def command(*words) -> str:
    """Run a ``stream-rnn`` command; return its standard output."""
    line = [sys.executable, "-m", "stream_rnn.cli", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stderr}"
    return done.stdout


def evaluate_offline(*words) -> dict:
    """Run ``stream-rnn evaluate``; return its JSON."""
    return json.loads(command("evaluate", *words, "--json", "--bootstrap-samples", 0))


class StreamedLog:
    """A log in a topic, which workers with different bundles can fold.

    Args:
        app_id: Prefix of all names.
        bootstrap_servers: Addresses of Kafka.
        redis_url: URL of Redis.
        directory: Directory of the workers' logs.
    """

    def __init__(self, app_id: str, bootstrap_servers: str, redis_url: str, directory: Path):
        self.app_id, self.bootstrap_servers, self.redis_url = app_id, bootstrap_servers, redis_url
        self.directory, self.topic = directory, f"{app_id}-in"

    def send(self, log, *more) -> None:
        """Send the log to the source topic."""
        servers = f"--bootstrap-servers={self.bootstrap_servers}"
        command("send", log, self.topic, f"--create-partitions={PARTITIONS}", servers, *more)

    async def predictions(self, bundle: Path, count: int) -> dict[str, list[Prediction]]:
        """Let a worker fold the topic; return the predictions of each key in order."""
        app = f"{self.app_id}-{bundle.name}"
        options = {
            "app": app,
            "source": self.topic,
            "predictions": f"{app}-out",
            "bundle": str(bundle),
            "bootstrap_servers": self.bootstrap_servers,
            "redis_url": self.redis_url,
        }
        worker = WorkerProcess(app, options, self.directory)
        predictions: dict[str, list[Prediction]] = defaultdict(list)
        try:
            async with asyncio.timeout(60):
                while "fold ready" not in worker.log.read_text(errors="replace"):
                    worker.require_alive()
                    await asyncio.sleep(0.1)
            async with PredictionReader(
                f"{app}-out", bootstrap_servers=self.bootstrap_servers, start="earliest"
            ) as reader:
                for _ in range(count):
                    async with asyncio.timeout(QUIET_S):
                        prediction = await anext(reader)
                    predictions[prediction.key or ""].append(prediction)
        finally:
            await asyncio.to_thread(worker.stop)
        return predictions
