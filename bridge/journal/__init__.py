"""The durable journal: records, deliveries, coverage, captures."""
