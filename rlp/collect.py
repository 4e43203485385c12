"""`python -m rlp.collect`: see `rlp.commands.collect`."""

from rlp.commands.collect import main

if __name__ == "__main__":
    main()
