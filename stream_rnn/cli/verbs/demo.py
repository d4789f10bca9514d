"""The options of ``stream-rnn demo``."""

from typing import Any

import click

from stream_rnn.cli.shared.options import Float, Integer, json_option, verb
from stream_rnn.cli.verbs import load_work


@verb("demo", "--events 50000 --dashboard")
@click.option("--events", type=Integer(10), help="Number of events to send; default: all 328,521.")
@click.option(
    "--rate",
    type=Float(0),
    help="Number of events to send per second; 0 sends as fast as possible; default: 8000, with --rollout 5000.",
)
@click.option(
    "--rollout",
    is_flag=True,
    help="Instead of the faults, change the model under load: the memoryless baseline predicts the first half, the demo's network the second.",
)
@click.option("--no-faults", is_flag=True, help="Neither kill a worker nor wipe Redis.")
@click.option(
    "--dashboard", is_flag=True, help="Show the fold on a local web page during the demo."
)
@click.option("--keep", is_flag=True, help="Leave Kafka and Redis running until Ctrl-C.")
@click.option(
    "--bootstrap-servers",
    metavar="HOST:PORT,...",
    help="Brokers of a running Kafka to use; default: the demo starts a broker.",
)
@click.option(
    "--redis-url",
    metavar="URL",
    help="URL of a running Redis to use; the demo deletes only its own keys there; default: the demo starts a server.",
)
@json_option()
def command(**options: Any) -> Any:
    """Run the demo on real data: two workers, a crash and a wiped Redis.

    The demo streams the 328,521 departures from New York's airports in 2013 through two workers,
    which predict whether the next departure of the same carrier and airport leaves more than 15
    minutes late. After half of the predictions, the demo kills one worker and wipes Redis. At the
    end it compares all published predictions with a replay of the log. The exit status is 1 if a
    prediction is missing, duplicated or different.

    With --rollout, the workers begin with the memoryless baseline, which train wrote beside the
    demo's network. After a tenth of the predictions a roll-out starts: the workers fold the log
    again with the demo's network. After half, the demo promotes it at one exact offset of each
    partition, goes back in partition 0, goes forward again, and finishes. At the end it compares
    each prediction with a replay by the fold that the prediction names, and shows the AUC before
    and after the roll-out.
    """
    return load_work("demo").run(**options)
