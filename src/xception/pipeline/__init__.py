"""The engine: a bundle in a runtime, from files to answers, for data sets and live sources."""
