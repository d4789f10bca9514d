"""The settings of the format of predictions, as types; ``settings.py`` names them."""

from typing import Annotated, Literal

from pydantic import Field

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
        description="Id of the schema of predictions at the registry; unset means that a worker asks the registry at start.",
    ),
]
SchemaAutoRegister = Annotated[
    bool,
    Field(
        description="Whether a worker that starts registers the schema of its predictions; otherwise `stream-rnn schema register` does."
    ),
]
