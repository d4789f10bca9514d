"""The optimizer computes the bits of torch's AdamW, and imports no compiler."""

import subprocess
import sys

import torch
from torch import nn

from stream_rnn.training.optimizer import AdamW

TRAINING = """
import sys

from stream_rnn import propose_spec, train
from stream_rnn.notebook.example import machines

frame = machines()
train(frame, propose_spec(frame, target="failed"), sys.argv[1], hidden=8, epochs=2)
print("torch._dynamo" in sys.modules)
"""


def steps_of(optimizer_class):
    """Take three steps, of which two are after a state was saved and loaded; return the weights."""
    torch.manual_seed(1)
    network, x = nn.GRU(3, 8), torch.randn(4, 5, 3)
    optimizer = optimizer_class(network.parameters(), 0.01, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network(x)[0].square().sum().backward()
        optimizer.step()
        saved = optimizer.state_dict()
        optimizer = optimizer_class(network.parameters(), 0.5)
        optimizer.load_state_dict(saved)
    return [parameter.detach().numpy().tobytes() for parameter in network.parameters()]


def test_steps_have_the_bits_of_torch():
    """Also after a state was saved and loaded, as when training resumes."""
    assert steps_of(AdamW) == steps_of(torch.optim.AdamW)


def test_training_imports_no_compiler(tmp_path):
    """It would take 150 MB and seconds of every training."""
    command = [sys.executable, "-c", TRAINING, str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["False"]), done.stderr
