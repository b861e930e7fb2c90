"""`python -m nacbench` is `nacbench`."""

from nacbench.cli import main

main()
