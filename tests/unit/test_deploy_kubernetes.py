"""Manifests and the unit agree with each other, with the settings and with the run book."""

import re
import subprocess

import pytest
import yaml

from stream_rnn.settings import Settings
from stream_rnn.worker.prometheus import GAUGES
from tests.deployed import (
    DEPLOY,
    PREFIX,
    Strict,
    needs,
    program,
    read,
    require_checkout,
    settings_in,
)

require_checkout()

KUBERNETES = DEPLOY / "kubernetes"
RENDERS = "kustomize" if program("kustomize") else "kubectl"


def manifests(directory):
    """Return the objects of a directory of manifests, by kind."""
    found = {}
    for path in sorted((KUBERNETES / directory).glob("*.yaml")):
        for one in yaml.load_all(path.read_text(encoding="utf-8"), Strict):
            found[one["kind"]] = one
    return found


def literals(kustomization):
    """Return what the one generated ConfigMap holds."""
    (made,) = kustomization["configMapGenerator"]
    assert made["name"] == "stream-rnn"
    return dict(pair.split("=", 1) for pair in made["literals"])


@pytest.fixture(scope="module")
def base():
    """Return the base."""
    return manifests("base")


@pytest.fixture(scope="module")
def pod(base):
    """Return what a pod is."""
    return base["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def settings(base):
    """Return the settings of the base."""
    return Settings.build(**settings_in(literals(base["Kustomization"])))


def test_a_pod_has_time_to_stop(base, pod, settings):
    """SIGKILL comes after the worker has given up by itself, and its successor is there before."""
    assert pod["terminationGracePeriodSeconds"] >= 3 * settings.revoke_timeout_s + 15
    strategy = base["Deployment"]["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "replicas" not in base["Deployment"]["spec"]


def test_a_pod_is_asked_where_it_answers(base, pod, settings):
    """Probes, the service and the annotations name the port that the worker listens on."""
    (worker,) = pod["containers"]
    (port,) = worker["ports"]
    assert settings.health_address == f"0.0.0.0:{port['containerPort']}"
    probes = {name: worker[name]["httpGet"] for name in worker if name.endswith("Probe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/live",
        "livenessProbe": "/live",
        "readinessProbe": "/ready",
    }
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    probe = worker["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings.watchdog_s
    (served,) = base["Service"]["spec"]["ports"]
    assert (served["port"], served["targetPort"]) == (port["containerPort"], port["name"])
    notes = base["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(port["containerPort"])
    (opened,) = base["NetworkPolicy"]["spec"]["ingress"]
    assert opened["ports"] == [{"port": port["name"]}]


def test_a_pod_writes_nothing_and_may_nothing(base, pod, settings):
    """Not root, no rights, a file system to read; a directory for temporary files; bounded memory."""
    (worker,) = pod["containers"]
    own = worker["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not own["allowPrivilegeEscalation"]
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert pod["serviceAccountName"] == base["ServiceAccount"]["metadata"]["name"]
    assert {m["mountPath"] for m in worker["volumeMounts"]} == {
        "/tmp",
        "/etc/stream-rnn",
        "/etc/stream-rnn-redis",
    }
    assert {m["name"] for m in worker["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    whole = settings.cache_bytes_max + 900_000_000
    assert int(worker["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30 > whole
    assert int(worker["resources"]["requests"]["memory"].removesuffix("Mi")) * 2**20 > whole


def test_secrets_are_named_as_the_run_book_makes_them(pod):
    """The Redis URL comes from one, Kafka's files from another; neither is in a file here."""
    book = read("README.md")
    (worker,) = pod["containers"]
    variables = {one["name"]: one["value"] for one in worker["env"]}
    mounted = {m["name"]: m["mountPath"] for m in worker["volumeMounts"]}
    files = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
    secret, path = files["redis"]["secretName"], variables[f"{PREFIX}REDIS_URL_FILE"]
    directory, _, key = path.rpartition("/")
    assert directory == mounted["redis"]
    assert f"create secret generic {secret} --from-file={key}\n" in book
    assert f"create secret generic {files['kafka']['secretName']} --from-file=" in book
    prod = manifests("overlays/prod")["Kustomization"]
    assert "secretGenerator" not in prod
    config = literals(prod)[f"{PREFIX}KAFKA_CONFIG"]
    assert config.rpartition("/")[0] == mounted["kafka"]
    dev = manifests("overlays/dev")["Kustomization"]["secretGenerator"][0]
    assert (dev["name"], dev["literals"][0].split("=")[0]) == (secret, key)


def test_objects_mean_the_same_pods(base):
    """Budget, scaler, policy and service are of the deployment."""
    labels = base["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert base["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert base["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert base["Service"]["spec"]["selector"] == labels
    target = base["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", base["Deployment"]["metadata"]["name"])  # fmt: skip
    listed = set(base["Kustomization"]["resources"])
    assert listed == {p.name for p in (KUBERNETES / "base").glob("*.yaml")} - {"kustomization.yaml"}


def test_drains_and_scaling_end(base):
    """One pod may go at a time, one that rebuilds always; the scaler follows a metric that exists."""
    budget = base["PodDisruptionBudget"]["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    scaler = base["HorizontalPodAutoscaler"]["spec"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] in {f"stream_rnn_{n}" for n, *_ in GAUGES}
    assert scaler["minReplicas"] <= scaler["maxReplicas"]


def test_the_policy_lets_out_to_what_the_settings_name(base, settings):
    """DNS, Kafka, Redis and its Sentinels."""
    rules = base["NetworkPolicy"]["spec"]["egress"]
    anywhere = {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]}
    prod = Settings.build(**settings_in(literals(manifests("overlays/prod")["Kustomization"])))
    brokers = f"{settings.bootstrap_servers},{prod.bootstrap_servers}".split(",")
    assert {int(broker.rpartition(":")[2]) for broker in brokers} <= anywhere
    assert {6379, 26379} <= anywhere
    assert all({p["port"] for p in rule["ports"]} == {53} for rule in rules if "to" in rule)


def test_the_component_scrapes_the_pods_with_one_job_a_fold():
    """Its job is the label that the base gives."""
    found = manifests("components/prometheus-operator")
    base = manifests("base")
    monitor = found["PodMonitor"]["spec"]
    (pair,) = base["Kustomization"]["labels"]
    assert monitor["jobLabel"] in pair["pairs"]
    assert monitor["selector"]["matchLabels"].items() <= pair["pairs"].items()
    assert monitor["podMetricsEndpoints"][0]["port"] == base["Service"]["spec"]["ports"][0]["name"]
    assert found["Component"]["resources"] == ["podmonitor.yaml"]


def test_the_unit_stops_for_a_person():
    """Status 3 is not restarted; SIGTERM has time."""
    unit = read("systemd/stream-rnn@.service")
    assert "RestartPreventExitStatus=3" in unit
    (stop,) = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert int(stop) > 2 * Settings.build().revoke_timeout_s + 10


@pytest.mark.tools
@needs("systemd-analyze")
def test_systemd_has_nothing_against_the_unit(tmp_path):
    """But that its program is not installed here."""
    path = tmp_path / "stream-rnn@.service"
    path.write_text(read("systemd/stream-rnn@.service"))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    of_ours = [line for line in done.stderr.splitlines() if "stream-rnn@" in line]
    assert [line for line in of_ours if "is not executable" not in line] == []


@pytest.mark.tools
@needs(RENDERS, "kubernetes-validate")
@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_manifests_fit_kubernetes_schemas(overlay, tmp_path):
    """As kustomize renders them."""
    words = ["build"] if RENDERS == "kustomize" else ["kustomize"]
    made = subprocess.run(
        [program(RENDERS), *words, str(KUBERNETES / "overlays" / overlay)],
        capture_output=True,
        check=True,
    )
    path = tmp_path / "all.yaml"
    path.write_bytes(made.stdout)
    images = re.findall(rb"image: (\S+)", made.stdout)
    assert all(b":" in image for image in images), images  # latest is pulled, whatever is there
    done = subprocess.run(
        [program("kubernetes-validate"), "--strict", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
