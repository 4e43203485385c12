"""`python -m rlp.finetune`: see `rlp.commands.finetune`."""

from rlp.commands.finetune import main

if __name__ == "__main__":
    main()
