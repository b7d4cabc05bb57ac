"""`python -m xception`: the command line."""

from xception.cli.app import main

if __name__ == "__main__":
    main()
