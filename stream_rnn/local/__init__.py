"""A real Kafka and a real Redis on this machine, for the demo, the tests and development."""
