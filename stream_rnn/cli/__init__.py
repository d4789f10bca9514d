"""The command line: ``stream-rnn <verb>``.

A verb is two modules.  ``verbs/train.py`` has its options and its help, as a click command, and
imports nothing that takes time; ``train.py`` does the work, and is imported when the verb is run,
so that help, completion and wrong use do not wait for torch.

Exit status: 0 fine, 1 the answer is bad, 2 wrong use, 3 a person must act, 4 restart me, 130
interrupted, 141 nobody reads the output any more.
"""

from stream_rnn.cli.shared.interrupts import end_at_once

VERBS = {
    "worker": "fold a topic: the stream worker",
    "demo": "see it work on real data, with a fault in it",
    "local": "run a real Kafka and a real Redis on this machine",
    "send": "send a file's events to a topic",
    "tail": "print predictions as they come",
    "train": "train a bundle and its memoryless baseline from a log",
    "evaluate": "say how good a bundle is, and what its memory is worth",
    "audit": "hold a predictions topic against a replay of its source",
    "compare": "hold two bundles against each other on one log",
    "replay": "fold a range of a log again, with states in memory",
    "trace": "unroll the network over one key's events",
    "spec": "propose a feature spec from a log, and check one",
    "bundle": "look at a bundle",
    "state": "look at a fold's state; save, restore, erase and drop it",
    "dashboard": "a local page that shows a running fold",
    "deadletters": "look at skipped records, and put them back",
    "doctor": "check everything that a worker needs, with remedies",
}


def main(arguments: list[str] | None = None) -> None:
    """Run a verb and exit with its status."""
    end_at_once()
    from stream_rnn.cli.program import run  # noqa: PLC0415  # Ctrl-C may come from here on

    run(arguments)
