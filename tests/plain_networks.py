"""Networks in plain torch, as people have them: this module imports nothing of the package.

``python plain_networks.py FOLDER KIND HIDDEN`` trains one, and writes ``weights.pt`` and
``reference.npz`` with the outputs of its own code.
"""

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch import nn

WORDS = ["AA", "UA", "DL"]  # row 0 of the table is for all others
MEAN, STD = 12.5, 30.0
SPEC = """
format = 1
name = "plain"

[event]
key = ["plane"]

[[features]]
name = "delay"
kind = "numeric"
path = "delay"
missing = "error"
fitted = {mean = 12.5, std = 30}

[[features]]
name = "carrier"
kind = "categorical"
path = "carrier"
vocabulary = ["AA", "UA", "DL"]
embedding = 3

[[features]]
name = "cancelled"
kind = "boolean"
path = "cancelled"
missing = "error"

[[heads]]
name = "late"
kind = "binary"
path = "delay"
above = 15

[[heads]]
name = "next_delay"
kind = "regression"
path = "delay"
fitted = {mean = 12.5, std = 30}
"""


class Plain(nn.Module):
    """An embedding, a recurrent layer, and one linear layer for two outputs."""

    def __init__(self, kind="GRU", hidden=16, layers=1, *, bias=True):
        super().__init__()
        self.carriers = nn.Embedding(len(WORDS) + 1, 3)
        self.rnn = getattr(nn, kind)(5, hidden, layers, bias=bias, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, plain, carrier):
        """Map plain (N, T, 2) and carrier (N, T) to outputs (N, T, 2)."""
        x = torch.cat([plain[..., :1], self.carriers(carrier), plain[..., 1:]], dim=-1)
        return self.out(self.rnn(x)[0])


def spec_content():
    """Return the content of the spec."""
    return tomllib.loads(SPEC)


def events(planes=4, steps=12, seed=1):
    """Return events of several planes in turn, as dictionaries."""
    draw = np.random.default_rng(seed)
    return [
        {
            "plane": f"N{plane}",
            "delay": round(float(draw.normal(MEAN, STD)), 1),
            "carrier": str(draw.choice([*WORDS, "B6"])),
            "cancelled": bool(draw.random() < 0.2),
        }
        for _ in range(steps)
        for plane in range(planes)
    ]


def encoded(rows):
    """Return plain inputs (T, 2) and rows of the table (T,) of the events of one plane."""
    plain = [[(row["delay"] - MEAN) / STD, float(row["cancelled"])] for row in rows]
    carrier = [WORDS.index(r["carrier"]) + 1 if r["carrier"] in WORDS else 0 for r in rows]
    return torch.tensor(plain), torch.tensor(carrier)


def outputs(network, rows):
    """Return the outputs (N, 2) of the network for each event, a sequence for each plane."""
    y = np.zeros((len(rows), 2), np.float32)
    for plane in {row["plane"] for row in rows}:
        at = [i for i, row in enumerate(rows) if row["plane"] == plane]
        plain, carrier = encoded([rows[i] for i in at])
        with torch.no_grad():
            y[at] = network(plain[None], carrier[None])[0].numpy()
    return y


def train(network, rows, epochs=3):
    """Train a network to predict the next delay of each plane."""
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(epochs):
        for plane in sorted({row["plane"] for row in rows}):
            plain, carrier = encoded([row for row in rows if row["plane"] == plane])
            y = network(plain[None, :-1], carrier[None, :-1])[0]
            target = plain[1:, 0]
            late = nn.functional.binary_cross_entropy_with_logits(y[:, 0], (target > 0.1).float())
            loss = late + nn.functional.mse_loss(y[:, 1], target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def write(folder, kind="GRU", hidden=16, layers=1, *, bias=True):
    """Train a network; write its spec, its weights and reference outputs; return it."""
    torch.manual_seed(5)
    rows = events()
    network = train(Plain(kind, hidden, layers, bias=bias), rows)
    (Path(folder) / "spec.toml").write_text(SPEC, encoding="utf-8")
    torch.save(network.state_dict(), Path(folder) / "weights.pt")
    texts = np.array([json.dumps(row) for row in rows])
    np.savez(Path(folder) / "reference.npz", events=texts, y=outputs(network, rows))
    return network


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], int(sys.argv[3]))
