"""`python -m rlp.evaluate`: see `rlp.commands.evaluate`."""

from rlp.commands.evaluate import main

if __name__ == "__main__":
    main()
