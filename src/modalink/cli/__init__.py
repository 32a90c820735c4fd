"""The command line: one file per command, thin.

`cli/NAME.py` defines the command as a function called NAME (its parameters are the options, its docstring the help), or
a `typer.Typer` called NAME when it has commands of its own. `main.py` names it in `COMMANDS`. A command raises
`ModalinkError`s; `main.py` prints them.
"""
