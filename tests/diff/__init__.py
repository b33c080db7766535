"""The same requests to two brokers, answer by answer (scripts/diff)."""
