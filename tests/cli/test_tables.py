from rich.console import Console

from rlp.cli import tables


def test_the_first_column_names_rows_the_others_have_numbers(capsys):
    table = tables.ScreenTable(["row", "first number", "second"])
    table.add_row("a", "1", "2")
    Console(width=60).print(table)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert " row   first number   second" in lines
    assert " a                1        2" in lines


def test_markdown():
    assert tables.markdown(["", "x"], [["a", "1"]]) == "|  | x |\n| --- | --- |\n| a | 1 |"
