"""Rebuild the embedded pack: `python -m nacbench.pack.rebuild`.

Needs speech engines and a sound font that Debian packages; the message of a missing one names
its package. Using the pack needs none of them.
"""
