"""Programs that classify images, each behind the same questions, so that `benchmarks.peers` can measure them in turn.

Only `ours` and `runtimes` may need this project's package; the others run in environments without it.
"""
