"""Every published Xception, exactly: convert, train, evaluate, export, quantize, benchmark and run it, with proof."""

__version__ = "0.1.0"
