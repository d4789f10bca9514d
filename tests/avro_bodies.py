"""Avro bodies for tests: how fastavro writes them, and what our readers return."""

import io

import fastavro

FRAME = b"\0\0\0\0\7"


def write(schema, value):
    """Write a value as a body."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, value)
    return body.getvalue()


def cell(column, row):
    """Return a value of a column."""
    if column is None or (column.present is not None and not column.present[row]):
        return None
    value = column.values[row]
    return value.item() if hasattr(value, "item") else value
