"""The network: embeddings, a cell, and one linear layer for all heads.  Read in one sitting.

Shape letters: B keys, T time steps, N events, F features, I inputs of the cell, H hidden size,
L layers, O outputs.  ``step`` takes one event for each of B keys; ``forward`` takes whole
sequences and equals repeated ``step`` bit for bit.

*Tiles.*  A row's result must not depend on what else is in the batch.  Measured with torch on a
CPU: a batch of 1, 2, 3 or 5 rows can differ bitwise from the same rows in a bigger batch; batches
padded to a multiple of one fixed tile (8, 16, 32) never did, in any order and any fill, from one
tile to 600, if the inner dimension of every product is a multiple of 4 (else a row's place in the
tile matters).  The smallest tile makes a key that comes alone cheapest.  So every call is of whole
tiles, on one intra-op thread (``pin_numerics``), and inputs and hidden size are multiples of
8.  Across torch builds and CPU types bits may differ: ``numerics`` says which these are.
"""

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream_rnn.model.cells import CellKind, CellSpec, make_cell, run_cell
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import Categorical, FeatureSpec, column_names

TILE = 8
WIDTH = 8


def pin_numerics() -> None:
    """Use one intra-op thread: how work is split among threads may change bits."""
    torch.set_num_threads(1)


