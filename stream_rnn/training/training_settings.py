"""Settings of training, from which the options of ``stream-rnn train`` are generated."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from stream_rnn.options import Seed

Epochs = Annotated[int, Field(ge=1, le=10_000)]
NumberLoss = Literal["smooth_l1", "l1"]
Deviation = Annotated[float, Field(ge=0, le=10)]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of training; each field has bounds and a description, which is the option's help.

    Source: ``learning_rate``, ``weight_decay`` Loshchilov and Hutter 2019 (AdamW); ``noise`` Bishop
    1995; ``chrono_steps`` Tallec and Ollivier 2018; ``ema_decay`` Polyak and Juditsky 1992;
    ``overestimate_weight`` Newey and Powell 1987 (Econometrica 55, asymmetric least squares).
    """

    epochs: Epochs = Field(12, description="Maximum number of epochs.")
    patience: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Number of epochs without a lower validation loss after which training stops; 0 is a quarter of the maximum number of epochs.",
    )
    seed: Seed = Field(1, description="Random seed of the first run.")
    initial_weights: Literal["auto", "random", "memoryless"] = Field(
        "auto",
        description="Initial weights of the network: random, or memoryless for those of the trained memoryless baseline, so that training adds a memory to it; auto begins with random weights, and trains again from memoryless if the validation loss is then not at least 1 % below that of the baseline.",
    )
    window: int = Field(
        0,
        ge=0,
        le=4096,
        description="Number of events through which gradients are backpropagated; 0 is 64, or up to 1,024 if labels are rare.",
    )
    chrono_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Length of memories, in events, for which chrono initialization sets the gate biases; 0 keeps torch's initialization.",
    )
    batch_sequences: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Maximum number of keys in one batch; fewer keys mean more optimizer steps per epoch; 0 derives the maximum from the number of events.",
    )
    learning_rate: float = Field(3e-3, ge=1e-7, le=1, description="Initial learning rate of AdamW.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="Learning rate schedule over the epochs; cosine lowers the learning rate to a tenth.",
    )
    noise: Deviation = Field(
        0.0,
        description="Standard deviation of the Gaussian noise added to each scaled numeric feature in training, such as 0.3.",
    )
    key_noise: Deviation = Field(
        0.0,
        description="Standard deviation of the Gaussian noise drawn once per key and epoch, and added to the key's scaled numeric features.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="Dropout probability for the outputs of each recurrent layer.",
    )
    weight_decay: float = Field(1e-4, ge=0, le=10, description="Weight decay of AdamW.")
    clip_grad_norm: float = Field(
        1.0,
        ge=1e-3,
        le=1e6,
        description="Maximum norm of the gradient; larger gradients are scaled down to it.",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay per optimizer step of an exponential moving average of the weights, such as 0.98; 0 uses the weights themselves.",
    )
    number_loss: NumberLoss = Field(
        "smooth_l1",
        description="Loss of numbers and times: smooth_l1 of the standardized target, or l1, the absolute error in the unit of the prediction, whose minimum is at the median.",
    )
    overestimate_weight: float = Field(
        1.0,
        ge=0.01,
        le=100,
        description="Weight in the loss of a number or time predicted above its target, relative to one predicted below; above 1 makes predictions lower, towards an expectile with smooth_l1 and a quantile with l1; quantile heads are not affected.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="Weights of the classes in the loss; balanced makes them inverse to the class frequencies.",
    )

    @property
    def epochs_without_progress(self) -> int:
        """Number of epochs without a lower validation loss after which training stops."""
        return self.patience or max(3, self.epochs // 4)
