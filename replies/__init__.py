"""Courtesy: whether an answer may be sent, and what it says."""
