"""An output topic whose limit of a record batch is lowered while a worker runs."""

import pytest

from tests.integration.places import WITHIN_S, Place
from tests.integration.streams import mixed_records

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_running_worker_names_the_limit_that_refuses_its_outputs(
    delivery, app_id, bootstrap_servers, redis_url, tmp_path
):
    """At once, and not after a restart; once it is raised, everything is published."""
    place = Place(app_id, bootstrap_servers, redis_url, tmp_path, delivery=delivery)
    try:
        await place.create()
        await place.produce(mixed_records(60, 1))
        worker = place.start()
        await place.until_published(WITHIN_S, worker)
        predictions = place.settings.predictions
        loose = {"message.timestamp.before.max.ms": str(2**63 - 1)}
        await place.configure(predictions, **loose, **{"max.message.bytes": "1500"})
        await place.produce(mixed_records(300, 2))
        said = await place.stops(worker)
        assert f"{predictions}[" in said
        assert (
            "] refuses record batches of output_batch_bytes_max 900000 (MessageSizeTooLarge" in said
        )
        assert f"; raise max.message.bytes on {predictions}, or the limit of your provider" in said
        await place.configure(predictions, **loose, **{"max.message.bytes": "1048588"})
        await place.goes_on(11)
        assert await place.compare(exactly_once=delivery == "exactly_once") > 0
    finally:
        await place.end()
