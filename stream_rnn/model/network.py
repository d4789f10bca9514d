"""The network: embeddings, a recurrent cell, and one linear layer for all heads.

Shape letters: B keys, T time steps, N events, F features, I inputs of the cell, H hidden size,
L layers, O outputs.  ``step`` takes one event for each of B keys; ``forward`` takes whole
sequences and equals repeated ``step`` bit for bit.

*Tiles.*  The result of a row must not depend on the other rows of the batch.  So every call has
whole tiles of rows (``tiles.py``) and runs on one intra-op thread (``pin_numerics``), and computes
with numbers of inputs and hidden units that are multiples of 8 (``padding.py``).  Bits may differ
between torch builds and CPU types, which ``numerics`` identifies.
"""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rnn.model.cells import AnyCell, CellKind, CellSpec, cell_sizes, make_cell, run_cell
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec, SincePrevious, column_names, embedded_of
from stream_rnn.model.padding import WIDTH_MULTIPLE, Linear
from stream_rnn.model.surprise import Surprise
from stream_rnn.model.tiles import TILE_MIN, tile_rows, whole_tiles
from stream_rnn.model.words import Embedded


def pin_numerics() -> None:
    """Use one intra-op thread, because splitting work among threads may change bits.

    The number is that of the calling thread, and the default of threads that start later.
    """
    torch.get_num_threads()  # torch reads the default here, which otherwise replaces the number
    torch.set_num_threads(1)


