"""int8 behind a gate."""
