"""The embedded pack: synthetic speech, music and noise that a suite can run on offline.

`manifest.csv` lists the files, `README.md` the licences, `rebuild/` made them. Nothing here is a
recording of a person or an orchestra; see docs/embedded-pack.md for what that does to results.
"""