class Network(nn.Module):
    """The torch module of a model, which maps x (T, B, F) and h to y (T, B, O) and h.

    Attributes:
        hidden_shape: Shape of the hidden state of one key.
        output_size: Number of outputs of the cell, H.
    """

    def __init__(self, spec: FeatureSpec, cell: AnyCell) -> None:
        super().__init__()
        # A list, because nn.ModuleDict refuses the names of module attributes, such as ``type``.
        self.embeddings = nn.ModuleList()
        self._embedded: list[tuple[int, Embedded]] = []  # first column of each table
        plain: list[int] = []
        at = embedded = 0
        since_previous: int | None = None
        for feature in spec.features:
            columns = range(at, at + len(column_names(feature)))
            if (words := embedded_of(feature)) is not None:
                self.embeddings.append(_embedding(words.rows, words.width))
                self._embedded.append((at, words))
                embedded += words.width
            else:
                if isinstance(feature, SincePrevious) and since_previous is None:
                    since_previous = len(plain)
                plain.extend(columns)
            at = columns.stop
        self._plain = torch.tensor(plain, dtype=torch.long)
        width = len(plain) + embedded
        self._padding = -width % WIDTH_MULTIPLE
        self._cell_arguments = (cell, width + self._padding, since_previous)
        self.cell = self.new_cell()
        self.hidden_shape, self.output_size = cell_sizes(cell, self.cell)
        self.dropout = nn.Dropout(0.0)
        self.head = Linear(self.output_size, sum(head.width for head in spec.heads))

    def new_cell(self) -> nn.Module:
        """Make a cell for the inputs of this network, initialized from the random state of torch."""
        return make_cell(*self._cell_arguments)

    def set_dropout(self, probability: float) -> None:
        """Set the dropout probability for the outputs of each recurrent layer."""
        self.dropout.p = probability
        if isinstance(self.cell, nn.RNNBase) and self.cell.num_layers > 1:
            self.cell.dropout = probability

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (T, B, F) and h (B, ...) to y (T, B, O) and h."""
        out, h = run_cell(self.cell, self.cell_inputs(x), h)  # (T, B, I) -> (T, B, H)
        return self.head(self.dropout(out)), h

    def cell_inputs(self, x: Tensor) -> Tensor:
        """Map x (..., F) to inputs of the cell (..., I): plain columns, embeddings, padding."""
        parts = [x[..., self._plain]]
        tables = zip(self._embedded, self.embeddings, strict=True)
        for (at, words), table in tables:
            if words.is_list:
                parts.append(_mean(table, words.width, x[..., at : at + words.columns].long()))
            else:
                parts.append(table(x[..., at].long()))
        parts.append(x.new_zeros(*x.shape[:-1], self._padding))
        return torch.cat(parts, dim=-1)


def _mean(table: nn.Module, width: int, slots: Tensor) -> Tensor:
    """Return the mean (..., E) of the embeddings of the words in slots (..., S), 0 without any.

    The words are added one by one, so that the bits of a row do not depend on other rows.  Slots
    after the last one that any row uses would add zeros, which changes no bit, and are left out.
    """
    is_used = slots > 0
    counts = is_used.sum(dim=-1, keepdim=True)
    total = torch.zeros(*slots.shape[:-1], width)
    used = is_used.reshape(-1, slots.shape[-1]).any(dim=0).nonzero()
    for slot in range(int(used[-1]) + 1 if len(used) else 0):
        embeddings = table((slots[..., slot] - 1).clamp(min=0))
        total = total + torch.where(is_used[..., slot, None], embeddings, 0.0)
    return total / counts.clamp(min=1)


def _embedding(rows: int, width: int) -> nn.Embedding:
    """Make an embedding (rows, width), initialized from the random state of torch.

    On the meta device it is not initialized: torch would import its compiler, which takes seconds
    and about 100 MB in every process that loads a bundle.
    """
    table: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]  # torch's
        torch.empty(rows, width), freeze=False
    )
    if not table.weight.is_meta:
        table.reset_parameters()
    return table


class Model:
    """A trained or untrained model: a feature spec, a cell and a network.

    Attributes:
        spec: Features and heads.
        cell: Kind and size of the recurrent cell.
        network: Torch module with the tensors, in evaluation mode.
        encoder: Encoder from event fields to x.
        surprise: Heads that rate the next event.
        fingerprint: 64 hex digits for the canonical content, see ``bundle.py``; empty until the
            model is saved.
    """

    def __init__(
        self, spec: FeatureSpec, cell: AnyCell, network: Network, fingerprint: str = ""
    ) -> None:
        self.spec = spec
        self.cell = cell
        self.network = network.eval()
        self.encoder = Encoder(spec)
        self.surprise = Surprise(spec)
        self.fingerprint = fingerprint

    @classmethod
    def initialize(cls, spec: FeatureSpec, cell: AnyCell) -> Self:
        """Make an untrained model, initialized from the random state of torch.

        Raises:
            CellError: The package of the cell is not installed, or its class fails.
        """
        return cls(spec, cell, Network(spec, cell))

    @classmethod
    def from_torch(
        cls,
        spec: FeatureSpec,
        rnn: nn.RNNBase,
        head: nn.Linear | Mapping[str, nn.Linear],
        embeddings: Mapping[str, nn.Embedding] | None = None,
        *,
        inputs: Sequence[str] = (),
        unknown_row: Literal["first", "last"] = "first",
    ) -> "Model":
        """Make a model of modules that were trained elsewhere; ``save_bundle`` writes it.

        Args:
            spec: Feature spec, which states the scalings of the network as ``fitted``.
            rnn: ``nn.RNN`` with tanh, ``nn.GRU`` or ``nn.LSTM``, of 1 to 4 layers.
            head: Linear layer (O, H) for all heads of the spec in their order, or one for each by
                name.
            embeddings: Embedding (words + 1, width) by the name of the categorical feature, or
                (words, width), to which a row of zeros for unknown words is added.
            inputs: Columns that ``rnn`` reads, in its order; empty for all columns of the spec.
            unknown_row: Row of unknown words in a table of words + 1 rows.

        Raises:
            SpecError: The spec does not state a scaling.
            BundleError: A module has another kind or shape than the spec implies.
        """
        from stream_rnn.model.weights.modules import model_from_modules  # noqa: PLC0415  # a cycle

        return model_from_modules(spec, rnn, head, embeddings, inputs, unknown_row)

    @property
    def name(self) -> str:
        """Name of the spec."""
        return self.spec.name

    @property
    def feature_count(self) -> int:
        """Number of columns of x, F."""
        return self.encoder.feature_count

    @property
    def output_count(self) -> int:
        """Number of columns of y, O."""
        return self.network.head.out_features

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """Shape of the hidden state of one key."""
        return self.network.hidden_shape

    @property
    def hidden_size_floats(self) -> int:
        """Number of floats in the hidden state of one key."""
        return int(np.prod(self.hidden_shape))

    @property
    def tail_names(self) -> tuple[str, ...]:
        """Names of the floats of the tail, which a key's state has beside h.

        First what lags read of its last event, then y of the heads that rate its next event.
        """
        lags = (self.encoder.names[i] for i in self.encoder.lag_columns)
        return (*lags, *self.surprise.names)

    @property
    def tail_size_floats(self) -> int:
        """Number of floats of the tail, E: L columns of lags, and S columns of y."""
        return len(self.encoder.lag_columns) + len(self.surprise.columns)

    @property
    def state_size_floats(self) -> int:
        """Number of floats in the state of one key: h and the tail, D + E."""
        return self.hidden_size_floats + self.tail_size_floats

    def initial_hidden(self, rows: int) -> Tensor:
        """Return the hidden states (rows, L, H) of keys without events, which are all zeros."""
        return torch.zeros(rows, *self.hidden_shape)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Step the network once for each of B keys.

        Args:
            x: One encoded event of each key, (B, F).
            h: Hidden states (B, L, H), for an LSTM (B, 2, L, H).

        Returns:
            The outputs y (B, O) and the new hidden states.
        """
        y, h = self.forward(x[:, None], h)
        return y[:, 0], h

    @torch.inference_mode()
    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Step the network T times for each of B keys; equals T calls of ``step``, bit for bit.

        Args:
            x: T encoded events of each key, (B, T, F).
            h: Hidden states (B, L, H), for an LSTM (B, 2, L, H).

        Returns:
            The outputs y (B, T, O) and the new hidden states.

        Invariant: ``tests/unit/test_steps.py``.
        """
        rows, steps, _ = x.shape
        padded = whole_tiles(rows)
        sequence = x.new_zeros(steps, padded, x.shape[2])  # (T, B', F)
        sequence[:, :rows] = x.transpose(0, 1)
        hidden = h.new_zeros(padded, *self.hidden_shape)
        hidden[:rows] = h
        y, hidden = self.network(sequence, hidden)
        return y[:, :rows].transpose(0, 1), hidden[:rows]

    def outputs(self, y: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Turn y (N, O) into the outputs of each head: (N,), or (N, C) for C classes or quantiles."""
        outputs, at = {}, 0
        columns = np.ascontiguousarray(y.T, np.float64)  # (O, N)
        for head in self.spec.heads:
            values = head.output(columns[at : at + head.width]).astype(np.float32)
            outputs[head.name] = values.T if head.is_wide else values[0]
            at += head.width
        return outputs

    def numerics(self) -> str:
        """Return 8 hex digits that identify the numerics of this process: builds and CPU type.

        For a cell of a package they also cover what it computes with fixed inputs.
        """
        return _numerics() if isinstance(self.cell, CellSpec) else self._cell_numerics

    @cached_property
    def _cell_numerics(self) -> str:
        rows, generator = tile_rows(), torch.Generator().manual_seed(0)
        width = self.network.cell_inputs(torch.zeros(1, self.feature_count)).shape[1]
        x = torch.randn(3, rows, width, generator=generator)
        with torch.inference_mode():
            out, h = run_cell(self.network.cell, x, self.initial_hidden(rows))
        return hashlib.sha256(_numerics().encode() + _bytes(out) + _bytes(h)).hexdigest()[:8]


@cache
def _numerics() -> str:
    """Return a digest of the builds of torch and numpy, the CPU, and the output of each cell."""
    digest = hashlib.sha256()
    capability = torch.backends.cpu.get_cpu_capability()
    about: tuple[object, ...] = (torch.__version__, np.__version__, capability, platform.machine())
    rows = tile_rows()
    if rows != TILE_MIN:
        about += (rows,)
    digest.update(repr(about).encode())
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        kinds: tuple[CellKind, ...] = ("elman", "gru", "lstm", "none")
        for kind in kinds:
            spec = CellSpec(kind=kind, hidden=48)
            out, h = run_cell(
                make_cell(spec, 8), torch.randn(3, rows, 8), torch.randn(rows, *spec.hidden_shape)
            )
            digest.update(_bytes(out))
            digest.update(_bytes(h))
    return digest.hexdigest()[:8]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def tensors_of(network: Network) -> Mapping[str, Tensor]:
    """Return the named tensors of a network, contiguous float32."""
    return {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
