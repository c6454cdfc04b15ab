"""The gateway itself: relay, memory, policy, folder, outbox, digest, and the command line."""
