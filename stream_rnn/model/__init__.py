"""What is computed: features, cells, heads, bundles.  Pure: no asyncio, Redis, Kafka, clock or chance."""
