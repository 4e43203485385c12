"""`python -m rlp.learn`: see `rlp.commands.learn`."""

if __name__ == "rlp.learn":  # it would hide the function of that name
    raise ImportError("rlp.learn is a function; the command line is in rlp.commands.learn")

from rlp.commands.learn import main

if __name__ == "__main__":
    main()