class Network(nn.Module):
    """The tensors of a model: (T, B, F), h -> (T, B, O), h."""

    def __init__(self, spec: FeatureSpec, cell: CellSpec) -> None:
        super().__init__()
        # By number: nn.ModuleDict refuses names that a module has, such as ``type``.
        self.embeddings = nn.ModuleList()
        self._embedded: list[int] = []
        plain: list[int] = []
        at = embedded = 0
        for feature in spec.features:
            columns = range(at, at + len(column_names(feature)))
            if isinstance(feature, Categorical):
                rows = len(feature.vocabulary) + 1
                self.embeddings.append(_embedding(rows, feature.embedding))
                self._embedded.append(at)
                embedded += feature.embedding
            else:
                plain.extend(columns)
            at = columns.stop
        self._plain = torch.tensor(plain, dtype=torch.long)
        used = len(plain) + embedded
        self._padding = -used % WIDTH
        self.cell = make_cell(cell, used + self._padding)
        self.dropout = nn.Dropout(0.0)
        self.head = nn.Linear(cell.hidden, sum(head.width for head in spec.heads))

    def drop(self, share: float) -> None:
        """Hide a share of the cell's outputs in training, between its layers too."""
        self.dropout.p = share
        if isinstance(self.cell, nn.RNNBase) and self.cell.num_layers > 1:
            self.cell.dropout = share

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (T, B, F) and h (B, ...) to y (T, B, O) and h."""
        out, h = run_cell(self.cell, self.cell_inputs(x), h)  # (T, B, I) -> (T, B, H)
        return self.head(self.dropout(out)), h

    def cell_inputs(self, x: Tensor) -> Tensor:
        """Map x (..., F) to what the cell reads (..., I): plain columns, embeddings, padding."""
        parts = [x[..., self._plain]]
        tables = zip(self._embedded, self.embeddings, strict=True)
        parts += [table(x[..., at].long()) for at, table in tables]
        parts.append(x.new_zeros(*x.shape[:-1], self._padding))
        return torch.cat(parts, dim=-1)


def _embedding(rows: int, width: int) -> nn.Embedding:
    """Make a table of (rows, width), drawn by torch's random state.

    On the meta device nothing is drawn: torch would import its compiler for it, which takes
    seconds and some 100 MB in every process that loads a bundle.
    """
    table: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]  # torch's
        torch.empty(rows, width), freeze=False
    )
    if not table.weight.is_meta:
        table.reset_parameters()
    return table


class Model:
    """A feature spec, a cell and its tensors.

    Attributes:
        spec: features and heads.
        cell: what it remembers with.
        encoder: from fields to x.
        fingerprint: 64 hex digits of its canonical content; see ``bundle.py``.
    """

    def __init__(
        self, spec: FeatureSpec, cell: CellSpec, network: Network, fingerprint: str = ""
    ) -> None:
        self.spec = spec
        self.cell = cell
        self.network = network.eval()
        self.encoder = Encoder(spec)
        self.fingerprint = fingerprint

    @classmethod
    def initialize(cls, spec: FeatureSpec, cell: CellSpec) -> Self:
        """Make an untrained model from torch's random state."""
        return cls(spec, cell, Network(spec, cell))

    @property
    def name(self) -> str:
        """Name of the spec."""
        return self.spec.name

    @property
    def feature_count(self) -> int:
        """F, columns of x."""
        return self.encoder.feature_count

    @property
    def output_count(self) -> int:
        """O, columns of y."""
        return self.network.head.out_features

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """Shape of one key's hidden state."""
        return self.cell.hidden_shape

    @property
    def hidden_size_floats(self) -> int:
        """Floats of one key's hidden state."""
        return int(np.prod(self.hidden_shape))

    def initial_hidden(self, rows: int) -> Tensor:
        """Return the hidden states (rows, L, H) of keys without a past: zeros."""
        return torch.zeros(rows, *self.hidden_shape)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Take one event for each of B keys.

        Args:
            x: (B, F).
            h: (B, L, H), for an LSTM (B, 2, L, H).

        Returns:
            y (B, O) and the new h.
        """
        y, h = self.forward(x[:, None], h)
        return y[:, 0], h

    @torch.inference_mode()
    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Take T events for each of B keys: equal to T times ``step``, bit for bit.

        Args:
            x: (B, T, F).
            h: (B, L, H), for an LSTM (B, 2, L, H).

        Returns:
            y (B, T, O) and the new h.

        Invariant: ``tests/unit/test_steps.py``.
        """
        rows, steps, _ = x.shape
        padded = _whole_tiles(rows)
        sequence = x.new_zeros(steps, padded, x.shape[2])  # (T, B', F)
        sequence[:, :rows] = x.transpose(0, 1)
        hidden = h.new_zeros(padded, *self.hidden_shape)
        hidden[:rows] = h
        y, hidden = self.network(sequence, hidden)
        return y[:, :rows].transpose(0, 1), hidden[:rows]

    def outputs(self, y: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Turn y (N, O) into what readers get: for each head (N,), for classes (N, C)."""
        found, at = {}, 0
        columns = np.ascontiguousarray(y.T, np.float64)  # (O, N)
        for head in self.spec.heads:
            values = head.output(columns[at : at + head.width]).astype(np.float32)
            found[head.name] = values.T if head.kind == "multiclass" else values[0]
            at += head.width
        return found

    def numerics(self) -> str:
        """Return 8 hex digits that name how this process computes."""
        return _numerics()


def _whole_tiles(rows: int) -> int:
    return max(1, -(-rows // TILE)) * TILE


@cache
def _numerics() -> str:
    """Hash what may change bits: torch's and numpy's builds, the CPU, and a probe of each cell."""
    digest = hashlib.sha256()
    capability = torch.backends.cpu.get_cpu_capability()
    about = (torch.__version__, np.__version__, capability, platform.machine())
    digest.update(repr(about).encode())
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        kinds: tuple[CellKind, ...] = ("elman", "gru", "lstm", "none")
        for kind in kinds:
            spec = CellSpec(kind=kind, hidden=48)
            out, h = run_cell(
                make_cell(spec, 8), torch.randn(3, TILE, 8), torch.randn(TILE, *spec.hidden_shape)
            )
            digest.update(out.contiguous().numpy().tobytes())
            digest.update(h.contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def tensors_of(network: Network) -> Mapping[str, Tensor]:
    """Return the named tensors of a network, contiguous float32."""
    return {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
