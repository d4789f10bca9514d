"""The names of a Kafka config: which have an effect here, which are ignored, which are refused.

Clouds and Java programs hand out files with settings of consumers, producers and serializers.  A
name that is harmless is ignored, and one note lists all of them; a name that nobody knows is
probably a typing error, and is refused.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.properties import name_lines

_NAME = re.compile(r"[A-Za-z0-9._-]+")

CLIENT = ("bootstrap.servers", "client.id", "security.protocol")
SASL = (
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.username",
    "sasl.password",
    "sasl.login.callback.handler.class",
    "sasl.client.callback.handler.class",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.jwt.retriever.class",
    "sasl.oauthbearer.extensions",  # of librdkafka
    "sasl.oauthbearer.method",  # of librdkafka
    "https.ca.location",  # of librdkafka: trust for the token endpoint
)
TLS = (
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.certificates",
    "ssl.ca.location",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.certificate.location",  # of librdkafka, as is the next
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
)
KNOWN = (*CLIENT, *SASL, *TLS)
ALIASES = {  # names of librdkafka, and what Java calls them
    "sasl.mechanisms": "sasl.mechanism",
    "metadata.broker.list": "bootstrap.servers",
    "sasl.oauthbearer.client.id": "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.secret": "sasl.oauthbearer.client.credentials.client.secret",
}

# Ignored names whose job another setting does, or which the fold decides
INSTEAD = {
    "acks": "stream_rnn writes with acks=all",
    "allow.auto.create.topics": "no client of stream_rnn creates a topic by reading it",
    "auto.offset.reset": "see --auto-offset-reset",
    "compression.type": "see --compression",
    "enable.auto.commit": "the group offset is committed with the predictions",
    "enable.idempotence": "stream_rnn writes with enable.idempotence=true",
    "group.id": "the group is the app id, --app",
    "heartbeat.interval.ms": "see BROKER_HEARTBEAT_INTERVAL of Faust, in seconds",
    "isolation.level": "stream_rnn reads committed records only",
    "key.deserializer": "keys are bytes",
    "max.poll.interval.ms": "see --watchdog-s",
    "max.request.size": "see --output-batch-bytes-max",
    "request.timeout.ms": "see --kafka-timeout-s",
    "schema.registry.url": "events are JSON",
    "session.timeout.ms": "see BROKER_SESSION_TIMEOUT of Faust, in seconds",
    "transaction.timeout.ms": "see --transaction-timeout-ms",
    "transactional.id": "each partition has its own, with the prefix <app>/",
    "value.deserializer": "events are JSON",
}
_IGNORED = frozenset(
    [
        "api.version.request",
        "auto.commit.interval.ms",
        "auto.include.jmx.reporter",
        "batch.size",
        "broker.address.family",
        "buffer.memory",
        "check.crcs",
        "client.dns.lookup",
        "client.rack",
        "connections.max.idle.ms",
        "debug",
        "default.api.timeout.ms",
        "delivery.timeout.ms",
        "enable.metrics.push",
        "exclude.internal.topics",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.min.bytes",
        "interceptor.classes",
        "internal.leave.group.on.close",
        "key.serializer",
        "linger.ms",
        "log.connection.close",
        "max.block.ms",
        "max.in.flight.requests.per.connection",
        "max.partition.fetch.bytes",
        "max.poll.records",
        "message.max.bytes",
        "metadata.max.age.ms",
        "metadata.max.idle.ms",
        "metadata.recovery.rebootstrap.trigger.ms",
        "metadata.recovery.strategy",
        "metric.reporters",
        "metrics.num.samples",
        "metrics.recording.level",
        "metrics.sample.window.ms",
        "partition.assignment.strategy",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.availability.timeout.ms",
        "partitioner.class",
        "partitioner.ignore.keys",
        "receive.buffer.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "retries",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "sasl.kerberos.kinit.cmd",
        "sasl.kerberos.min.time.before.relogin",
        "sasl.kerberos.service.name",
        "sasl.kerberos.ticket.renew.jitter",
        "sasl.kerberos.ticket.renew.window.factor",
        "sasl.login.class",
        "sasl.login.refresh.buffer.seconds",
        "sasl.login.refresh.min.period.seconds",
        "sasl.login.refresh.window.factor",
        "sasl.login.refresh.window.jitter",
        "sasl.login.retry.backoff.max.ms",
        "sasl.login.retry.backoff.ms",
        "sasl.oauthbearer.clock.skew.seconds",
        "sasl.oauthbearer.scope.claim.name",
        "sasl.oauthbearer.sub.claim.name",
        "security.providers",
        "send.buffer.bytes",
        "socket.connection.setup.timeout.max.ms",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.timeout.ms",
        "specific.avro.reader",
        "ssl.cipher.suites",
        "ssl.enabled.protocols",
        "ssl.engine.factory.class",
        "ssl.keymanager.algorithm",
        "ssl.keystore.password",
        "ssl.protocol",
        "ssl.provider",
        "ssl.secure.random.implementation",
        "ssl.trustmanager.algorithm",
        "ssl.truststore.password",
        "statistics.interval.ms",
        "transaction.two.phase.commit.enable",
        "use.latest.version",
        "value.serializer",
        "value.subject.name.strategy",
        "key.subject.name.strategy",
        "auto.register.schemas",
    ]
)
_IGNORED_PREFIXES = ("schema.registry.", "basic.auth.", "bearer.auth.", "confluent.")
STATIC_MEMBERSHIP = (
    "two members with one id take partitions from each other without end, and aiokafka does not "
    "notice it"
)
REFUSED = {
    "config.providers": "it replaces ${...} in values, which is not supported: write the values, "
    "or mount a file that has them",
    "enable.ssl.certificate.verification": "a server without a verified certificate can read the "
    "password: name its authority with ssl.truststore.location",
    "group.instance.id": f"{STATIC_MEMBERSHIP}: remove it",
    "group.remote.assignor": "workers use the classic protocol of groups: remove it",
    "ssl.keystore.certificate.chain": "write the chain and the key into one PEM file, and name it "
    "with ssl.keystore.location",
    "ssl.keystore.key": "write the chain and the key into one PEM file, and name it with "
    "ssl.keystore.location",
}


def check_names(properties: Mapping[str, str], path: str) -> dict[str, str]:
    """Return the settings that have an effect here, by Java's names.

    Raises:
        ConfigError: A name is unknown, or demands something that is not supported.
    """
    known: dict[str, str] = {}
    unknown: list[str] = []
    for written, value in properties.items():
        name = ALIASES.get(written, written)
        if name in REFUSED:
            raise ConfigError(f"{path}: {name} is refused: {REFUSED[name]}")
        if name == "group.protocol" and value.lower() != "classic":
            raise ConfigError(
                f"{path}: group.protocol = {value} is not supported: workers use the classic "
                "protocol of groups; remove it"
            )
        if name in KNOWN:
            if known.setdefault(name, value) != value:
                raise ConfigError(f"{path}: {written} and {name} differ; remove one of them")
        elif not is_ignored(name):
            unknown.append(name)
    if unknown:
        raise _unknown_names(unknown, path)
    return known


def _unknown_names(names: list[str], path: str) -> ConfigError:
    """Return an error that lists all names, except those that may be a part of a password."""
    plain = [name for name in names if _NAME.fullmatch(name)]
    others = set(names) - {*plain}
    reports = [f"{name} is not supported{_suggest(name)}" for name in plain]
    if others:
        lines = ", ".join(str(line) for name, line in name_lines(path) if name in others)
        reports.append(
            f"line {lines} does not begin with a name; the line before may lack a backslash at its "
            "end, which continues it"
        )
    elif not any(map(_near, plain)):
        reports.append(f"the supported names are {', '.join(KNOWN)}")
    return ConfigError(f"{path}: {'; '.join(reports)}")


def is_ignored(name: str) -> bool:
    """Return whether a name is one of Kafka's that has no effect here."""
    return (
        name in INSTEAD
        or name in _IGNORED
        or name == "group.protocol"
        or name.startswith(_IGNORED_PREFIXES)
    )


def ignored_note(names: Iterable[str], path: str) -> str | None:
    """Return one line that lists the ignored names; ``None`` if there are none."""
    ignored = sorted(filter(is_ignored, names))
    if not ignored:
        return None
    shown = [f"{name} ({INSTEAD[name]})" if name in INSTEAD else name for name in ignored]
    return f"{path}: ignored: {', '.join(shown)}"


def _near(name: str) -> list[str]:
    candidates = [*KNOWN, *ALIASES, *INSTEAD, *_IGNORED]
    return get_close_matches(name, candidates, n=3, cutoff=0.75)


def _suggest(name: str) -> str:
    near = _near(name)
    return f"; is it {' or '.join(near)}?" if near else ""
