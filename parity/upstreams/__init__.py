"""One script a source, each run as `python -m parity.upstreams.NAME` in the environment of its own."""
