"""Client quotas of a broker, which aiokafka's admin client cannot set."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

_ENTITY = ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8"))))


class _AlterClientQuotasResponse(Response):
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(("error_code", Int16), ("error_message", String("utf-8")), _ENTITY),
        ),
    )


class _AlterClientQuotasRequest(RequestStruct):
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterClientQuotasResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                _ENTITY,
                ("ops", Array(("key", String("utf-8")), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterClientQuotas(Request[_AlterClientQuotasRequest]):
    """A request that sets quotas in bytes per second for the default client id, or removes them."""

    API_KEY = 49

    def __init__(self, **quotas: float | None) -> None:
        self._quotas = quotas

    def build(self, request_struct_class):
        """Return the request as a version of the protocol writes it."""
        ops = [(name, value or 0.0, value is None) for name, value in self._quotas.items()]
        return request_struct_class([([("client-id", None)], ops)], False)


async def set_quotas(bootstrap_servers, **quotas: float | None) -> None:
    """Set ``producer_byte_rate`` and others, for every client id without a quota of its own.

    ``None`` removes a quota.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        response = await admin._send_request(AlterClientQuotas(**quotas))
        assert not any(code for code, *_ in response.entries), response
    finally:
        await admin.close()
