"""A worker on a machine whose bits depend on the batch."""

import pytest

from stream_rnn.model.tiles import VARIANT_BITS
from stream_rnn.worker import plugin
from stream_rnn.worker.app import make_app
from tests.integration.streams import Stream

pytestmark = [pytest.mark.timeout(120), pytest.mark.integration]


async def test_a_worker_reports_it_at_its_start_and_folds(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path, monkeypatch, caplog
):
    """The predictions are good; only a replay may differ in their last bits."""
    monkeypatch.setattr(plugin, "is_batch_invariant", lambda: False)
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce([(b"a", {"x": 0.5, "kind": "A"})])
    async with make_app(stream.settings).app:
        await stream.until_published()
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [VARIANT_BITS]
