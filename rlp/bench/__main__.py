"""`python -m rlp.bench`: see `rlp.bench.benchmark`."""

from rlp.bench.benchmark import main

if __name__ == "__main__":
    main()
