"""``python -m fusionnas``: the command line."""

from fusionnas.cli.main import main

if __name__ == "__main__":
    main()
