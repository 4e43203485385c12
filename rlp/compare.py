"""`python -m rlp.compare`: see `rlp.commands.compare`."""

from rlp.commands.compare import main

if __name__ == "__main__":
    main()
