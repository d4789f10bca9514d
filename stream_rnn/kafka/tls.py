"""The TLS options of a Kafka config."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from stream_rnn.errors import ConfigError, reason

FILES = (  # settings that name a file
    "ssl.truststore.location",
    "ssl.ca.location",
    "ssl.keystore.location",
    "ssl.certificate.location",
    "ssl.key.location",
)
_JKS = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_PKCS12_VERSION = b"\x02\x01\x03"  # the integer 3, in DER
_STORES = {".jks": "JKS", ".keystore": "JKS", ".truststore": "JKS"} | dict.fromkeys(
    (".p12", ".pfx", ".pkcs12"), "PKCS12"
)


def make_ssl_context(config: Mapping[str, str], path: str) -> ssl.SSLContext:
    """Return a context with the certificates that a config names.

    Args:
        config: Settings of the file.
        path: Path of the file, for messages.

    Raises:
        ConfigError: A file is missing, not readable, or a Java key store.
    """
    for kind in ("truststore", "keystore"):
        _refuse_java_store(config, kind, path)
    authorities = config.get("ssl.truststore.location", config.get("ssl.ca.location"))
    chain = config.get("ssl.keystore.location", config.get("ssl.certificate.location"))
    try:
        context = ssl.create_default_context(
            cafile=authorities, cadata=config.get("ssl.truststore.certificates")
        )
        # Python 3.13 checks more than Kafka's Java clients: whether certificates obey RFC 5280.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if chain is not None:
            # Without a password OpenSSL would prompt for one on the terminal.
            password = config.get("ssl.key.password", "")
            context.load_cert_chain(chain, config.get("ssl.key.location", chain), password)
    except (OSError, ssl.SSLError) as error:
        message = f"{path}: cannot load its certificates: {reason(error)}"
        raise ConfigError(f"{message}; they must be readable PEM files") from error
    algorithm = config.get("ssl.endpoint.identification.algorithm", "https")
    if algorithm.lower() in {"", "none"}:  # the latter is librdkafka's word
        context.check_hostname = False
    return context


def _refuse_java_store(config: Mapping[str, str], kind: str, path: str) -> None:
    """Refuse a JKS or PKCS12 store, and name the commands that turn it into PEM."""
    location = config.get(f"ssl.{kind}.location", "")
    stated = config.get(f"ssl.{kind}.type", "").upper()
    store = _store_type(location) or (stated if stated in {"JKS", "PKCS12"} else None)
    if store is None:
        return
    pkcs12 = location or f"{kind}.p12"
    pem = str(Path(pkcs12).with_suffix(".pem"))
    commands = []
    if store == "JKS":
        jks, pkcs12 = pkcs12, str(Path(pkcs12).with_suffix(".p12"))
        commands.append(
            f"keytool -importkeystore -srckeystore {jks} -destkeystore {pkcs12} "
            "-deststoretype PKCS12"
        )
    what = "-nokeys" if kind == "truststore" else "-nodes"
    commands.append(f"openssl pkcs12 -in {pkcs12} {what} -out {pem}")
    raise ConfigError(
        f"{path}: ssl.{kind}.location {location} is a {store} store, and stream_rnn reads PEM; "
        f"run: {' && '.join(commands)}; then set ssl.{kind}.location={pem} and "
        f"ssl.{kind}.type=PEM"
    )


def _store_type(location: str) -> str | None:
    """Return the type of a Java store, from its first bytes or else its suffix; else ``None``."""
    try:
        with Path(location).open("rb") as file:
            head = file.read(8)
    except OSError:
        return _STORES.get(Path(location).suffix.lower())
    if head.startswith(_JKS):
        return "JKS"
    return "PKCS12" if head[:1] == b"\x30" and _PKCS12_VERSION in head else None
