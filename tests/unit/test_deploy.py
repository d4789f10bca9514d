"""What is deployed is held by the settings and the bundle that it talks about."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

import stream_rnn.local
from stream_rnn.fold.events import Decoder, LogRecord
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
if not DEPLOY.is_dir():
    pytest.skip("only a checkout has deploy/, the wheel has not", allow_module_level=True)

PREFIX = "STREAM_RNN_"
TEXTS = sorted(path for path in DEPLOY.iterdir() if path.is_file())


def read(name):
    """Return a file of deploy/."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def parse(text):
    """Read the part of YAML that compose.yaml needs: mappings, lists and scalars in block style."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]

    def indent(line):
        return len(line) - len(line.lstrip(" "))

    def block(depth):
        found = [] if lines[0].lstrip().startswith("- ") else {}
        while lines and indent(lines[0]) == depth:
            line = lines.pop(0).strip()
            if isinstance(found, list):
                assert line.startswith("- "), line
                found.append(line[2:].strip('"'))
                continue
            match = re.fullmatch(r"([\w./-]+):(?: (.+))?", line)
            assert match, f"not a line of a mapping: {line}"
            name, scalar = match.groups()
            assert name not in found, f"{name} stands twice"
            assert scalar is None or scalar[0] not in "&*|>[!'", f"not read here: {line}"
            found[name] = scalar.strip('"') if scalar else block(indent(lines[0]))
        assert not lines or indent(lines[0]) < depth, f"a line that is too deep: {lines[0]}"
        return found

    return block(0)


def seconds(text):
    """Return a duration such as ``20s``."""
    (number,) = re.fullmatch(r"(\d+)s", text).groups()
    return int(number)


@pytest.fixture(scope="module")
def services():
    """Return what compose.yaml runs."""
    return parse(read("compose.yaml"))["services"]


@pytest.fixture(scope="module")
def instructions():
    """Return the Dockerfile's stages: lists of (instruction, arguments)."""
    text = re.sub(r"\\\n\s*", "", read("Dockerfile"))
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line[:1].isalpha()]
    starts = [n for n, (word, _) in enumerate(found) if word == "FROM"] + [len(found)]
    return [found[a:b] for a, b in pairwise(starts)]


@pytest.mark.parametrize("text", ["a: 1\n  b: 2", "a: 1\na: 2", "a: [1]", "a", "a:\n  - b\n  c: 1"])
def test_the_reader_of_this_test_refuses_what_it_does_not_know(text):
    """A slip in compose.yaml is not read as something else."""
    with pytest.raises(AssertionError):
        parse(text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_variable_that_is_named_is_a_setting(path):
    """A variable with a slip would be without effect."""
    named = set(re.findall(rf"{PREFIX}(\w+)", path.read_text(encoding="utf-8")))
    assert named <= {name.upper() for name in Settings.model_fields}
    assert named or path.suffix == ".dockerignore"


def test_the_workers_environment_builds_settings(services):
    """Each value is within its bounds, and what a worker needs is there."""
    given = {
        k.removeprefix(PREFIX).lower(): v for k, v in services["worker"]["environment"].items()
    }
    settings = Settings.build(**given)
    assert settings.app
    assert settings.predictions
    assert f"--topic {settings.source} " in services["topics"]["command"]
    assert settings.bootstrap_servers in services["kafka"]["environment"][
        "KAFKA_ADVERTISED_LISTENERS"
    ].replace("INSIDE://", "").split(",")


def test_a_worker_may_finish_its_batch_before_it_is_killed(services):
    """The grace period exceeds the time for the batch in hand, with room for the rest."""
    worker = services["worker"]
    revoke_s = Settings.build(
        revoke_timeout_s=worker["environment"].get(f"{PREFIX}REVOKE_TIMEOUT_S")
    ).revoke_timeout_s
    assert seconds(worker["stop_grace_period"]) >= revoke_s + 10


def test_redis_keeps_what_it_has(services):
    """It never evicts, and a restart finds what was written."""
    command = services["redis"]["command"]
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert any(volume.endswith(":/data") for volume in services["redis"]["volumes"])


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
    assert (worker["deploy"]["replicas"], worker["restart"]) == ("2", "on-failure")
    assert (worker["read_only"], worker["tmpfs"]) == ("true", ["/tmp"])


def test_no_server_listens_beyond_this_machine(services):
    """They have no passwords."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


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
    sent = set(re.findall(r"^!(\S+)$", read("Dockerfile.dockerignore"), re.MULTILINE))
    assert copied == sent
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_the_first_event_is_one_that_the_bundle_in_the_image_takes():
    """What the page sends is decoded, with every field that the bundle reads."""
    key, value = re.search(r"echo '([\w-]+)\|(\{.*\})'", read("README.md")).groups()
    model = load_bundle(Path(stream_rnn.local.__file__).parent / "bundle")
    record = LogRecord(0, 1_700_000_000_000, key.encode(), value.encode(), [])
    decoded = Decoder(model.spec, Settings.build()).decode([record])
    assert decoded.skips == {}
    assert decoded.keys == [b"UA-EWR"]
    assert all(column != [None] for column in decoded.columns.values())
