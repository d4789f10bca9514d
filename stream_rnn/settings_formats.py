"""The settings of schemas and of the format of predictions, as types; ``settings.py`` names them."""

from typing import Annotated, Literal

from pydantic import Field

RegistryConfigFile = Annotated[
    str | None,
    Field(
        description="Path of a java.properties file with `schema.registry.url`, `basic.auth.*`, `bearer.auth.*` and `ssl.*`; read again after a refused login."
    ),
]
SchemaFile = Annotated[
    str | None,
    Field(
        description="Path of a file with schemas by their ids, which are not asked of the registry: JSON Lines, or a file of `state export`."
    ),
]
OnUnknownSchema = Annotated[
    Literal["stop", "dead_letter"],
    Field(
        description="Reaction to a schema id that the registry does not know: `stop` waits for `schema_registry_retry_s` and exits, `dead_letter` skips all records of the id, and remembers that."
    ),
]
RegistryTimeout = Annotated[
    float,
    Field(gt=0, le=600, description="Deadline for one answer of the schema registry, in seconds."),
]
RegistryRetry = Annotated[
    float,
    Field(ge=0, le=86_400, description="Seconds without a new schema after which a worker exits."),
]
PredictionsFormat = Annotated[
    Literal["json", "avro", "protobuf", "json_schema"],
    Field(
        description="Format of predictions; all but `json` are framed for a schema registry. Another format is another fold."
    ),
]
PredictionsSchemaId = Annotated[
    int | None,
    Field(
        ge=1,
        le=2_147_483_647,
        description="Id of the schema of predictions at the registry; unset means that a worker asks the registry when it loads a bundle.",
    ),
]
SchemaAutoRegister = Annotated[
    bool,
    Field(
        description="Whether a worker that starts registers the schema of its predictions; otherwise `stream-rnn schema register` does."
    ),
]
