"""ovsdb-client: talks to a database server from the command line (ovsdb-client(1)).

Most commands take ``[SERVER] [DATABASE]`` first.  A word with a colon is a server; a word that the server
knows as a database is one; what is not given has its default.
"""

from trunkline.cli.ovsdb_client.main import main

__all__ = ["main"]
