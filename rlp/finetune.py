"""`python -m rlp.finetune`: see `rlp.commands.finetune`."""

if __name__ == "rlp.finetune":  # it would hide the function of that name
    raise ImportError("rlp.finetune is a function; the command line is in rlp.commands.finetune")

from rlp.commands.finetune import main

if __name__ == "__main__":
    main()
