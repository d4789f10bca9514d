"""``python -m tests.chaos``: the soak, and the same faults against servers of your own."""

from tests.chaos.soak import main

if __name__ == "__main__":
    main()
