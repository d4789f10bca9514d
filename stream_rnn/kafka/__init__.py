"""Kafka: connections, topics, rights, group offsets, and the creation of every client."""
