"""`python -m rlp.model`: see `rlp.commands.model`."""

from rlp.commands.model import main

if __name__ == "__main__":
    main()
