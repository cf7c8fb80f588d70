"""`python -m fleetwire` is `fleetwire`."""

from fleetwire.cli import main

if __name__ == "__main__":
    main()
