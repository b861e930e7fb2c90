"""nacbench: which codec, at which bitrate, sounds best on which material, and are we sure?"""

__version__ = "0.1.0"
