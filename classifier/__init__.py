"""Reading a mail and judging it: raw bytes → `Message` → `Verdict`."""
