"""The command line: ``stream-rnn <verb>``.

A verb is two modules.  ``verbs/train.py`` defines its options and its help as a click command, and
imports nothing slow.  ``train.py`` does the work, and is imported when the verb runs.  So help,
completion and usage errors do not wait for torch.

Exit status: 0 success, 1 the answer is bad, 2 usage error, 3 a person must act, 4 start the command
again, 130 interrupted, 141 nobody reads the output any more.
"""

from stream_rnn.cli.shared.interrupts import exit_on_ctrl_c

VERBS = {  # the first sentence of the help of each
    "worker": "Run the stream worker: fold a topic and publish predictions.",
    "demo": "Run the demo on real data: two workers, a crash and a wiped Redis.",
    "local": "Run a Kafka broker and a Redis server on 127.0.0.1 until Ctrl-C.",
    "send": "Send the events of a file to a topic, in the order of the file.",
    "tail": "Print the predictions of a topic as they arrive, until Ctrl-C.",
    "train": "Train a recurrent network and its memoryless baseline on a log.",
    "evaluate": "Measure how good a bundle is on a log, and what its memory is worth.",
    "audit": "Compare published predictions with a replay of their source.",
    "compare": "Compare two bundles on the same log.",
    "replay": "Fold a log again with hidden states in memory, and write its predictions.",
    "trace": "Show each step of the network over the events of one key.",
    "spec": "Propose a feature spec for a log, and check a feature spec.",
    "bundle": "Show the content of a bundle, or make one of weights from elsewhere.",
    "schema": "Show, register and check the schema of predictions in Avro, Protobuf or JSON Schema.",
    "rollout": "Change the model under live load, at an exact offset, with a way back.",
    "state": "Inspect, save, restore, erase and drop the hidden states of a fold.",
    "dashboard": "Show a running fold on a local web page until Ctrl-C.",
    "deadletters": "Inspect skipped records, and put them back into the source.",
    "doctor": "Check everything that a worker needs, and suggest remedies.",
}


def main(arguments: list[str] | None = None) -> None:
    """Run a verb and exit with its status."""
    exit_on_ctrl_c()
    from stream_rnn.cli.program import run  # noqa: PLC0415  # Ctrl-C may arrive from here on

    run(arguments)
