"""Small logs in the shapes in which others export and send, each with the answer that is right."""

import random

from tests.unit.shape import ROWS, irregular
from tests.unit.shapes_of_envelopes import envelope_shapes
from tests.unit.shapes_of_fields import field_shapes
from tests.unit.shapes_of_files import file_shapes
from tests.unit.shapes_that_ask import asking_shapes


def shapes():
    """Return all shapes."""
    draw = random.Random(1)
    at = irregular(draw, ROWS)
    return [
        *file_shapes(draw),
        *field_shapes(draw, at),
        *envelope_shapes(draw, at),
        *asking_shapes(draw, at),
    ]
