"""The options of ``stream-rnn bundle``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.options import json_option, path_option, verb
from stream_rnn.cli.verbs import load_work


@click.group("bundle")
def command() -> None:
    """Show the content of a bundle, or make one of weights from elsewhere."""


@verb("show", "bundles/delay", command)
@click.argument("directory", type=click.Path(path_type=Path))
@json_option()
def show(**options: Any) -> Any:
    """Show cell, parameters, features, heads and fingerprint of the bundle in DIRECTORY."""
    return load_work("bundle").show(**options)


@verb(
    "import",
    "--spec mine.toml --weights gru.pt --out bundles/mine --check reference.npz",
    command,
)
@path_option(
    "--spec",
    required=True,
    help="Feature spec, a TOML file, which states each scaling of the network as fitted.",
)
@path_option(
    "--weights",
    required=True,
    help="Weights: a state dict of torch (.pt, .pth, .bin, .ckpt), .safetensors, .onnx, .keras or .h5.",
)
@path_option(
    "--out", "DIRECTORY", required=True, help="Directory of the bundle, which must not exist."
)
@click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="OURS=THEIRS",
    help="Part of the network and the tensor or module that it is, such as cell=encoder.gru or "
    "head.late=fc2; may be repeated. Default: found by name and shape.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="NAME",
    help="Tensor or module that does not influence the outputs; may be repeated.",
)
@click.option(
    "--inputs",
    default="",
    metavar="NAME,NAME",
    help="Columns that the recurrent layer reads, in its order; default: all columns of the spec, "
    "in the order of the spec.",
)
@click.option(
    "--unknown-row",
    type=click.Choice(["first", "last"]),
    default="first",
    help="Row of unknown words in an embedding table with one row more than the vocabulary.",
)
@click.option(
    "--nonlinearity",
    type=click.Choice(["tanh", "relu"]),
    help="Nonlinearity of an nn.RNN, which a state dict does not contain; relu is refused.",
)
@path_option("--check", help="Reference outputs, an .npz file; default: nothing is compared.")
@json_option()
def import_(**options: Any) -> Any:
    """Make a bundle of the weights of a network that was trained elsewhere.

    The network consists of embeddings, an nn.RNN with tanh, an nn.GRU or an nn.LSTM of 1 to 4
    layers, and one linear layer for each head. The file runs no code. --check compares the outputs
    of the bundle with those of your own code, and writes nothing if they differ by more than 1e-5;
    the file contains y and either x or events, see "Use a network that you have trained" in
    stream_rnn/model/README.md.
    """
    return load_work("bundle").import_bundle(**options)
