"""Why no coordinator answers: what no wait can satisfy, and what passes."""

import pytest

from stream_rnn.kafka.coordinator import GROUPS, TRANSACTIONS, describe_unmet_setting


def topic(name, *replicas):
    """Return a topic as aiokafka describes it: the replicas of each partition."""
    return {"topic": name, "partitions": [{"replicas": list(one)} for one in replicas]}


def wants(kind, count):
    """Return a broker's setting."""
    return {f"{kind.settings}.replication.factor": str(count)}


@pytest.mark.parametrize("kind", [TRANSACTIONS, GROUPS])
def test_fewer_brokers_than_replicas_never_will_do(kind):
    """The topic cannot be created; the setting is named, and what to set it to."""
    said = describe_unmet_setting(kind, {1}, [topic("flights", [1])], wants(kind, 3))
    assert f"{kind.settings}.replication.factor is 3 and the cluster has 1 broker, so" in said
    assert f"{kind.topic} cannot be created: set {kind.settings}.replication.factor=1" in said
    assert kind.min_isr in said


@pytest.mark.parametrize(
    ("brokers", "topics"),
    [
        ({1, 2, 3}, []),  # all are there, and the topic will be
        ({1}, [topic("flights", [1, 2, 3])]),  # two are away, and come back
        ({1, 2}, [topic("flights", [1]), topic("delays", [3])]),
    ],
)
def test_brokers_that_are_away_come_back(brokers, topics):
    """Waiting may help: the worker is restarted."""
    assert describe_unmet_setting(TRANSACTIONS, brokers, topics, wants(TRANSACTIONS, 3)) is None


def test_a_topic_with_fewer_replicas_than_must_be_in_sync_takes_no_record():
    """The one setting was lowered for a single broker, and the other was forgotten."""
    topics = [topic("__transaction_state", [1], [1])]
    said = describe_unmet_setting(TRANSACTIONS, {1}, topics, {"min.insync.replicas": "2"})
    assert "has 1 replica and min.insync.replicas 2" in said
    assert "set min.insync.replicas=1 on __transaction_state" in said
    assert "transaction.state.log.min.isr=1 on the brokers" in said


def test_replicas_that_are_out_of_sync_come_back():
    """There are enough of them."""
    topics = [topic("__transaction_state", [1, 2, 3])]
    assert describe_unmet_setting(TRANSACTIONS, {1}, topics, {"min.insync.replicas": "2"}) is None
