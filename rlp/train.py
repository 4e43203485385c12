"""`python -m rlp.train`: see `rlp.commands.train`."""

if __name__ == "rlp.train":  # it would hide the function of that name
    raise ImportError("rlp.train is a function; the command line is in rlp.commands.train")

from rlp.commands.train import main

if __name__ == "__main__":
    main()
