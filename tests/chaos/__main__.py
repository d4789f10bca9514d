"""The command ``python -m tests.chaos``: a soak with local servers, or with servers of your own."""

from tests.chaos.soak import main

if __name__ == "__main__":
    main()
