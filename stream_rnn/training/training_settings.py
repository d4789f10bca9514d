"""How to train: one frozen object, of which the options of ``stream-rnn train`` are generated."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

from stream_rnn.errors import ConfigError

Epochs = Annotated[int, Field(ge=1, le=10_000)]
Deviation = Annotated[float, Field(ge=0, le=10)]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train; each field has a bound and one line of description.

    Source: ``learning_rate``, ``weight_decay`` Loshchilov and Hutter 2019 (AdamW); ``noise`` Bishop
    1995; ``chrono_steps`` Tallec and Ollivier 2018; ``ema_decay`` Polyak and Juditsky 1992.
    """

    epochs: Epochs = Field(12, description="maximum number of epochs")
    patience: Epochs = Field(
        3,
        description="stop after this many epochs without an improvement on the validation part",
    )
    seed: int = Field(1, description="random seed of the first run")
    window: int = Field(
        64, ge=2, le=4096, description="events of one truncated backpropagation through time"
    )
    chrono_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="initialize gate biases for memories of this many events (chrono initialization); 0 keeps torch's",
    )
    batch_sequences: int = Field(
        0,
        ge=0,
        le=100_000,
        description="sequences (keys) of one batch; fewer mean more optimizer steps an epoch; 0 chooses by the size of the log",
    )
    learning_rate: float = Field(3e-3, ge=1e-7, le=1, description="initial learning rate of AdamW")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="how the learning rate changes over the epochs: cosine lets it fall to a tenth",
    )
    noise: Deviation = Field(
        0.0,
        description="standard deviation of the Gaussian noise that training adds to scaled numeric features, such as 0.3",
    )
    key_noise: Deviation = Field(
        0.0, description="like --noise, but drawn once for each key and epoch"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="dropout probability of the outputs of each recurrent layer",
    )
    weight_decay: float = Field(1e-4, ge=0, le=10, description="weight decay of AdamW")
    clip_grad_norm: float = Field(
        1.0,
        ge=1e-3,
        le=1e6,
        description="maximum norm of the gradient; a larger one is scaled down to it",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of an exponential moving average of the weights, a step, such as 0.98; 0 keeps none",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced weighs classes inversely to their frequency"
    )

    @classmethod
    def build(cls, **values: Any) -> Self:
        """Build from values; those that are ``None`` count as not given.

        Raises:
            ConfigError: a value is out of its bounds.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0])
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"training setting {name}: {first['msg']}; set {option}") from error
