"""One file a step, numbered. A step never changes once released."""
