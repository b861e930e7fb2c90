"""How `nacmos` is made: degrade speech, score it, train, report. See README.md in this folder."""
