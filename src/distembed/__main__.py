"""`python -m distembed`, the command line."""

from distembed.cli.main import main

if __name__ == "__main__":
    main()
