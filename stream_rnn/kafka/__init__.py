"""Kafka: clients and their connections, topics, access rights and group offsets."""
