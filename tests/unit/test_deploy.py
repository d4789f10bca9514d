"""The image and the composition are held by the settings and the bundle that they talk about."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import stream_rnn.demo
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from stream_rnn.store.connection import read_redis_url
from tests.deployed import (
    DEPLOY,
    PREFIX,
    needs,
    parse,
    program,
    read,
    require_checkout,
    sent,
    settings_in,
    stages,
)

require_checkout()

TEXTS = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
KAFKA = "apache/kafka:4.1.0"
IMAGES = {
    "kafka": KAFKA,
    "topics": KAFKA,
    "redis": "redis:8-alpine",
    "worker": "stream-rnn",
    "prometheus": "prom/prometheus:v3.5.0",
    "grafana": "grafana/grafana:12.1.1",
}
"""A slip in one is seen only where there is an engine: change it there first."""
PORTS = {"kafka": 9092, "redis": 6379, "prometheus": 9090, "grafana": 3000}
MOUNTS = {
    "kafka": {"kafka-data:/var/lib/kafka/data"},
    "redis": {"redis-data:/data"},
    "prometheus": {"./prometheus:/etc/prometheus:ro", "prometheus-data:/prometheus"},
    "grafana": {
        "./grafana/provisioning:/etc/grafana/provisioning:ro",
        "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
        "grafana-data:/var/lib/grafana",
    },
}
KAFKA_PROPERTIES = {
    "node.id",
    "process.roles",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "controller.listener.names",
    "controller.quorum.voters",
    "log.dirs",
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
    "auto.create.topics.enable",
}
"""Of Kafka's documentation of broker settings; the image takes KAFKA_NODE_ID for node.id."""


def seconds(text):
    """Return a duration such as ``20s``."""
    (number,) = re.fullmatch(r"(\d+)s", text).groups()
    return int(number)


@pytest.fixture(scope="module")
def composition():
    """Return all of compose.yaml."""
    return parse(read("compose.yaml"))


@pytest.fixture(scope="module")
def services(composition):
    """Return what compose.yaml runs."""
    return composition["services"]


@pytest.fixture(scope="module")
def instructions():
    """Return the Dockerfile's stages."""
    return stages(read("Dockerfile"))


