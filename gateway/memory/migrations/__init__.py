"""The history of the tables, applied by `gateway.memory.database`."""
