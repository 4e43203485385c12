"""`python -m rlp.train`: see `rlp.commands.train`."""

from rlp.commands.train import main

if __name__ == "__main__":
    main()
