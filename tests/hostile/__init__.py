"""What codecs, metrics and processes have been seen to do, on purpose."""
