"""The commands, one file each. They import what they run only when they run it."""
