"""Folds whose workers and verbs log in with tokens, at a broker that ends each session soon."""

import asyncio
import re

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.integration.streams import Stream

SESSION_MS, TOKEN_S = 4000, 8
"""Longest session that the broker allows, and the lifetime of tokens."""


class WithTokens(Stream):
    """A fold whose test uses the plain listener, and whose worker and verbs use the other one."""

    def __init__(self, app, kafka, redis_url, directory, **settings) -> None:
        super().__init__(app, kafka.bootstrap_servers, redis_url, directory, **settings)
        self.config = kafka.client_config(directory / "client.properties")

    def options(self, **more):
        """Return options without brokers, which the config names."""
        given = super().options(kafka_config=self.config, **more)
        return {name: value for name, value in given.items() if name != "bootstrap_servers"}

    def words(self, *names):
        """Return options of a verb."""
        given = self.options()
        return [f"--{name.replace('_', '-')}={given[name]}" for name in names]

    async def create(self) -> None:
        """Create the source."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic(self.settings.source, 2, 1)])
        await admin.close()


async def ended(worker) -> tuple[int, str]:
    """Return a worker's exit status and its last error."""
    async with asyncio.timeout(90):
        while worker.is_alive:
            await asyncio.sleep(0.1)
    log = worker.log.read_text()
    return worker.exit_status, re.findall(r"CRITICAL stream_rnn\S+ (.*)", log)[0]
