"""`python -m distembed`, the command line."""

from distembed.cli.main import main

main()
