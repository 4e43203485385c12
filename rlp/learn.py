"""`python -m rlp.learn`: see `rlp.commands.learn`."""

from rlp.commands.learn import main

if __name__ == "__main__":
    main()
