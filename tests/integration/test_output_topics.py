"""The output topics that a worker makes, on a real Kafka."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.clients import new_admin
from stream_rnn.settings import Settings
from stream_rnn.worker.output_topics import prepare_topics


@pytest.fixture
async def admin(bootstrap_servers):
    """An admin client."""
    made = new_admin(bootstrap_servers=bootstrap_servers)
    await made.start()
    yield made
    await made.close()


@pytest.mark.parametrize("option", ["predictions", "dead_letters"])
async def test_a_name_that_kafka_refuses_is_the_option_to_change(
    option, admin, app_id, bootstrap_servers, create_topic
):
    """In metrics . and _ are one to Kafka; whoever may create topics may not create this one."""
    await create_topic(f"{app_id}-in", 2)
    await create_topic(f"{app_id}_taken", 2)
    outputs = {"predictions": f"{app_id}-out", "dead_letters": f"{app_id}-dead"}
    outputs[option] = f"{app_id}.taken"
    said = (
        rf"{app_id}.taken cannot be created .*choose another name by --{option.replace('_', '-')}$"
    )
    with pytest.raises(ConfigError, match=said):
        await prepare_topics(admin, settings(app_id, bootstrap_servers, **outputs))


async def test_a_name_that_is_too_long_because_of_its_end_is_an_option_to_set(
    admin, app_id, bootstrap_servers, create_topic
):
    """The topic of dead letters is named after that of predictions unless it is named."""
    await create_topic(f"{app_id}-in", 2)
    named = settings(app_id, bootstrap_servers, predictions=f"{app_id}{'n' * 235}")
    with pytest.raises(ConfigError, match=r"choose another name by --dead-letters$"):
        await prepare_topics(admin, named)


def settings(app_id, bootstrap_servers, **outputs):
    """Return the settings of a worker."""
    servers = {"bootstrap_servers": bootstrap_servers}
    return Settings.build(app=app_id, source=f"{app_id}-in", **servers, **outputs)
