"""Tokens for AWS MSK with IAM access control, signed by the library of the extra ``aws``."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Self

from stream_rnn.errors import ConfigError, MissingExtraError
from stream_rnn.kafka.tokens import Token

SIGNER = "aws_msk_iam_sasl_signer"  # only the extra `aws` installs it
MODULE = "IAMLoginModule"
_REGION = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com")
ROLE_SESSION = "stream-rnn"


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """The identity that signs tokens; the options are those of AWS's Java library.

    Attributes:
        region: Region of the cluster.
        profile: Profile in the files of AWS; ``None`` for the default chain of credentials.
        role_arn: Role to assume; ``None`` for none.
        role_session: Name of the session of that role.
    """

    region: str
    profile: str | None = None
    role_arn: str | None = None
    role_session: str = ROLE_SESSION

    @classmethod
    def of(cls, options: Mapping[str, str], servers: str, path: str) -> Self:
        """Return the identity that a login of Java names.

        Args:
            options: Options of ``IAMLoginModule``.
            servers: Brokers, whose names contain the region.
            path: Path of the config, for messages.

        Raises:
            ConfigError: The region is unknown.
            MissingExtraError: The extra ``aws`` is not installed.
        """
        known = _REGION.search(servers)
        environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        region = known[1] if known else options.get("awsStsRegion") or environment
        if not region:
            raise ConfigError(
                f"{path}: the region of the cluster is unknown; set AWS_REGION in the environment"
            )
        try:
            import_module(SIGNER)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"{path}: AWS_MSK_IAM needs {SIGNER}, which is not installed: "
                "pip install 'stream-rnn[aws]'"
            ) from error
        return cls(
            region,
            options.get("awsProfileName"),
            options.get("awsRoleArn"),
            options.get("awsRoleSessionName", ROLE_SESSION),
        )

    def fetch(self) -> Token:
        """Return a new token, signed with the credentials that AWS's chain finds now."""
        signer = import_module(f"{SIGNER}.MSKAuthTokenProvider")
        if self.role_arn is not None:
            signed = signer.generate_auth_token_from_role_arn(
                self.region, self.role_arn, self.role_session
            )
        elif self.profile is not None:
            signed = signer.generate_auth_token_from_profile(self.region, self.profile)
        else:
            signed = signer.generate_auth_token(self.region)
        text, expires_ms = signed
        now_s = time.time()  # noqa: TID251  # the token states an absolute time
        return Token(text, max(0.0, expires_ms / 1000 - now_s))
