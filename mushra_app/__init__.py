"""The listening test: from a finished run to listeners' ratings to a figure with intervals."""