@pytest.mark.parametrize("text", ["a: 1\n  b: 2", "a: 1\na: 2", "a:\n  - b\n  c: 1"])
def test_the_reader_of_this_test_refuses_slips(text):
    """A slip in compose.yaml or a manifest is not read as something else."""
    with pytest.raises((AssertionError, yaml.YAMLError)):
        parse(text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_that_is_named_is_a_setting(path):
    """A variable with a slip would be without effect."""
    named = set(re.findall(rf"\b{PREFIX}(\w+)", path.read_text(encoding="utf-8")))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_images_ports_and_volumes_are_those_that_were_looked_up(composition, services):
    """Each server is of a named version, reachable where it listens, and keeps its data in a volume."""
    assert {name: service["image"] for name, service in services.items()} == IMAGES
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert ports == {
        name: [f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"] if name in PORTS else [] for name in IMAGES
    }
    mounts = {name: set(service.get("volumes", [])) for name, service in services.items()}
    assert mounts == {name: MOUNTS.get(name, set()) for name in IMAGES}
    sources = {volume.split(":")[0] for some in mounts.values() for volume in some}
    assert {name for name in sources if not name.startswith("./")} == set(composition["volumes"])
    assert all((DEPLOY / name).is_dir() for name in sources if name.startswith("./"))


def test_kafkas_variables_are_properties_of_a_broker(services):
    """Kafka ignores one that it does not know; its data is where the volume is."""
    environment = services["kafka"]["environment"]
    names = {k.removeprefix("KAFKA_").lower().replace("_", ".") for k in environment}
    assert names == KAFKA_PROPERTIES
    assert environment["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert environment["KAFKA_LISTENERS"].count("0.0.0.0:9092") == 1


def test_the_workers_environment_builds_settings(composition, services):
    """Each value is within its bounds, and what a worker needs is there."""
    settings = Settings.build(**settings_in(services["worker"]["environment"]))
    assert settings.app
    assert settings.predictions
    assert f"--topic {settings.source} " in services["topics"]["command"]
    inside = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].replace("INSIDE://", "")
    assert settings.bootstrap_servers in inside.split(",")
    (secret,) = services["worker"]["secrets"]
    assert settings.redis_url_file == f"/run/secrets/{secret}"
    file = DEPLOY / composition["secrets"][secret]["file"]
    assert read_redis_url(Settings.build(redis_url_file=str(file))) == "redis://redis:6379/0"


def test_a_worker_may_finish_its_batch_before_it_is_killed(services):
    """SIGKILL comes only after the time at which the worker ends by itself."""
    worker = services["worker"]
    settings = Settings.build(**settings_in(worker["environment"]))
    assert seconds(worker["stop_grace_period"]) >= 3 * settings.revoke_timeout_s + 15


def test_redis_keeps_what_it_has(services):
    """It never evicts, and a restart finds what was written."""
    command = services["redis"]["command"]
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command


def test_kafka_makes_no_topic_by_itself_and_can_commit_transactions_alone(services):
    """One broker: everything internal has one replica, and a slip in a topic's name is an error."""
    environment = services["kafka"]["environment"]
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    counts = {k: v for k, v in environment.items() if k.endswith(("REPLICATION_FACTOR", "MIN_ISR"))}
    assert len(counts) == 6
    assert set(counts.values()) == {"1"}


def test_two_workers_wait_for_healthy_servers_and_come_back(services):
    """They start after Kafka, Redis and the source topic, on a file system that is read-only."""
    worker = services["worker"]
    waits = {name: how["condition"] for name, how in worker["depends_on"].items()}
    assert waits == {
        "kafka": "service_healthy",
        "redis": "service_healthy",
        "topics": "service_completed_successfully",
    }
    assert all(services[name]["healthcheck"]["test"] for name in ("kafka", "redis"))
    assert (worker["deploy"]["replicas"], worker["restart"]) == (2, "unless-stopped")
    assert (worker["read_only"], worker["tmpfs"]) == (True, ["/tmp"])
    settings = Settings.build(**settings_in(worker["environment"]))
    assert int(worker["mem_limit"].removesuffix("g")) * 10**9 > settings.cache_bytes_max + 9e8


def test_no_server_listens_beyond_this_machine_or_lets_anybody_change_it(services):
    """They have no passwords."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    grafana = services["grafana"]["environment"]
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["GF_AUTH_BASIC_ENABLED"] == "false"


def test_the_image_is_a_worker_that_is_not_root(instructions):
    """Its last user has a number above zero, and SIGTERM reaches the command itself."""
    *_, final = instructions
    last = dict(final)
    user, group = last["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["stream-rnn"]', '["worker"]')
    assert not [word for word, _ in final if word in {"RUN", "ADD"}]
    assert "'/live'" in last["HEALTHCHECK"]
    assert "':9464'" in last["HEALTHCHECK"]
    assert Settings.model_fields["health_address"].default.endswith(":9464")


def test_the_image_is_built_from_the_tree_without_what_tests_need(instructions):
    """The torch that is built in is one that the package takes; no extra is installed."""
    text = read("Dockerfile")
    project = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")
    (torch,) = re.findall(r'"(torch[^"]*)"', text)
    assert f'"{torch}"' in project
    assert not re.search(r"\[(test|demo)\]", text)
    copied = {
        name for word, rest in instructions[0] if word == "COPY" for name in rest.split()[:-1]
    }
    assert copied == set(sent(read("Dockerfile.dockerignore")))
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_the_first_event_is_one_that_the_bundle_in_the_image_takes():
    """What the page sends is decoded, with every field that the bundle reads."""
    key, value = re.search(r"echo '([\w-]+)\|(\{.*\})'", read("README.md")).groups()
    model = load_bundle(Path(stream_rnn.demo.__file__).parent / "bundle")
    record = LogRecord(0, 1_700_000_000_000, key.encode(), value.encode(), [])
    decoded = Decoder(model.spec, Settings.build()).decode([record])
    assert decoded.skips == {}
    assert decoded.keys == [b"UA-EWR"]
    assert all(column != [None] for column in decoded.columns.values())


@pytest.mark.tools
@needs("hadolint")
def test_hadolint_has_nothing_against_the_dockerfile():
    """Versions of Debian's packages are not pinned: the base image's tag moves with them."""
    done = subprocess.run(
        [program("hadolint"), "--ignore", "DL3008", "Dockerfile"],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
