"""What Kafka says: connections, topics, rights, group offsets; every client of Kafka comes from here."""
