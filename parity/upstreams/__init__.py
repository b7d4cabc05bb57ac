"""One script per source, each run as `python -m parity.upstreams.NAME` in its own environment."""
