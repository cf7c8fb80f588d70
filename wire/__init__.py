"""The contract between the parts: topics, readings, keys, protocol, errors. Pure: no I/O, no settings."""
