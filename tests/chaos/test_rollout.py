"""Two folds take turns in charge while faults happen; each prediction is right for its own fold."""

import pytest

from tests.chaos.survive import survive

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_promotes_under_load_change_nothing_but_the_fold(delivery, tmp_path):
    """Promotes back and forth while a worker dies: nothing is missing, doubled or wrong."""
    await survive(
        tmp_path,
        1,
        events_min=2000,
        kinds=["kill"],
        rate=300,
        delivery=delivery,
        rolls_out=True,
        promotes_min=4,
    )
