"""Requests by chance, from the schemas: what exists on both brokers (world), values for the fields (pools), whole
bodies (bodies), and bytes that are almost requests (damage)."""
