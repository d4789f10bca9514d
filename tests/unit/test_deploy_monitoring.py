"""Rules and graphs are of what a worker exports, and each alert has its page."""

import json
import re
import subprocess

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.settings import Settings
from stream_rnn.worker.prometheus import GAUGES, Metrics
from tests import models
from tests.deployed import DEPLOY, PREFIX, needs, parse, program, read, require_checkout

require_checkout()

METRIC = re.compile(r"\b(stream_rnn_[a-z_]+|process_[a-z_]+)")
OF_SCRAPES = {"job", "instance", "le"}


@pytest.fixture(scope="module")
def families():
    """Return every family that a worker can export, by name, with its labels."""
    settings = Settings.build(app="a", source="b", predictions="c")
    metrics = Metrics(models.small(), settings, list)
    text = generate_latest(metrics.registry).decode()
    found = {f.name: (f.type, set[str]()) for f in text_string_to_metric_families(text)}
    for collector in metrics.registry._collector_to_names:
        labels = set(getattr(collector, "_labelnames", ()))
        name = getattr(collector, "_name", "")
        if name in found:
            found[name] = (found[name][0], labels)
    return found | {f"stream_rnn_{name}": ("gauge", {"partition"}) for name, *_ in GAUGES}


@pytest.fixture(scope="module")
def labels(families):
    """Return every series that a worker can export, with its labels."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    return {
        name + end: found
        for name, (kind, found) in families.items()
        for end in endings.get(kind, [""])
    }


def alerts():
    """Return the alerting rules."""
    groups = parse(read("prometheus/rules.yml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels():
    """Return what is drawn."""
    return json.loads(read("grafana/dashboards/stream_rnn.json"))["panels"]


def drawn():
    """Return the expressions of the graphs."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_labels_are_read_from_the_metrics_themselves(labels):
    """Or the checks below would hold nothing."""
    assert labels["stream_rnn_skips_total"] == {"reason"}
    assert labels["stream_rnn_step_seconds_bucket"] == {"step"}
    assert labels["stream_rnn_position"] == {"partition"}
    assert "process_resident_memory_bytes" in labels


def grouped(expression):
    """Return the labels that an expression groups and matches by."""
    found = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    return {label.strip() for group in found for label in group.split(",")}


@pytest.mark.parametrize("expression", [*drawn(), *(rule["expr"] for rule in alerts())])
def test_expressions_are_of_series_and_labels_that_exist(expression, labels):
    """A slip in a name gives an empty graph, and an alert that never fires."""
    names = set(METRIC.findall(expression))
    assert names <= set(labels) or "up ==" in expression
    held = set[str]().union(*(labels[name] for name in names if name in labels))
    assert grouped(expression) <= OF_SCRAPES | held


def test_every_metric_is_on_a_graph_or_in_an_alert(families):
    """What nobody looks at need not be exported."""
    used = set(METRIC.findall(" ".join([*drawn(), *(rule["expr"] for rule in alerts())])))
    ours = {n for n in families if n.startswith("stream_rnn_") and not n.endswith("_created")}
    unseen = {name for name in ours if not any(one.startswith(name) for one in used)}
    assert unseen == set()


def test_graphs_keep_folds_apart():
    """The page shows all folds at once: whatever is summed is summed by job."""
    for expression in drawn():
        for by in re.findall(r"\b(?:sum|max|min|avg)\b(?: by \(([^)]*)\))?", expression):
            assert "job" in by, expression


def test_the_run_book_has_each_alert():
    """One without a page helps nobody."""
    book = read("README.md")
    for rule in alerts():
        assert f"### {rule['alert']}\n" in book
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
    paged = set(re.findall(r"^### (StreamRNN\w+)$", book, re.MULTILINE))
    assert paged == {rule["alert"] for rule in alerts()}


def test_each_alert_fires_in_one_rule_test_and_is_silent_in_another():
    """So a rule that cannot fire, or always does, fails a test of promtool."""
    tests = parse(read("prometheus/rules.test.yml"))["tests"]
    asked = [(one["alertname"], bool(one["exp_alerts"])) for t in tests for one in t["alert_rule_test"]]  # fmt: skip
    names = {rule["alert"] for rule in alerts()}
    assert {name for name, fires in asked if fires} == names
    assert {name for name, fires in asked if not fires} == names


def test_panels_have_a_place_of_their_own_and_a_data_source():
    """Which is the one that is provisioned."""
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels()]
    assert len(set(places)) == len(places) == len({p["id"] for p in panels()})
    source = parse(read("grafana/provisioning/datasources/prometheus.yaml"))["datasources"][0]
    used = {t["datasource"]["uid"] for p in panels() for t in p["targets"]}
    assert used == {p["datasource"]["uid"] for p in panels()} == {source["uid"]}
    services = parse(read("compose.yaml"))["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    provider = parse(read("grafana/provisioning/dashboards/stream_rnn.yaml"))["providers"][0]
    mounted = provider["options"]["path"]
    assert f"./grafana/dashboards:{mounted}:ro" in services["grafana"]["volumes"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{mounted}/stream_rnn.json"


def test_prometheus_asks_the_workers_of_the_composition():
    """The name and the port are those of compose.yaml; the rules are beside the configuration."""
    services = parse(read("compose.yaml"))["services"]
    config = parse(read("prometheus/prometheus.yml"))
    found = config["scrape_configs"][0]["dns_sd_configs"][0]
    assert found["names"] == ["worker"]
    environment = services["worker"]["environment"]
    assert environment[f"{PREFIX}HEALTH_ADDRESS"] == f"0.0.0.0:{found['port']}"
    assert [(DEPLOY / "prometheus" / name).is_file() for name in config["rule_files"]] == [True]


@pytest.mark.tools
@needs("promtool")
@pytest.mark.parametrize(
    "words",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules.test.yml"],
    ],
    ids=" ".join,
)
def test_rules_do_what_their_tests_say(words):
    """Prometheus' own tool runs them."""
    done = subprocess.run(
        [program("promtool"), *words],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
