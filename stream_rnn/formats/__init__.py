"""The formats of a schema registry: frames, schemas, and the content of Avro bodies.

``frames.py`` finds the schema of a record, ``schemas.py`` gets it from the registry, and each
format turns the body of a record into the *content*: the object that the same event has in JSON.
"""
