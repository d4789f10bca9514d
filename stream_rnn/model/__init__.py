"""The model: features, cells, heads, bundles.  No asyncio, Redis, Kafka, clock or randomness."""
