"""The names of a Kafka config: which have an effect here, which are ignored, which are refused.

Clouds and Java programs hand out files with settings of consumers, producers and serializers.  A
name that is harmless is ignored, and one note lists all of them; a name that nobody knows is
probably a typing error, and is refused.  The rules are in ``config_rules.py``.
"""

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
    "sasl.oauthbearer.method",  # of librdkafka, as are the next
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "https.ca.location",  # of librdkafka: trust for the token endpoint, as is the next
    "https.ca.pem",
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
    "ssl.ca.pem": "ssl.truststore.certificates",
    "sasl.oauthbearer.client.id": "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.secret": "sasl.oauthbearer.client.credentials.client.secret",
}

# Ignored names whose job another setting does, or which the fold decides
INSTEAD = {
    "acks": "stream_rnn writes with acks=all",
    "allow.auto.create.topics": "no client of stream_rnn creates a topic by reading it",
    "auto.offset.reset": "see --auto-offset-reset",
    "auto.commit.enable": "the group offset is committed with the predictions",
    "compression.codec": "see --compression",
    "compression.type": "see --compression",
    "enable.auto.commit": "the group offset is committed with the predictions",
    "enable.idempotence": "stream_rnn writes with enable.idempotence=true",
    "group.id": "the group is the app id, --app",
    "heartbeat.interval.ms": "see BROKER_HEARTBEAT_INTERVAL of Faust, in seconds",
    "isolation.level": "stream_rnn reads committed records only",
    "key.deserializer": "keys are bytes",
    "max.poll.interval.ms": "see --watchdog-s",
    "max.request.size": "see --output-batch-bytes-max",
    "request.required.acks": "stream_rnn writes with acks=all",
    "request.timeout.ms": "see --kafka-timeout-s",
    "schema.registry.url": "see --schema-registry-config",
    "session.timeout.ms": "see BROKER_SESSION_TIMEOUT of Faust, in seconds",
    "transaction.timeout.ms": "see --transaction-timeout-ms",
    "transactional.id": "each partition has its own, with the prefix <app>/",
    "value.deserializer": "each record's frame decides; see --schema-registry-url",
}
IGNORED = frozenset(
    """
    api.version.fallback.ms api.version.request api.version.request.timeout.ms
    auto.commit.interval.ms auto.include.jmx.reporter auto.register.schemas batch.num.messages
    batch.size broker.address.family broker.address.ttl broker.version.fallback buffer.memory
    builtin.features check.crcs client.dns.lookup client.rack compression.gzip.level
    compression.level compression.lz4.level compression.zstd.level connections.max.idle.ms
    consume.callback.max.messages coordinator.query.interval.ms debug default.api.timeout.ms
    delivery.report.only.error delivery.timeout.ms enable.auto.offset.store enable.gapless.guarantee
    enable.metrics.push enable.partition.eof enable.random.seed enabled_events
    exclude.internal.topics fetch.error.backoff.ms fetch.max.bytes fetch.max.wait.ms
    fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms
    group.protocol.type interceptor.classes key.serializer key.subject.name.strategy linger.ms
    log.connection.close log.queue log.thread.name log_level max.block.ms max.in.flight
    max.in.flight.requests.per.connection max.partition.fetch.bytes max.poll.records
    message.copy.max.bytes message.max.bytes message.send.max.retries message.timeout.ms
    metadata.max.age.ms metadata.max.idle.ms metadata.recovery.rebootstrap.trigger.ms
    metadata.recovery.strategy metric.reporters metrics.num.samples metrics.recording.level
    metrics.sample.window.ms partition.assignment.strategy partitioner
    partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms partitioner.class
    partitioner.ignore.keys plugin.library.paths produce.offset.report queued.max.messages.kbytes
    queued.min.messages queuing.strategy receive.buffer.bytes receive.message.max.bytes
    reconnect.backoff.jitter.ms reconnect.backoff.max.ms reconnect.backoff.ms retries
    retry.backoff.max.ms retry.backoff.ms sasl.login.class sasl.login.refresh.buffer.seconds
    sasl.login.refresh.min.period.seconds sasl.login.refresh.window.factor
    sasl.login.refresh.window.jitter sasl.login.retry.backoff.max.ms sasl.login.retry.backoff.ms
    sasl.oauthbearer.clock.skew.seconds sasl.oauthbearer.config sasl.oauthbearer.expected.audience
    sasl.oauthbearer.expected.issuer sasl.oauthbearer.jwt.validator.class
    sasl.oauthbearer.scope.claim.name sasl.oauthbearer.sub.claim.name security.providers
    send.buffer.bytes socket.blocking.max.ms socket.connection.setup.timeout.max.ms
    socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails socket.nagle.disable
    socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms specific.avro.reader
    ssl.ca.certificate.stores ssl.cipher.suites ssl.curves.list ssl.enabled.protocols
    ssl.engine.factory.class ssl.engine.id ssl.engine.location ssl.keymanager.algorithm
    ssl.keystore.password ssl.protocol ssl.provider ssl.providers ssl.secure.random.implementation
    ssl.sigalgs.list ssl.trustmanager.algorithm ssl.truststore.password statistics.interval.ms
    sticky.partitioning.linger.ms topic.blacklist transaction.two.phase.commit.enable
    use.latest.version value.serializer value.subject.name.strategy
    """.split()  # noqa: SIM905  # a list literal would have 140 lines
)
IGNORED_PREFIXES = (
    "schema.registry.",
    "basic.auth.",
    "bearer.auth.",
    "confluent.",
    "internal.",
    "offset.store.",
    "queue.buffering.",
    "sasl.kerberos.",
    "sasl.oauthbearer.assertion.",
    "sasl.oauthbearer.jwks.",
    "topic.metadata.",
)
STATIC_MEMBERSHIP = (
    "two members with one id take partitions from each other without end, and aiokafka does not "
    "notice it"
)
_ONE_PEM = "write the chain and the key into one PEM file, and name it with ssl.keystore.location"
_NO_ASSERTION = (
    "stream_rnn signs no assertion: log in with a client secret, with a token in a file "
    "(sasl.oauthbearer.token.endpoint.url=file:///path), or with a token_provider"
)
_NO_SHARING = (
    "a share group delivers records in no order and more than once; workers read by a consumer "
    "group: remove it"
)
REFUSED = {
    "bootstrap.controllers": "clients connect to brokers: name them with bootstrap.servers",
    "config.providers": "it replaces ${...} in values, which is not supported: write the values, "
    "or mount a file that has them",
    "enable.ssl.certificate.verification": "a server without a verified certificate can read the "
    "password: name its authority with ssl.truststore.location",
    "group.instance.id": f"{STATIC_MEMBERSHIP}: remove it",
    "group.remote.assignor": "workers use the classic protocol of groups: remove it",
    "sasl.oauthbearer.assertion.file": _NO_ASSERTION,
    "sasl.oauthbearer.assertion.private.key.file": _NO_ASSERTION,
    "sasl.oauthbearer.assertion.private.key.pem": _NO_ASSERTION,
    "share.acknowledgement.mode": _NO_SHARING,
    "share.acquire.mode": _NO_SHARING,
    "ssl.certificate.pem": _ONE_PEM,
    "ssl.crl.location": "stream_rnn checks no revocation list: remove it if you accept that",
    "ssl.key.pem": _ONE_PEM,
    "ssl.keystore.certificate.chain": _ONE_PEM,
    "ssl.keystore.key": _ONE_PEM,
}
WITHOUT_EFFECT = {"enable.ssl.certificate.verification": "true"}
"""Values of refused names that ask for what is done anyway; an empty value never asks for more."""
REFUSED_PREFIXES = {"config.providers.": "config.providers"}
