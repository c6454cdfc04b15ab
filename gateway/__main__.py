"""`python -m gateway` is the command `raincheck`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
